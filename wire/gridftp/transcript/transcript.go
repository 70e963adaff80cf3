// Package transcript holds conversations with real servers as text that people
// can read, plays the server's part of one to a client, and knows the scenarios
// that were recorded. It is for tests: package gridftp's replay them offline,
// and those of integration/wire record them and see whether they still hold.
//
// A file of testdata has a section for every session, and one for what the
// client made of them:
//
//	# What it shows.
//	== source
//	S: 220 ready
//	C: USER ada
//	== result
//	logged in
//
// C is what the client sent, S what the server said, in the order in which the
// client did and heard so; D, after the reply that named a port, is what came
// over the data connection. GSI sessions are written as they are inside the
// protection. Secrets are "***".
package transcript

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// A Kind says who said a line.
type Kind byte

// The kinds.
const (
	Client Kind = 'C'
	Server Kind = 'S'
	Data   Kind = 'D' // without an end of its own: data has line ends of its own
)

// A Line is one line of a session, without its end.
type Line struct {
	Kind Kind
	Text string
}

// A Session is one control connection.
type Session struct {
	Name  string
	Lines []Line
}

// A Transcript is what a scenario's sessions said.
type Transcript struct {
	About    string
	Sessions []*Session
	Result   []string
}

const resultSection = "result"

// Format writes the transcript as Parse reads it.
func (t *Transcript) Format() []byte {
	var b strings.Builder
	for line := range strings.SplitSeq(t.About, "\n") {
		fmt.Fprintln(&b, strings.TrimRight("# "+line, " "))
	}
	for _, s := range t.Sessions {
		fmt.Fprintln(&b, "==", s.Name)
		for _, line := range s.Lines {
			fmt.Fprintf(&b, "%c: %s\n", line.Kind, escape(line.Text))
		}
	}
	fmt.Fprintln(&b, "==", resultSection)
	for _, line := range t.Result {
		fmt.Fprintln(&b, escape(line))
	}
	return []byte(b.String())
}

// Parse reads what Format wrote.
func Parse(text []byte) (*Transcript, error) {
	t := &Transcript{}
	var about []string
	section := ""
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		bad := func(what string) (*Transcript, error) { return nil, fmt.Errorf("line %d: %s: %q", n, what, line) }
		name, begins := strings.CutPrefix(line, "== ")
		if begins {
			if section = name; section != resultSection {
				t.Sessions = append(t.Sessions, &Session{Name: section})
			}
			continue
		}
		if section == "" {
			if !strings.HasPrefix(line, "#") {
				return bad("not a comment, and in no section")
			}
			about = append(about, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
			continue
		}
		if section == resultSection {
			text, err := unescape(line)
			if err != nil {
				return bad(err.Error())
			}
			t.Result = append(t.Result, text)
			continue
		}
		kind, rest, ok := strings.Cut(line, ": ")
		if !ok || len(kind) != 1 || !strings.Contains("CSD", kind) {
			return bad("not C:, S: or D:")
		}
		text, err := unescape(rest)
		if err != nil {
			return bad(err.Error())
		}
		s := t.Sessions[len(t.Sessions)-1]
		s.Lines = append(s.Lines, Line{Kind(kind[0]), text})
	}
	t.About = strings.Join(about, "\n")
	return t, lines.Err()
}

// escape makes the bytes visible that are not printable ASCII.
func escape(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

func unescape(text string) (string, error) {
	plain, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	if err != nil {
		return "", errors.New("a broken escape")
	}
	return plain, nil
}

// A Recorder takes down sessions as they happen.
type Recorder struct {
	mu       sync.Mutex
	sessions []*Session
}

// Trace is for gridftp.Config: each call begins a session of that name.
func (r *Recorder) Trace(name string) func(sent bool, line string) {
	s := &Session{Name: name}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions = append(r.sessions, s)
	return func(sent bool, line string) {
		kind := Server
		if sent {
			kind = Client
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		s.Lines = append(s.Lines, Line{kind, line})
	}
}

// Sessions returns what was recorded; the sessions must be over.
func (r *Recorder) Sessions() []*Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions
}
