package server

import (
	"context"
	"io"
	"path"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// facts are the facts that listings tell (RFC 3659, 7.5), as OPTS MLST chose.
// The type is always told: an entry without one is of no use.
type facts struct {
	size, modify, mode, slink bool
}

func allFacts() facts { return facts{true, true, true, true} }

// factNames is what FEAT says of MLST.
const factNames = "Type*;Size*;Modify*;UNIX.mode*;UNIX.slink*;"

// chooseFacts reads the list of OPTS MLST.
func chooseFacts(list string) facts {
	var f facts
	for name := range strings.SplitSeq(strings.ToLower(list), ";") {
		switch name {
		case "size":
			f.size = true
		case "modify":
			f.modify = true
		case "unix.mode":
			f.mode = true
		case "unix.slink":
			f.slink = true
		}
	}
	return f
}

// line renders an entry.
func (f facts) line(e gridftp.Entry) string {
	if !f.size {
		e.Size = -1
	}
	if !f.modify {
		e.ModTime = time.Time{}
	}
	if !f.mode {
		e.Mode = -1
	}
	if !f.slink && e.Type != gridftp.TypeLink {
		e.LinkTarget = ""
	}
	return gridftp.FormatFacts(e)
}

// tellable reports whether a name can be part of a listing: one with a line
// end would end its line, and be another entry.
func tellable(name string) bool { return name != "" && !strings.ContainsAny(name, "\x00\r\n") }

func mlst(s *session, arg string) gridftp.Reply {
	if arg == "" {
		arg = "."
	}
	e, err := s.stat(arg)
	if err != nil {
		return s.refuse(err)
	}
	e.Name = arg
	return gridftp.Reply{Code: 250, Lines: []string{"status of " + arg, " " + s.facts.line(e), "End."}}
}

// mlsc lists a directory over the control channel.
func mlsc(s *session, arg string) gridftp.Reply {
	if arg == "" {
		arg = "."
	}
	dir, err := s.path(arg)
	if err != nil {
		return s.refuse(err)
	}
	var reply *multiline
	err = s.list(s.ctx, dir, func(entries []gridftp.Entry) error {
		if reply == nil {
			reply = s.control.begin(250, "Contents of "+arg)
		}
		lines := make([]string, len(entries))
		for i, e := range entries {
			lines[i] = " " + s.facts.line(e)
		}
		return reply.middle(lines)
	})
	if err != nil && reply != nil {
		// What was said cannot be taken back, and must not pass for all.
		s.log.Info("listing failed", "path", dir, "error", err)
		s.leaving = true
		return gridftp.Reply{}
	}
	if err != nil {
		return s.refuse(err)
	}
	return gridftp.NewReply(250, "End.")
}

// list gives a directory's entries, itself and its parent first as the Globus
// server has it, or a file's own.
func (s *session) list(ctx context.Context, dir string, page func([]gridftp.Entry) error) error {
	files := s.config.Files
	self, err := files.Stat(ctx, dir, true)
	if err != nil {
		return err
	}
	if !self.IsDir() {
		self.Name = path.Base(dir)
		return page([]gridftp.Entry{self})
	}
	first := true
	give := func(entries []gridftp.Entry) error {
		all := make([]gridftp.Entry, 0, len(entries)+2)
		if first {
			self.Name, self.Type, self.LinkTarget = ".", gridftp.CurrentDir, ""
			all = append(all, self)
			if parent, err := files.Stat(ctx, path.Dir(dir), true); err == nil {
				parent.Name, parent.Type, parent.LinkTarget = "..", gridftp.ParentDir, ""
				all = append(all, parent)
			}
			first = false
		}
		for _, e := range entries {
			if tellable(e.Name) {
				all = append(all, e)
			} else {
				s.log.Warn("a name cannot be listed", "directory", dir, "name", e.Name)
			}
		}
		return page(all)
	}
	if err := files.List(ctx, dir, give); err != nil || !first {
		return err
	}
	return give(nil) // an empty directory
}

// stat describes one path in the form of LIST (RFC 959), as clients of the
// Globus library ask for; without one it says that the server is there.
func stat(s *session, arg string) gridftp.Reply {
	if arg == "" {
		return gridftp.NewReply(212, "GridFTP server status.")
	}
	e, err := s.stat(arg)
	if err != nil {
		return s.refuse(err)
	}
	e.Name = path.Base(arg)
	return gridftp.Reply{Code: 213, Lines: []string{"status of " + arg, " " + gridftp.FormatListLine(e, time.Now()), "End."}}
}

// listTree is list for all below a directory. Names count from it. Links are
// told and not followed, so that there is an end.
func (s *session) listTree(ctx context.Context, dir string, page func([]gridftp.Entry) error) error {
	var walk func(dir, prefix string) error
	walk = func(dir, prefix string) error {
		var below []string
		err := s.list(ctx, dir, func(entries []gridftp.Entry) error {
			var kept []gridftp.Entry
			for _, e := range entries {
				switch {
				case e.Type == gridftp.ParentDir, e.Type == gridftp.CurrentDir && prefix != "":
					continue
				case e.Type == gridftp.TypeDir && !e.IsLink():
					below = append(below, e.Name)
				}
				if e.Type != gridftp.CurrentDir {
					e.Name = prefix + e.Name
				}
				kept = append(kept, e)
			}
			return page(kept)
		})
		for _, name := range below {
			if err == nil {
				err = walk(path.Join(dir, name), prefix+name+"/")
			}
		}
		return err
	}
	return walk(dir, "")
}

func mlsd(s *session, arg string) gridftp.Reply { return s.listOver(arg, s.list, s.factLine) }
func mlsr(s *session, arg string) gridftp.Reply { return s.listOver(arg, s.listTree, s.factLine) }

func (s *session) factLine(b *strings.Builder, e gridftp.Entry) { b.WriteString(s.facts.line(e)) }

func listCommand(s *session, arg string) gridftp.Reply {
	now := time.Now()
	return s.listOver(withoutOptions(arg), s.list, func(b *strings.Builder, e gridftp.Entry) {
		if e.Type != gridftp.CurrentDir && e.Type != gridftp.ParentDir {
			b.WriteString(gridftp.FormatListLine(e, now))
		}
	})
}

func nlst(s *session, arg string) gridftp.Reply {
	return s.listOver(withoutOptions(arg), s.list, func(b *strings.Builder, e gridftp.Entry) {
		if e.Type != gridftp.CurrentDir && e.Type != gridftp.ParentDir {
			b.WriteString(e.Name)
		}
	})
}

// withoutOptions drops what clients give LIST as if it were the program ls.
func withoutOptions(arg string) string {
	for strings.HasPrefix(arg, "-") {
		_, arg, _ = strings.Cut(arg, " ")
		arg = strings.TrimLeft(arg, " ")
	}
	return arg
}

// A lister gives the entries of a directory.
type lister func(ctx context.Context, dir string, page func([]gridftp.Entry) error) error

// listOver lists a directory over the data channel. Entries for which line
// writes nothing are left out.
func (s *session) listOver(arg string, list lister, line func(*strings.Builder, gridftp.Entry)) gridftp.Reply {
	if arg == "" {
		arg = "."
	}
	s.takeMarker()
	dir, ch, ctx, end, err := s.prepare(arg, true)
	if err != nil {
		return s.refuseTransfer(err)
	}
	defer end()
	if _, err := s.config.Files.Stat(ctx, dir, true); err != nil {
		return s.refuseTransfer(err)
	}
	reply, _ := s.move(ch, func() error { // the reply tells the error
		r, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			err := list(ctx, dir, func(entries []gridftp.Entry) error {
				var b strings.Builder
				for _, e := range entries {
					before := b.Len()
					if line(&b, e); b.Len() > before {
						b.WriteString("\r\n")
					}
				}
				_, err := io.WriteString(w, b.String())
				return err
			})
			w.CloseWithError(err)
		}()
		_, err := s.sendOver(ctx, ch, data.NewStreamSource(r, 0), 0, nil)
		r.CloseWithError(err)
		<-done
		return err
	})
	return reply
}
