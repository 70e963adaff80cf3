package gridftp

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Storage is an endpoint as one owner sees it.
type Storage struct {
	driver *Driver
	team   *team
	gate   *gate  // nil: no limits
	leave  func() // gives both back
	name   string // of the endpoint, for errors
	domain string // the record's SecurityDomain
	owner  string
	lent   *Lent  // see Identity
	root   string // in front of every path; empty or "/a/b"
	caps   endpoints.Caps
	says   []string // see Says

	exactTimes bool                   // in listings
	carries    func(name string) bool // in commands, as it is
	home       string                 // of a plain FTP server: where sessions begin; empty when it did not say

	mu      sync.Mutex
	config  wire.Config
	private bool // see SetPrivate
	using   map[*wire.Client]*server
	coming  int // sessions that are being made
	closed  bool
}

var (
	_ endpoints.Checksummer = (*Storage)(nil)
	_ endpoints.TimeSetter  = (*Storage)(nil)
	_ endpoints.ModeSetter  = (*Storage)(nil)
	_ endpoints.Linker      = (*Storage)(nil)
	_ endpoints.ThirdParty  = (*Storage)(nil)
	_ endpoints.Expirer     = (*Storage)(nil)
	_ endpoints.Watched     = (*Storage)(nil)

	_ endpoints.SelfDescriber = (*Storage)(nil)

	_ endpoints.Credentialed = (*Storage)(nil)
)

// Caps tells what the server can do.
func (s *Storage) Caps() endpoints.Caps { return s.caps }

// Says implements endpoints.SelfDescriber: the answer to FEAT.
func (s *Storage) Says() []string { return s.says }

// Expires implements endpoints.Expirer: plain FTP and ssh know no end.
func (s *Storage) Expires() time.Time {
	switch {
	case s.config.Credential == nil:
		return time.Time{}
	case s.lent != nil:
		return s.lent.Expires
	}
	return s.config.Credential.NotAfter()
}

// Fingerprint implements endpoints.Credentialed.
func (s *Storage) Fingerprint() string {
	switch {
	case s.config.Credential == nil:
		return ""
	case s.lent != nil:
		return s.lent.Fingerprint
	}
	return s.config.Credential.Fingerprint()
}

// learn finds out what the server can do.
func (s *Storage) learn(c *wire.Client) {
	f := c.Features()
	extended := f.Has("PARALLEL") || f.Has("ERET") // what only GridFTP servers have
	_, modes := f.Facts()["unix.mode"]
	s.caps = endpoints.Caps{
		Kind:          Kind,
		Server:        strings.TrimSpace(c.Greeting()),
		StreamOnly:    !extended,
		Ranges:        extended,
		Times:         f.Has("MFMT") || f.Has("MDTM"),
		Modes:         modes,
		Links:         extended,
		ResolvesLinks: extended,
		RTT:           c.RTT(),
	}
	s.exactTimes = f.Has("MLST")
	s.carries = c.Carries
	s.home = c.Home()
	s.says = f.Reply().Middle()
	var offered []string
	for _, alg := range f.Checksums() {
		offered = append(offered, strings.ToLower(alg))
	}
	for _, alg := range endpoints.Algorithms() { // which are sorted by strength
		if slices.Contains(offered, alg) {
			s.caps.Checksums = append(s.caps.Checksums, alg)
		}
	}
}

// SetPrivate makes the data channels of what is opened, created and sent from
// now on confidential, or as the record has them.
func (s *Storage) SetPrivate(private bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if private && s.config.Scheme != wire.GSIFTP {
		return fault.New(fault.Unsupported, "encrypt transfers with", s.name, "only gsiftp has private data channels")
	}
	s.private = private
	return nil
}

// Watch implements endpoints.Watched.
func (s *Storage) Watch(fn func(endpoints.ServerChange)) (stop func()) { return s.team.watch(fn) }

// at names a server of the endpoint.
func (s *Storage) at(addr string) string {
	if strings.Contains(s.name, "://") {
		return s.name
	}
	return s.name + " (" + addr + ")"
}

