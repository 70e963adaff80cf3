package gridftp

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// listPage is how many entries a listing hands over at once.
const listPage = 1000

// ErrNotDirectory says that what was to be listed is no directory.
var ErrNotDirectory = errors.New("not a directory")

// List calls page with the entries of a directory, without the directory
// itself and its parent, in the server's order. An error from page ends the
// listing and is returned as it is; the rest of the answer is read and thrown
// away, so that the session stays usable. The slice belongs to List again when
// page returns.
//
// It uses MLSC, which needs no data channel, where the server has it, else
// MLSD, else LIST. Names with line feeds come whole where lines end with CRLF.
func (c *Client) List(ctx context.Context, path string, page func([]Entry) error) error {
	if err := c.checkName(path); err != nil {
		return err
	}
	switch {
	case c.features.Has("MLSC"):
		return c.listControl(ctx, path, page)
	case c.features.Has("MLST"), c.features.Has("MLSD"):
		return c.listData(ctx, path, "MLSD "+path, &pager{page: page, parse: ParseFacts})
	}
	// A path among LIST's arguments would be taken apart at its spaces, or for
	// options; and only -a shows the names that begin with a dot.
	return c.visit(ctx, path, func() error {
		now := time.Now()
		return c.listData(ctx, path, "LIST -a", &pager{page: page, own: true, parse: func(line string) (Entry, error) {
			if isListHeader(line) {
				return Entry{Type: CurrentDir}, nil
			}
			return ParseListLine(line, now)
		}})
	})
}

// A pager gathers entries into pages.
type pager struct {
	page    func([]Entry) error
	parse   func(line string) (Entry, error)
	entries []Entry
	own     bool  // the directory listed itself
	err     error // page's, or that of the first line that could not be read
}

// line takes one line of a listing.
func (p *pager) line(line string) {
	if p.err != nil {
		return
	}
	e, err := p.parse(line)
	switch {
	case err != nil:
		p.err = err
	case e.Type == CurrentDir, e.Type == ParentDir, e.Name == ".", e.Name == "..":
		p.own = true
	case strings.Contains(e.Name, "/"):
		// It would lead out of the directory, and be no name in it.
		p.err = syntaxError("name in a listing", e.Name)
	default:
		p.entries = append(p.entries, e)
	}
}

// more takes what followed a line end within the last line's name.
func (p *pager) more(text string) {
	if n := len(p.entries); n > 0 && p.err == nil {
		p.entries[n-1].Name += "\r\n" + text
	}
}

// turn hands over a full page. The last entry stays: its name may go on.
func (p *pager) turn() {
	if n := len(p.entries) - 1; n >= listPage && p.err == nil {
		last := p.entries[n]
		p.err = p.page(p.entries[:n])
		p.entries = append(p.entries[:0], last)
	}
}

// end hands over the rest.
func (p *pager) end() error {
	if p.err == nil && len(p.entries) > 0 {
		p.err = p.page(p.entries)
	}
	return p.err
}

// listControl lists over the control connection.
func (c *Client) listControl(ctx context.Context, dir string, page func([]Entry) error) error {
	end, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := c.ctl.send("MLSC " + dir); err != nil {
		return err
	}
	p := &pager{page: page, parse: ParseFacts}
	lines := 0
	for {
		if err := c.ctl.setReadDeadline(time.Now().Add(c.config.Timeouts.List)); err != nil {
			return err
		}
		r, err := c.ctl.readReply(func(line string) error {
			if facts, ok := strings.CutPrefix(line, " "); ok {
				p.line(facts)
			} else {
				p.more(line)
			}
			p.turn()
			if lines++; lines%listPage == 0 {
				return c.ctl.setReadDeadline(time.Now().Add(c.config.Timeouts.List))
			}
			return nil
		})
		if err != nil {
			return err
		}
		if r.Preliminary() {
			continue
		}
		if err := c.judge("MLSC "+dir, r); err != nil {
			return err
		}
		if err := c.ctl.settled(); err != nil {
			return err
		}
		if err := c.checkListed(ctx, dir, p); err != nil {
			return err
		}
		return p.end()
	}
}

// checkListed fails when a server listed a file as if it were a directory
// holding itself, as Globus's do.
func (c *Client) checkListed(ctx context.Context, dir string, p *pager) error {
	if p.own || p.err != nil || len(p.entries) != 1 || p.entries[0].Name != path.Base(dir) {
		return nil
	}
	e, err := c.Stat(ctx, dir)
	if err == nil && !e.IsDir() {
		err = fmt.Errorf("gridftp: list %s: %w", dir, ErrNotDirectory)
	}
	return err
}

// listData lists over a data connection, in stream mode.
func (c *Client) listData(ctx context.Context, dir, command string, p *pager) error {
	o, err := TransferOptions{Mode: Stream, Stall: c.config.Timeouts.List}.normalize(c, false)
	if err != nil {
		return err
	}
	ch, err := c.openChannel(ctx, shape{mode: Stream, dial: true, parallelism: 1, auth: o.Auth, prot: o.Prot})
	if err != nil {
		return err
	}
	ch.config.Connect, ch.config.Stall = o.Connect, o.Stall
	lines := &lineSink{pager: p}
	t := &ticket{Transfer: Transfer{Path: dir, Sink: lines}, lines: []string{command}, limit: -1, channel: ch}
	if err := c.ctl.send(command); err != nil {
		return err
	}
	if err := c.serve(ctx, t, o); err != nil {
		return err
	}
	lines.end()
	if err := c.checkListed(ctx, dir, p); err != nil {
		return err
	}
	return p.end()
}

// A lineSink takes a listing's lines apart as they come.
type lineSink struct {
	pager   *pager
	partial []byte
	strict  bool // only CRLF ends a line: the server has used it
}

// WriteAt takes the next bytes; in stream mode they come in order.
func (s *lineSink) WriteAt(b []byte, _ int64) (int, error) {
	s.partial = append(s.partial, b...)
	from := 0
	for i := 0; i < len(s.partial); i++ {
		if s.partial[i] != '\n' {
			continue
		}
		crlf := i > from && s.partial[i-1] == '\r'
		if s.strict && !crlf {
			continue
		}
		end := i
		if crlf {
			s.strict, end = true, i-1
		}
		s.take(string(s.partial[from:end]))
		from = i + 1
	}
	s.partial = append(s.partial[:0], s.partial[from:]...)
	if len(s.partial) > MaxReplyLine {
		return 0, ErrReplyTooLarge
	}
	return len(b), nil
}

func (s *lineSink) take(line string) {
	s.pager.line(line)
	s.pager.turn()
}

// end takes a last line that nothing ended.
func (s *lineSink) end() {
	if len(s.partial) > 0 {
		s.take(string(s.partial))
	}
}
