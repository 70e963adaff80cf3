package transfer

// NoticeID names an event in the life of a task: of is the key under which the
// task keeps things, which no other task has, and which tells one event of a
// kind from another: a number, a fingerprint; empty where there is only one.
func NoticeID(of TaskID, kind NoticeKind, which string) string {
	id := string(of) + "-" + string(kind)
	if which != "" {
		id += "-" + which
	}
	return id
}