func (s *Storage) errClosed(op string) error {
	return fault.New(fault.Transient, op, s.name, "the storage is closed")
}

// Close ends the sessions in use; idle ones stay in the driver's pool.
func (s *Storage) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.using {
		c.Interrupt()
	}
	s.mu.Unlock()
	s.settle()
	return nil
}

// home is the login directory in paths, as in URLs that people write.
const home = "/~"

// remote is a path as the server has it. GridFTP servers know the login
// directory as "~", and only without a slash in front.
func (s *Storage) remote(p string) string {
	switch {
	case s.root != "":
		return s.root + strings.TrimSuffix(p, "/")
	case (p == home || strings.HasPrefix(p, home+"/")) && !s.caps.StreamOnly:
		return p[1:]
	}
	return p
}

// Home returns the path of the login directory.
func (s *Storage) Home(context.Context) (string, error) {
	switch {
	case s.root != "":
		return "/", nil
	case s.home != "":
		return s.home, nil
	case s.caps.StreamOnly:
		return "", &fault.Error{Kind: fault.Unsupported, Op: "find the login directory at", Path: s.name,
			Err: errors.New("the server does not tell where it is"), Hint: "write an absolute path"}
	}
	return home, nil
}

// do runs fn with a session.
func (s *Storage) do(ctx context.Context, op, p string, a access, fn func(c *wire.Client, remote string) error) error {
	if err := s.enter(ctx, op, p); err != nil {
		return err
	}
	c, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer s.release(c)
	return s.fail(ctx, c, op, p, fn(c, s.remote(p)), a)
}

// enter is the beginning of every call.
func (s *Storage) enter(ctx context.Context, op, p string) error {
	if err := s.checkPath(op, p); err != nil {
		return err
	}
	return fault.Wrap(fault.KindOf(ctx.Err()), op, p, ctx.Err())
}

func (s *Storage) checkPath(op, p string) error {
	if err := endpoints.CheckPath(op, p); err != nil {
		return err
	}
	if !s.carries(p) {
		return fault.New(fault.Unsupported, op, p, "the name holds bytes that an unprotected session with this server does not carry")
	}
	return nil
}

// classify is the package's, and names the credential that was at fault.
func (s *Storage) classify(ctx context.Context, op, p string, err error, a access) (_ error, sure bool) {
	classified, sure := classify(ctx, op, p, err, a)
	return blame(classified, s.domain, s.config.Credential), sure
}

// fail classifies an error. When the server has refused without a reason, the
// path is looked at for one, with the same session if it has one.
func (s *Storage) fail(ctx context.Context, c *wire.Client, op, p string, err error, a access) error {
	classified, sure := s.classify(ctx, op, p, err, a)
	if sure {
		return classified
	}
	if k := s.reason(ctx, c, s.remote(p), a); k != "" {
		return fault.Wrap(k, op, p, err)
	}
	return classified
}

// reason looks for why a server refused a path: "" is not known. A name to be
// written that is a file already is no reason: files can be replaced.
func (s *Storage) reason(ctx context.Context, c *wire.Client, remote string, a access) fault.Kind {
	if c == nil || c.Err() != nil {
		fresh, err := s.session(ctx)
		if err != nil {
			return ""
		}
		defer s.release(fresh)
		c = fresh
	}
	e, err := c.Stat(ctx, remote)
	switch {
	case err == nil && a == reads && e.IsDir():
		return fault.NotFound // it is no file
	case err == nil && a == writes && e.IsDir():
		return fault.Exists
	case err == nil || !isRefusal(err):
		return ""
	case a == reads:
		return fault.NotFound
	}
	parent, err := c.Stat(ctx, path.Dir(remote))
	switch {
	case err == nil && !parent.IsDir():
		return fault.Exists
	case err != nil && isRefusal(err):
		// Nothing is there; whether it is a level above that is in the way,
		// only the server knew.
		return fault.NotFound
	}
	return ""
}

func isRefusal(err error) bool {
	var r *wire.ReplyError
	return errors.As(err, &r)
}

