package sftp

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/gridferry/gridferry/endpoints"
)

const (
	// pageLeast is how many entries make a page.
	pageLeast = 1000
	// listAhead is how many parts of a listing are asked for ahead. OpenSSH
	// sends 100 entries in each.
	listAhead = 8
	// listersMost is how many directories are listed at once on a connection:
	// sshd allows it 10 sessions (MaxSessions).
	listersMost = 4
	// linksAtOnce is how many links of a page are read at once.
	linksAtOnce = 16
)

// List implements endpoints.Storage. The library has a whole directory in
// memory before it tells of any of it, so listings have sessions of their own,
// spoken here; where the server allows no further session, it is the library's.
func (s *Storage) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	const op = "list"
	c, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer c.release()
	if err := s.within(ctx, c, op, p, true); err != nil {
		return err
	}
	// A page's error is returned as it is.
	var stopped error
	hand := func(entries []endpoints.Entry) error {
		if err := s.targets(ctx, c, p, entries); err != nil {
			return err
		}
		stopped = page(entries)
		return stopped
	}
	l, err := s.lister(ctx, c)
	switch {
	case err != nil:
	case l == nil:
		err = s.listWhole(ctx, c, p, hand)
	default:
		err = l.list(ctx, s, c, s.real(p), hand)
		c.putLister(l, err)
	}
	if stopped != nil {
		return stopped
	}
	return s.classify(ctx, c, op, p, err, reads)
}

// listWhole has the library list a directory.
func (s *Storage) listWhole(ctx context.Context, c *conn, p string, page func([]endpoints.Entry) error) error {
	infos, err := call(ctx, s, c, func() ([]info, error) { return c.sftp.ReadDirContext(ctx, s.real(p)) }, nil)
	for len(infos) > 0 && err == nil {
		n := min(len(infos), pageLeast)
		entries := make([]endpoints.Entry, n)
		for i, fi := range infos[:n] {
			entries[i] = statEntry(fi.Name(), fi)
		}
		err, infos = page(entries), infos[n:]
	}
	return err
}

// targets fills in where the links among entries lead. One that is gone by now
// leads nowhere.
func (s *Storage) targets(ctx context.Context, c *conn, dir string, entries []endpoints.Entry) error {
	var wg sync.WaitGroup
	room := make(chan struct{}, linksAtOnce)
	errs := make([]error, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Type != endpoints.Link {
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			at := s.real(path.Join(dir, e.Name))
			e.Target, errs[i] = call(ctx, s, c, func() (string, error) { return c.sftp.ReadLink(at) }, nil)
			if errors.Is(errs[i], fs.ErrNotExist) {
				errs[i] = nil
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// lister is a session in which one directory after the other is listed.
type lister struct {
	ch ssh.Channel
	id uint32
}

// lister lends a session for listing, or nil where the server allows none.
func (s *Storage) lister(ctx context.Context, c *conn) (*lister, error) {
	select {
	case l := <-c.listers:
		if l != nil {
			return l, nil
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.life.Done():
		return nil, errClosed
	case <-c.gone:
		return nil, c.failure()
	}
	l, err := call(ctx, s, c, func() (*lister, error) {
		ch, err := c.subsystem()
		if err == nil {
			_, err = greet(ch)
		}
		if err != nil {
			return nil, err
		}
		return &lister{ch: ch}, nil
	}, func(l *lister) { _ = l.ch.Close() })
	if err != nil {
		c.listers <- nil
	}
	if errors.As(err, new(*ssh.OpenChannelError)) {
		return nil, nil
	}
	return l, err
}

// putLister takes a session back after a listing, if it is still in order.
func (c *conn) putLister(l *lister, err error) {
	var status *sftp.StatusError
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.As(err, &status) {
		_ = l.ch.Close() // something may be under way in it
		l = nil
	}
	c.listers <- l
}

// Packets of listings (draft-ietf-secsh-filexfer-02, 3).
const (
	packetClose   = 4
	packetOpenDir = 11
	packetReadDir = 12
	packetStatus  = 101
	packetHandle  = 102
	packetName    = 104
)

// list hands over the entries of the directory at real.
func (l *lister) list(ctx context.Context, s *Storage, c *conn, real string, page func([]endpoints.Entry) error) error {
	ask := func(kind byte, arg string) func() (*fields, error) {
		return func() (*fields, error) {
			if err := l.send(kind, arg); err != nil {
				return nil, err
			}
			return l.receive()
		}
	}
	answer, err := call(ctx, s, c, ask(packetOpenDir, real), nil)
	if err != nil {
		return err
	}
	handle := answer.string()
	if answer.bad || answer.kind != packetHandle {
		return errMalformed
	}
	window, under, more := 1, 0, true
	var entries []endpoints.Entry
	for more || under > 0 {
		for ; more && under < window; under++ {
			if err := do(ctx, s, c, func() error { return l.send(packetReadDir, handle) }); err != nil {
				return err
			}
		}
		answer, err := call(ctx, s, c, l.receive, nil)
		under--
		switch {
		case errors.Is(err, io.EOF) && c.failure() == nil:
			more = false
			continue
		case err != nil:
			return err
		case answer.kind != packetName:
			return errMalformed
		}
		window = min(2*window, listAhead)
		some, err := parseNames(answer)
		if err != nil {
			return err
		}
		if entries = append(entries, some...); len(entries) >= pageLeast {
			if err := page(entries); err != nil {
				return err
			}
			entries = entries[:0]
		}
	}
	if _, err := call(ctx, s, c, ask(packetClose, handle), nil); err != nil {
		return err
	}
	if len(entries) > 0 {
		return page(entries)
	}
	return nil
}

// send asks for something with one argument.
func (l *lister) send(kind byte, arg string) error {
	l.id++
	b := make([]byte, 0, 13+len(arg))
	b = binary.BigEndian.AppendUint32(b, uint32(9+len(arg)))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint32(b, l.id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(arg)))
	_, err := l.ch.Write(append(b, arg...))
	return err
}

// receive reads an answer up to what is peculiar to its kind; one that says
// that something went wrong is an error, as the library has them. Which request
// it is of does not matter: those that are under way together are the same.
func (l *lister) receive() (*fields, error) {
	b, err := readPacket(l.ch, maxPacket)
	if err != nil {
		return nil, err
	}
	f := &fields{b: b[4:]}
	f.kind = f.byte()
	f.uint32()
	if f.kind != packetStatus {
		return f, nil
	}
	code := f.uint32()
	switch {
	case f.bad:
		return nil, errMalformed
	case code == 0:
		return f, nil
	case code == statusEOF:
		return nil, io.EOF
	case code == statusNoSuchFile:
		return nil, fs.ErrNotExist
	case code == statusPermission:
		return nil, fs.ErrPermission
	}
	return nil, &sftp.StatusError{Code: code}
}
