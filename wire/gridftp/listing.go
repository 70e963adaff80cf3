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
// It uses MLSC, which needs no data channel. Names with line feeds come whole.
func (c *Client) List(ctx context.Context, path string, page func([]Entry) error) error {
	if err := checkName(path); err != nil {
		return err
	}
	return c.listControl(ctx, path, page)
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