// makePrivate protects data channels, which must then be authenticated.
func makePrivate(c *wire.Config) {
	c.Prot = gsi.Private
	if c.DataAuth == wire.AuthNone {
		c.DataAuth = wire.AuthAuto
	}
}

// Stat implements endpoints.Storage. Globus servers say of a symbolic link
// where it leads in the end, and nothing of one that leads nowhere.
func (s *Storage) Stat(ctx context.Context, p string) (endpoints.Entry, error) {
	var e endpoints.Entry
	err := s.do(ctx, "look at", p, reads, func(c *wire.Client, remote string) error {
		found, err := c.Stat(ctx, remote)
		e = s.entry(found)
		return err
	})
	e.Name = p
	if err != nil {
		return endpoints.Entry{}, err
	}
	return e, nil
}

// entry translates what the server says. A link is a link, whatever it leads to.
func (s *Storage) entry(w wire.Entry) endpoints.Entry {
	e := endpoints.Entry{Name: w.Name, ModTime: w.ModTime, Mode: uint32(max(0, w.Mode)), Target: w.LinkTarget}
	if inside, ok := strings.CutPrefix(e.Target+"/", s.root+"/"); ok && s.root != "" {
		e.Target = "/" + strings.TrimSuffix(inside, "/")
	}
	switch {
	case w.IsLink():
		e.Type = endpoints.Link
	case w.Type == wire.TypeFile:
		e.Type, e.Size = endpoints.File, max(0, w.Size)
	case w.IsDir():
		e.Type = endpoints.Dir
	default:
		e.Type = endpoints.Other
	}
	return e
}

// listed is entry for listings. LIST gives times to the minute or the day;
// whoever compared them with those of Stat would see every file changed.
func (s *Storage) listed(w wire.Entry) endpoints.Entry {
	e := s.entry(w)
	if !s.exactTimes {
		e.ModTime = time.Time{}
	}
	return e
}

// List implements endpoints.Storage.
func (s *Storage) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	const op = "list"
	var stopped error // by page, whose error is returned as it is
	var entries []endpoints.Entry
	err := s.do(ctx, op, p, reads, func(c *wire.Client, remote string) error {
		err := c.List(ctx, remote, func(found []wire.Entry) error {
			entries = entries[:0]
			for _, w := range found {
				if w.Name == "" || w.Name == "." || w.Name == ".." || strings.ContainsAny(w.Name, "/\x00") {
					// Joined to a path it would lead elsewhere.
					return fault.New(fault.Invalid, op, p, "the server lists a name that cannot be one: "+strings.ToValidUTF8(w.Name, "?"))
				}
				entries = append(entries, s.listed(w))
			}
			stopped = page(entries)
			return stopped
		})
		if _, sure := classify(ctx, op, p, err, reads); !sure && stopped == nil {
			if e, statErr := c.Stat(ctx, remote); statErr == nil && !e.IsDir() {
				return fault.Wrap(fault.NotFound, op, p, err)
			}
		}
		return err
	})
	if stopped != nil {
		return stopped
	}
	return err
}

// Mkdir implements endpoints.Storage.
func (s *Storage) Mkdir(ctx context.Context, p string) error {
	return s.create(ctx, "make directory", p, func(c *wire.Client, remote string) error { return c.Mkdir(ctx, remote) })
}

// Symlink implements endpoints.Linker.
func (s *Storage) Symlink(ctx context.Context, target, p string) error {
	if path.IsAbs(target) {
		target = s.remote(target)
	}
	return s.create(ctx, "make symbolic link", p, func(c *wire.Client, remote string) error { return c.Symlink(ctx, target, remote) })
}

// create is do for what must not be there yet.
func (s *Storage) create(ctx context.Context, op, p string, fn func(c *wire.Client, remote string) error) error {
	return s.do(ctx, op, p, writes, func(c *wire.Client, remote string) error {
		err := fn(c, remote)
		if _, sure := classify(ctx, op, p, err, writes); !sure {
			if _, statErr := c.Stat(ctx, remote); statErr == nil {
				return fault.Wrap(fault.Exists, op, p, err)
			}
		}
		return err
	})
}

