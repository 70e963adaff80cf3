package gridftp

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func reader(s string) *bufio.Reader { return bufio.NewReader(strings.NewReader(s)) }

func TestReadReply(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     Reply
	}{
		{"one line", "220 ready\r\n", Reply{220, []string{"ready"}}},
		{"bare code", "250\r\n", Reply{250, []string{""}}},
		{"bare LF", "200 OK\n", Reply{200, []string{"OK"}}},
		{"features", "211-Extensions\r\n CKSM MD5:10;\r\n MLST\r\n211 End.\r\n",
			Reply{211, []string{"Extensions", " CKSM MD5:10;", " MLST", "End."}}},
		{"prefixed lines", "550-GlobusError: v=1\r\n550-GridFTP-Errno: 2\r\n550 End.\r\n",
			Reply{550, []string{"GlobusError: v=1", "GridFTP-Errno: 2", "End."}}},
		{"nested prefix stays for the error", "530-530-inner\r\n530 End.\r\n", Reply{530, []string{"530-inner", "End."}}},
		{"another code inside", "220-hello\r\n221 not the end\r\n220 end\r\n",
			Reply{220, []string{"hello", "221 not the end", "end"}}},
		{"number glued to text", "220-hello\r\n220x\r\n220 end\r\n", Reply{220, []string{"hello", "220x", "end"}}},
		{"empty middle line", "220-a\r\n\r\n220 b\r\n", Reply{220, []string{"a", "", "b"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadReply(reader(test.in))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, %v; want %#v", got, err, test.want)
			}
		})
	}
}

func TestReadReplyRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxReplyLine+1)
	for _, test := range []struct {
		name, in string
		want     error
	}{
		{"no code", "hello\r\n", &SyntaxError{"reply", "hello"}},
		{"code out of range", "700 x\r\n", &SyntaxError{"reply", "700 x"}},
		{"no separator", "200OK\r\n", &SyntaxError{"reply", "200OK"}},
		{"long line", "200 " + long + "\r\n", ErrReplyTooLarge},
		{"endless line", "200 " + strings.Repeat(long, 3), ErrReplyTooLarge},
		{"too many lines", "200-\r\n" + strings.Repeat(" x\r\n", MaxReplyLines) + "200 \r\n", ErrReplyTooLarge},
		{"too many bytes", "200-\r\n" + strings.Repeat(" "+long[:MaxReplyLine-1]+"\r\n", 40) + "200 \r\n", ErrReplyTooLarge},
		{"end within a line", "200 x", io.ErrUnexpectedEOF},
		{"end within a reply", "200-x\r\n y\r\n", io.ErrUnexpectedEOF},
		{"nothing", "", io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ReadReply(reader(test.in))
			if !errors.Is(err, test.want) && !reflect.DeepEqual(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestMiddleSink(t *testing.T) {
	var got []string
	p := ReplyParser{Middle: func(code int, line string) error {
		got = append(got, line)
		return nil
	}}
	var reply Reply
	for _, line := range []string{"250-Contents", " Type=file; a", " Type=file; b", "250 End."} {
		r, done, err := p.Line(line)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			reply = r
		}
	}
	if want := []string{" Type=file; a", " Type=file; b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("sink got %q, want %q", got, want)
	}
	if want := (Reply{250, []string{"Contents", "End."}}); !reflect.DeepEqual(reply, want) {
		t.Errorf("reply %v, want %v", reply, want)
	}
	// A refusal is kept whole: its words are the error.
	got = nil
	for _, line := range []string{"550-GlobusError: v=1", "550-more", "550 End."} {
		reply, _, _ = p.Line(line)
	}
	if got != nil || len(reply.Lines) != 3 {
		t.Errorf("refusal went to the sink: %q, reply %v", got, reply)
	}
}

func TestReplyAppend(t *testing.T) {
	for _, test := range []struct {
		reply Reply
		want  string
	}{
		{Reply{226, []string{"Done."}}, "226 Done.\r\n"},
		{Reply{226, nil}, "226 \r\n"},
		{NewReply(550, "one\ntwo\n"), "550-one\r\n550 two\r\n"},
		{Reply{250, []string{"status of x", " Type=file; x", "End."}}, "250-status of x\r\n Type=file; x\r\n250 End.\r\n"},
		{Reply{550, []string{"a", "550 forged", "z"}}, "550-a\r\n550-550 forged\r\n550 z\r\n"},
		{Reply{550, []string{"no such file: x\r\n226 Done."}}, "550 no such file: x  226 Done.\r\n"},
	} {
		if got := string(test.reply.Append(nil)); got != test.want {
			t.Errorf("%#v: got %q, want %q", test.reply, got, test.want)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{
		"220 ready\r\n", "211-Ext\r\n A\r\n211 End\r\n", "550-550-x\r\n550 \r\n", "250\r\n", "1", "220-\r\n220",
		"112-Perf Marker\r\n Stripe Bytes Transferred: 1\r\n112 End\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ReadReply(reader(in))
		if err != nil {
			return
		}
		again, err := ReadReply(bufio.NewReader(strings.NewReader(string(r.Append(nil)))))
		if err != nil {
			t.Fatalf("reading back %#v: %v", r, err)
		}
		if strings.ContainsAny(strings.Join(r.Lines, ""), "\r\n\x00") {
			return // Append made them spaces
		}
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("read %#v, wrote it, read back %#v", r, again)
		}
		_ = NewReplyError("TEST", r).Error()
	})
}

func TestReplyError(t *testing.T) {
	globus := func(code int, category, errno, text string) Reply {
		return Reply{code, []string{"GlobusError: v=1 c=" + category, "GridFTP-Errno: " + errno,
			"GridFTP-Reason: System error in stat", "GridFTP-Error-String: " + text, "End."}}
	}
	plain := func(code int, lines ...string) Reply { return Reply{code, lines} }
	for _, test := range []struct {
		name  string
		reply Reply
		is    string // names of the predicates that hold
		text  string
	}{
		{"globus not found", globus(550, "PATH_NOT_FOUND", "2", "No such file or directory"), "NotFound",
			"MLST /x: server said 550 PATH_NOT_FOUND System error in stat: No such file or directory"},
		{"globus exists", globus(553, "PATH_EXISTS", "17", "File exists"), "Exists", ""},
		{"globus denied", globus(550, "PERMISSION_DENIED", "13", "Permission denied"), "Permission", ""},
		{"globus not permitted", globus(550, "INTERNAL_ERROR", "1", "Operation not permitted"), "Permission", ""},
		{"globus not empty", globus(451, "INTERNAL_ERROR", "39", "Directory not empty"), "Exists Temporary", ""},
		{"globus full", globus(552, "NO_SPACE_LEFT", "28", "No space left on device"), "NoSpace", ""},
		{"globus quota", globus(552, "QUOTA_EXCEEDED", "122", "Disk quota exceeded"), "NoSpace", ""},
		{"globus is dir", globus(550, "IS_A_DIRECTORY", "21", "Is a directory"), "IsDirectory", ""},
		{"globus not dir", globus(550, "NOT_A_DIRECTORY", "20", "Not a directory"), "NotDirectory", ""},
		{"a name in a structured error decides nothing", globus(550, "PATH_NOT_FOUND", "2", "file exists: no"), "NotFound", ""},
		{"old globus", plain(500, "Command failed. : globus_l_gfs_file_open failed.", "500-globus_xio: Unable to open file /x", "500-globus_xio: A system call failed: No such file or directory", "End."),
			"NotFound Failed", "MLST /x: server said 500 Command failed. : globus_l_gfs_file_open failed.; globus_xio: Unable to open file /x; globus_xio: A system call failed: No such file or directory"},
		{"proftpd", plain(550, "/x: No such file or directory"), "NotFound", "MLST /x: server said 550 /x: No such file or directory"},
		{"vsftpd", plain(553, "Could not create file."), "", ""},
		{"vsftpd denied", plain(550, "Permission denied."), "Permission", ""},
		{"login", plain(530, "530-Login incorrect. : globus_gss_assist: Gridmap lookup failure", "End."), "Login", ""},
		{"unknown command", plain(500, "Invalid command."), "Unsupported", ""},
		{"data channel", plain(425, "Can not open data connection."), "DataChannel Temporary", ""},
		{"data channel whose peer was killed", plain(500, "Command failed. : callback failed.\nan end-of-file was reached\nglobus_xio: An end of file occurred"), "Failed DataChannel", ""},
		{"globus without a reason", plain(500, "Command failed. : callback failed."), "Failed", ""},
		{"too many", plain(421, "Too many connections (20); try again later"), "Busy Temporary", ""},
		{"terminal escapes", plain(550, "\x1b[2Jgone"), "", `MLST /x: server said 550 \x1b[2Jgone`},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := NewReplyError("MLST /x", test.reply)
			var is []string
			v := reflect.ValueOf(e)
			for _, name := range []string{"NotFound", "Exists", "Permission", "NotDirectory", "IsDirectory", "NoSpace", "Login", "Unsupported", "Failed", "DataChannel", "Busy", "Temporary"} {
				if v.MethodByName(name).Call(nil)[0].Bool() {
					is = append(is, name)
				}
			}
			if got := strings.Join(is, " "); got != test.is {
				t.Errorf("is %q, want %q", got, test.is)
			}
			if test.text != "" && e.Error() != test.text {
				t.Errorf("text %q, want %q", e, test.text)
			}
		})
	}
}
