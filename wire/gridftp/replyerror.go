package gridftp

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// A ReplyError is a server's refusal, taken apart. Since release 13 the
// Globus server structures its refusals:
//
//	550-GlobusError: v=1 c=PATH_NOT_FOUND
//	550-GridFTP-Errno: 2
//	550-GridFTP-Reason: System error in stat
//	550-GridFTP-Error-String: No such file or directory
//	550 End.
//
// Other servers, and older ones, leave only the code and the words.
type ReplyError struct {
	Command  string        // the command's verb and, where it has one, its path; never a password
	Reply    Reply         // the refusal as it came
	Category string        // c= of GlobusError, such as PATH_NOT_FOUND; may be empty
	Errno    syscall.Errno // GridFTP-Errno, in Linux's numbers; 0 when not given
	Reason   string        // GridFTP-Reason: what the server was doing; may be empty
	Detail   string        // GridFTP-Error-String, or the server's words
}

// Categories of structured errors, from the server's source.
const (
	CategoryPathNotFound     = "PATH_NOT_FOUND"
	CategoryPathExists       = "PATH_EXISTS"
	CategoryPermissionDenied = "PERMISSION_DENIED"
	CategoryNotDirectory     = "NOT_A_DIRECTORY"
	CategoryIsDirectory      = "IS_A_DIRECTORY"
	CategoryNoSpace          = "NO_SPACE_LEFT"
	CategoryQuota            = "QUOTA_EXCEEDED"
	CategoryDataChannel      = "DATA_CHANNEL_COMMUNICATION_FAILURE"
	CategoryInternal         = "INTERNAL_ERROR"
)

// NewReplyError takes reply apart. command is the verb and path it answers.
func NewReplyError(command string, reply Reply) *ReplyError {
	e := &ReplyError{Command: command, Reply: reply}
	var words []string
	for _, line := range reply.Lines {
		line = strings.TrimSpace(line)
		// Globus nests one reply's lines in another's: "530-530-...".
		for len(line) >= 4 {
			if _, _, text, ok := splitReplyLine(line); ok && line[3] == '-' {
				line = strings.TrimSpace(text)
				continue
			}
			break
		}
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "GlobusError":
			for field := range strings.FieldsSeq(value) {
				if c, ok := strings.CutPrefix(field, "c="); ok {
					e.Category = c
				}
			}
		case "GridFTP-Errno":
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 0 && n < 4096 {
				e.Errno = syscall.Errno(n)
			}
		case "GridFTP-Reason":
			e.Reason = value
		case "GridFTP-Error-String":
			e.Detail = value
		default:
			if line != "" && line != "End." {
				words = append(words, line)
			}
		}
	}
	if e.Detail == "" {
		e.Detail = strings.Join(words, "; ")
	}
	return e
}

// Error names the command, the code and the server's words, in which whatever
// a terminal would obey is quoted.
func (e *ReplyError) Error() string {
	var b strings.Builder
	if e.Command != "" {
		fmt.Fprintf(&b, "%s: ", e.Command)
	}
	fmt.Fprintf(&b, "server said %03d", e.Reply.Code)
	if e.Category != "" && e.Category != CategoryInternal {
		fmt.Fprintf(&b, " %s", e.Category)
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, " %s:", e.Reason)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, " %s", e.Detail)
	}
	return printable(b.String())
}

// maxErrorText bounds a server's words in an error, in bytes.
const maxErrorText = 2 << 10

func printable(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "..."
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), `\\`, `\`)
}

// NotFound reports that the path, or a directory on the way to it, is absent.
func (e *ReplyError) NotFound() bool {
	return e.is(CategoryPathNotFound, syscall.ENOENT) || e.says("no such file", "not found", "does not exist", "doesn't exist")
}

// Exists reports that the name is taken.
func (e *ReplyError) Exists() bool {
	return e.is(CategoryPathExists, syscall.EEXIST) || e.is("", syscall.ENOTEMPTY) || e.says("file exists", "already exists", "directory not empty")
}

// Permission reports that the identity may not do this.
func (e *ReplyError) Permission() bool {
	return e.is(CategoryPermissionDenied, syscall.EACCES) || e.is("", syscall.EPERM) || e.is("", syscall.EROFS) ||
		e.says("permission denied", "operation not permitted", "not allowed", "read-only file system", "path not allowed")
}

// NotDirectory reports that a directory was needed and something else found.
func (e *ReplyError) NotDirectory() bool {
	return e.is(CategoryNotDirectory, syscall.ENOTDIR) || e.says("not a directory")
}

// IsDirectory reports that something other than a directory was needed.
func (e *ReplyError) IsDirectory() bool {
	return e.is(CategoryIsDirectory, syscall.EISDIR) || e.says("is a directory", "not a regular file", "not a plain file")
}

// NoSpace reports a full disk or an exceeded quota.
func (e *ReplyError) NoSpace() bool {
	return e.is(CategoryNoSpace, syscall.ENOSPC) || e.is(CategoryQuota, syscall.EDQUOT) ||
		e.Reply.Code == 452 || e.says("no space left", "quota exceeded")
}

// Login reports that the server did not accept who we are (530, and 535 of
// RFC 2228), and that what was asked was not a matter of a path.
func (e *ReplyError) Login() bool {
	switch e.Reply.Code {
	case 530, 532, 534, 535:
		return !e.NotFound()
	}
	return false
}

// Unsupported reports that the server does not know or do the command, or not
// with these arguments (500 to 504, 536, 537 of RFC 2228). A Globus server says
// 500 also of a command that it knows, tried, and failed at.
func (e *ReplyError) Unsupported() bool {
	switch e.Reply.Code {
	case 500, 501, 502, 503, 504, 536, 537:
		return e.Category == "" && e.Errno == 0 && !e.Failed() && !e.NotFound() && !e.Exists() && !e.Permission() && !e.DataChannel()
	}
	return false
}

// commandFailed is how a Globus server's 500 of a command that it knows begins.
const commandFailed = "command failed"

// Failed reports that the server tried and failed. Of why, others tell, where it
// says so.
func (e *ReplyError) Failed() bool {
	return e.Reply.Code == 500 && e.says(commandFailed)
}

// DataChannel reports that the data connection could not be made or broke
// (425, 426), which says nothing about the file. Seen: a Globus server whose
// peer is killed calls that a failed command (500), in the words of its library.
func (e *ReplyError) DataChannel() bool {
	broke := e.Reply.Code == 500 && e.says("an end-of-file was reached", "an i/o operation was cancelled", "connection reset by peer", "broken pipe")
	return e.Reply.Code == 425 || e.Reply.Code == 426 || e.Category == CategoryDataChannel || broke
}

// Busy reports a limit of the server that passes: too many sessions.
func (e *ReplyError) Busy() bool {
	return e.Reply.Code == 421 && e.says("too many", "limit", "maximum", "try again", "busy")
}

// Temporary reports a refusal that the server itself calls passing (4yz).
func (e *ReplyError) Temporary() bool { return e.Reply.Code/100 == 4 }

func (e *ReplyError) is(category string, errno syscall.Errno) bool {
	return category != "" && e.Category == category || e.Errno == errno
}

// says looks into the words, which is all that servers other than Globus's
// give. A structured refusal has said it in its category.
func (e *ReplyError) says(phrases ...string) bool {
	if e.Category != "" && e.Category != CategoryInternal || e.Errno != 0 {
		return false
	}
	text := strings.ToLower(e.Detail)
	for _, phrase := range phrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}