// Rename implements endpoints.Storage.
func (s *Storage) Rename(ctx context.Context, from, to string) error {
	const op = "rename"
	if err := s.checkPath(op, to); err != nil {
		return err
	}
	return s.do(ctx, op, from, writes, func(c *wire.Client, remote string) error {
		err := c.Rename(ctx, remote, s.remote(to))
		classified, sure := classify(ctx, op, to, err, writes)
		if sure && !fault.Is(classified, fault.Permission) {
			return err
		}
		// proftpd calls a directory in the way a lack of permission.
		if e, statErr := c.Stat(ctx, s.remote(to)); statErr == nil && e.IsDir() {
			return fault.Wrap(fault.Exists, op, to, err)
		}
		if _, statErr := c.Stat(ctx, remote); !sure && isRefusal(statErr) {
			return fault.Wrap(fault.NotFound, op, from, err)
		}
		return s.fail(ctx, c, op, to, err, writes)
	})
}

// Remove implements endpoints.Storage.
func (s *Storage) Remove(ctx context.Context, p string) error {
	const op = "remove"
	return s.do(ctx, op, p, writes, func(c *wire.Client, remote string) error {
		err := c.RemoveFile(ctx, remote)
		var refusal *wire.ReplyError
		if !errors.As(err, &refusal) || refusal.NotFound() {
			return err
		}
		if refusal.NotDirectory() { // on the way there
			return fault.Wrap(fault.NotFound, op, p, err)
		}
		e, statErr := c.Stat(ctx, remote)
		switch {
		case isRefusal(statErr) && !refusal.Permission():
			return fault.Wrap(fault.NotFound, op, p, err)
		case statErr != nil || e.IsLink() || !e.IsDir():
			return err
		}
		err = c.RemoveDir(ctx, remote)
		if _, sure := classify(ctx, op, p, err, writes); !sure && !empty(ctx, c, remote) {
			return fault.Wrap(fault.Exists, op, p, err)
		}
		return err
	})
}

// empty says whether nothing can be seen in a directory.
func empty(ctx context.Context, c *wire.Client, remote string) bool {
	n := 0
	err := c.List(ctx, remote, func(page []wire.Entry) error { n += len(page); return nil })
	return err == nil && n == 0
}

// Checksum implements endpoints.Checksummer.
func (s *Storage) Checksum(ctx context.Context, p, alg string, offset, length int64, alive func()) (string, error) {
	const op = "compute the checksum of"
	if !slices.Contains(s.caps.Checksums, alg) {
		return "", fault.New(fault.Unsupported, op, p, "the server does not compute "+alg)
	}
	if offset < 0 || length < -1 {
		return "", fault.New(fault.Invalid, op, p, "the range begins before the file")
	}
	var sum string
	err := s.do(ctx, op, p, reads, func(c *wire.Client, remote string) (err error) {
		sum, err = c.Checksum(ctx, alg, remote, offset, length, alive)
		return err
	})
	return sum, err
}

// SetModTime implements endpoints.TimeSetter.
func (s *Storage) SetModTime(ctx context.Context, p string, t time.Time) error {
	const op = "set the time of"
	return s.do(ctx, op, p, reads, func(c *wire.Client, remote string) error {
		err := c.SetModTime(ctx, remote, t)
		if isRefusal(err) && !c.Features().Has("MFMT") {
			switch e, statErr := c.Stat(ctx, remote); {
			case statErr == nil && e.IsDir():
				return fault.Wrap(fault.Unsupported, op, p, err) // vsftpd sets files' only
			case isRefusal(statErr):
				return fault.Wrap(fault.NotFound, op, p, err)
			}
		}
		return err
	})
}

// SetMode implements endpoints.ModeSetter.
func (s *Storage) SetMode(ctx context.Context, p string, mode uint32) error {
	return s.do(ctx, "set the mode of", p, reads, func(c *wire.Client, remote string) error { return c.Chmod(ctx, remote, mode) })
}
