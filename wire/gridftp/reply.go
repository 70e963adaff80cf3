package gridftp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on what a reply may make a reader hold. A listing sent as a reply
// (MLSC) has no bound of its own and is read line by line instead: see
// ReplyParser.Middle.
const (
	MaxReplyLine  = 128 << 10 // bytes in one line, without its end
	MaxReplyLines = 10_000    // lines in one reply
	MaxReplyBytes = 4 << 20   // bytes in one reply
)

// ErrReplyTooLarge says that a peer exceeded one of the limits above.
var ErrReplyTooLarge = errors.New("gridftp: reply too large")

// A SyntaxError reports bytes that are not what the protocol has at that place.
type SyntaxError struct {
	What string // what was being parsed: "reply", "range marker"
	Text string // the offending text, cut to a readable length
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("gridftp: malformed %s %q", e.What, e.Text) }

func syntaxError(what, text string) *SyntaxError {
	const most = 200
	if len(text) > most {
		text = text[:most] + "..."
	}
	return &SyntaxError{What: what, Text: text}
}

// A Reply is one reply of a server (RFC 959, 4.2). Lines holds the text
// without codes and line ends: of a reply of one line, one; of a longer one,
// the first and last line's text and the lines between them. A middle line
// that began with the reply's own code and a hyphen has lost that prefix;
// one that began with a space keeps the space.
type Reply struct {
	Code  int // 100 to 699; 6yz are the protected replies of RFC 2228
	Lines []string
}

// NewReply returns a reply with the lines of text.
func NewReply(code int, text string) Reply {
	return Reply{Code: code, Lines: strings.Split(strings.TrimRight(text, "\r\n"), "\n")}
}

// Preliminary reports a 1yz reply: another one will follow for this command.
func (r Reply) Preliminary() bool { return r.Code/100 == 1 }

// Positive reports a 2yz reply: the command is done.
func (r Reply) Positive() bool { return r.Code/100 == 2 }

// Intermediate reports a 3yz reply: the server waits for more.
func (r Reply) Intermediate() bool { return r.Code/100 == 3 }

// Text joins the lines, trimmed of space, with "; ", for a person to read.
func (r Reply) Text() string {
	var parts []string
	for _, line := range r.Lines {
		if line = strings.TrimSpace(line); line != "" {
			parts = append(parts, line)
		}
	}
	return strings.Join(parts, "; ")
}

// String is the code and Text.
func (r Reply) String() string { return strings.TrimSpace(fmt.Sprintf("%03d %s", r.Code, r.Text())) }

// Middle returns the lines between the first and the last.
func (r Reply) Middle() []string {
	if len(r.Lines) < 3 {
		return nil
	}
	return r.Lines[1 : len(r.Lines)-1]
}

// Append appends the reply as it goes over the wire, each line ended by CRLF.
// Middle lines that do not begin with a space get the code and a hyphen, as
// the Globus server writes them, so that none can be taken for the last one.
// CR, LF and NUL inside a line become spaces: a file's name in a message must
// not forge a reply.
func (r Reply) Append(b []byte) []byte {
	last := len(r.Lines) - 1
	if last < 0 {
		return fmt.Appendf(b, "%03d \r\n", r.Code)
	}
	for i, line := range r.Lines {
		switch {
		case i == last:
			b = fmt.Appendf(b, "%03d ", r.Code)
		case i == 0 || !strings.HasPrefix(line, " "):
			b = fmt.Appendf(b, "%03d-", r.Code)
		}
		for j := 0; j < len(line); j++ {
			if c := line[j]; c == '\r' || c == '\n' || c == 0 {
				b = append(b, ' ')
			} else {
				b = append(b, c)
			}
		}
		b = append(b, '\r', '\n')
	}
	return b
}

// A ReplyParser puts replies together from their lines. The zero value is
// ready; it is not for use by two goroutines.
type ReplyParser struct {
	// Middle, when set, is given each middle line of preliminary and positive
	// replies instead of its being kept, so that a long listing costs no
	// memory: the Globus server answers MLSC with a 150 reply for every
	// thousand entries but the last, which are in the 250 reply.
	Middle func(code int, line string) error

	reply Reply
	bytes int
	open  bool
}

// Line takes the next line, without its end. It reports whether that line
// completed a reply, and the reply.
func (p *ReplyParser) Line(line string) (Reply, bool, error) { return p.line(line, false) }

// line is Line; inside tells that the line is known not to be a reply's last,
// whatever it looks like.
func (p *ReplyParser) line(line string, inside bool) (Reply, bool, error) {
	if len(line) > MaxReplyLine {
		return Reply{}, false, ErrReplyTooLarge
	}
	if !p.open {
		code, sep, text, ok := splitReplyLine(line)
		if !ok {
			return Reply{}, false, syntaxError("reply", line)
		}
		p.reply = Reply{Code: code, Lines: []string{text}}
		p.bytes = len(text)
		p.open = sep == '-'
		return p.reply, !p.open, nil
	}
	code, sep, text, ok := splitReplyLine(line)
	own := ok && code == p.reply.Code
	switch {
	case own && sep == ' ' && !inside:
		p.open = false
		p.reply.Lines = append(p.reply.Lines, text)
		return p.reply, true, nil
	case own && sep == '-':
		line = text
	}
	if p.Middle != nil && (p.reply.Positive() || p.reply.Preliminary()) {
		return Reply{}, false, p.Middle(p.reply.Code, line)
	}
	p.bytes += len(line)
	if len(p.reply.Lines) >= MaxReplyLines || p.bytes > MaxReplyBytes {
		return Reply{}, false, ErrReplyTooLarge
	}
	p.reply.Lines = append(p.reply.Lines, line)
	return Reply{}, false, nil
}

// splitReplyLine splits "250-text" and "250 text". A bare "250" is what some
// servers write for "250 ".
func splitReplyLine(line string) (code int, sep byte, text string, ok bool) {
	if len(line) < 3 {
		return 0, 0, "", false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, 0, "", false
		}
		code = code*10 + int(c-'0')
	}
	if code < 100 || code > 699 {
		return 0, 0, "", false
	}
	if len(line) == 3 {
		return code, ' ', "", true
	}
	if sep = line[3]; sep != ' ' && sep != '-' {
		return 0, 0, "", false
	}
	return code, sep, line[4:], true
}

// ReadLine reads one line, at most limit bytes long, and returns it without
// its CRLF or LF. A longer line is ErrReplyTooLarge; an end of file within a
// line is io.ErrUnexpectedEOF.
func ReadLine(r *bufio.Reader, limit int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > limit+2 {
			return "", ErrReplyTooLarge
		}
		if err == nil && line == nil {
			return trimEnd(string(part)), nil
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return trimEnd(string(line)), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

func trimEnd(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// ReadReply reads one reply.
func ReadReply(r *bufio.Reader) (Reply, error) {
	var p ReplyParser
	for {
		line, err := ReadLine(r, MaxReplyLine)
		if err != nil {
			if p.open && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Reply{}, err
		}
		reply, done, err := p.Line(line)
		if done || err != nil {
			return reply, err
		}
	}
}
