package gridftpd

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

// Files shows a storage as the server sees file systems.
func Files(storage endpoints.Storage) server.FileSystem { return &files{storage} }

type files struct{ storage endpoints.Storage }

// Abilities implements server.FileSystem.
func (f *files) Abilities() server.Abilities {
	caps := f.storage.Caps()
	var a server.Abilities
	if _, ok := f.storage.(endpoints.ModeSetter); ok {
		a.Modes = caps.Modes
	}
	if _, ok := f.storage.(endpoints.TimeSetter); ok {
		a.Times = caps.Times
	}
	if _, ok := f.storage.(endpoints.Linker); ok {
		a.Links = caps.Links
	}
	if _, ok := f.storage.(endpoints.Checksummer); ok {
		for _, alg := range caps.Checksums {
			a.Checksums = append(a.Checksums, strings.ToUpper(alg))
		}
	}
	return a
}

// Stat implements server.FileSystem.
func (f *files) Stat(ctx context.Context, p string, follow bool) (gridftp.Entry, error) {
	e, err := f.storage.Stat(ctx, p)
	if err != nil {
		return gridftp.Entry{}, refusal(err)
	}
	if follow {
		return f.followed(ctx, p, e), nil
	}
	return entry(p, e), nil
}

// List implements server.FileSystem.
func (f *files) List(ctx context.Context, p string, page func([]gridftp.Entry) error) error {
	var out []gridftp.Entry
	var stopped error
	err := f.storage.List(ctx, p, func(entries []endpoints.Entry) error {
		out = out[:0]
		for _, e := range entries {
			out = append(out, f.followed(ctx, path.Join(p, e.Name), e))
		}
		stopped = page(out)
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	return refusal(err)
}

// maxLinks is how many links in a row are followed, as many as Linux does.
const maxLinks = 40

// followed describes an entry at p, and when it is a link, what the storage
// finds behind it. A link that the storage does not follow, because it leads
// nowhere or outside, stays a link.
func (f *files) followed(ctx context.Context, p string, link endpoints.Entry) gridftp.Entry {
	if link.Type != endpoints.Link {
		return entry(p, link)
	}
	e, at := link, p
	for range maxLinks {
		at = target(at, e.Target)
		var err error
		if e, err = f.storage.Stat(ctx, at); err != nil {
			return entry(p, link)
		}
		if e.Type == endpoints.Link {
			continue
		}
		// Where the text of a link leads is not always where a driver goes,
		// and the driver counts.
		if !f.leads(ctx, p, e.Type) {
			return entry(p, link)
		}
		out := entry(at, e)
		out.Name, out.LinkTarget = link.Name, target(p, link.Target)
		return out
	}
	return entry(p, link)
}

// target makes what is written in a link at p a path.
func target(p, text string) string {
	if strings.HasPrefix(text, "/") {
		return path.Clean(text)
	}
	return path.Join(path.Dir(p), text)
}

// errEnough ends a listing of which nothing is wanted.
var errEnough = errors.New("enough")

// leads reports whether the storage follows p to something of the type.
func (f *files) leads(ctx context.Context, p string, kind endpoints.Type) bool {
	if kind == endpoints.Dir {
		err := f.storage.List(ctx, p, func([]endpoints.Entry) error { return errEnough })
		return err == nil || errors.Is(err, errEnough)
	}
	r, err := f.storage.Open(ctx, p, 0, 0)
	if err != nil {
		return false
	}
	_ = r.Close() // nothing was read
	return true
}

// entry describes what is at p, without following it.
func entry(p string, e endpoints.Entry) gridftp.Entry {
	out := gridftp.Entry{Name: e.Name, ModTime: e.ModTime, Size: e.Size, Mode: -1}
	if e.Type == endpoints.Link {
		out.LinkTarget = target(p, e.Target)
	}
	if e.Mode != 0 {
		out.Mode = int(e.Mode)
	}
	switch e.Type {
	case endpoints.File:
		out.Type = gridftp.TypeFile
	case endpoints.Dir:
		out.Type = gridftp.TypeDir
	case endpoints.Link:
		out.Type = gridftp.TypeLink
	default:
		out.Type = gridftp.TypeOther
	}
	return out
}

// Open implements server.FileSystem.
func (f *files) Open(ctx context.Context, p string) (server.File, error) {
	r, err := f.storage.Open(ctx, p, 0, -1)
	if err != nil {
		return nil, refusal(err)
	}
	if local, ok := r.(endpoints.FileReader); ok {
		file, _ := local.File()
		info, err := file.Stat()
		if err != nil {
			_ = r.Close() // nothing was read
			return nil, err
		}
		return &localFile{r, file, info.Size()}, nil
	}
	e, err := f.Stat(ctx, p, true)
	if err != nil {
		_ = r.Close() // nothing was read
		return nil, err
	}
	return &remoteFile{ctx: ctx, storage: f.storage, path: p, whole: r, size: e.Size}, nil
}

// A localFile is one whose bytes the kernel can send.
type localFile struct {
	io.Closer
	file *os.File
	size int64
}

func (l *localFile) Size() int64 { return l.size }

func (l *localFile) Source(ranges []data.Range) (data.Source, error) {
	return data.NewFileSource(l.file, ranges...), nil
}

// A remoteFile is read from the storage range by range.
type remoteFile struct {
	ctx     context.Context
	storage endpoints.Storage
	path    string
	whole   io.ReadCloser // from the beginning, until it is of no use
	size    int64
	source  *rangeSource
}

func (r *remoteFile) Size() int64 { return r.size }

func (r *remoteFile) Source(ranges []data.Range) (data.Source, error) {
	r.source = &rangeSource{file: r, ranges: ranges}
	return r.source, nil
}

func (r *remoteFile) Close() error {
	err := r.whole.Close()
	if r.source != nil && r.source.open != nil && r.source.open != r.whole {
		err = errors.Join(err, r.source.open.Close())
	}
	return err
}

// at opens a range. The reader that was opened first serves a range from the
// beginning, which is the most frequent one.
func (r *remoteFile) at(rg data.Range, first bool) (io.ReadCloser, error) {
	if first && rg.Off == 0 {
		return r.whole, nil
	}
	return r.storage.Open(r.ctx, r.path, rg.Off, rg.End-rg.Off)
}

// rangeSource gives ranges one after the other.
type rangeSource struct {
	file   *remoteFile
	ranges []data.Range  // the rest, the current one first
	open   io.ReadCloser // of the current range; nil before it
	begun  bool
}

// Next implements data.Source.
func (s *rangeSource) Next(buf []byte) (off int64, n int, err error) {
	for len(s.ranges) > 0 && s.ranges[0].Off >= s.ranges[0].End {
		if err := s.close(); err != nil {
			return 0, 0, err
		}
		s.ranges = s.ranges[1:]
	}
	if len(s.ranges) == 0 {
		return 0, 0, io.EOF
	}
	current := &s.ranges[0]
	if s.open == nil {
		if s.open, err = s.file.at(*current, !s.begun); err != nil {
			return 0, 0, refusal(err)
		}
		s.begun = true
	}
	off = current.Off
	n, err = io.ReadFull(s.open, buf[:min(int64(len(buf)), current.End-off)])
	current.Off += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return off, n, data.ErrTruncatedFile
	}
	return off, n, refusal(err)
}

func (s *rangeSource) close() error {
	if s.open == nil || s.open == s.file.whole {
		s.open = nil
		return nil
	}
	err := s.open.Close()
	s.open = nil
	return refusal(err)
}

// Create implements server.FileSystem.
func (f *files) Create(ctx context.Context, p string, o server.CreateOptions) (server.Writer, error) {
	w, err := f.storage.Create(ctx, p, endpoints.CreateOptions{Size: o.Size, Offset: o.Offset, Update: o.Update})
	if err != nil {
		return nil, refusal(err)
	}
	if at, ok := w.(io.WriterAt); ok && !f.storage.Caps().StreamOnly {
		return &anywhere{w, at}, nil
	}
	return &forward{w, data.NewOrdered(refusing{w}, o.Offset, maxEarly)}, nil
}

// An anywhere is a file that can be written at any place.
type anywhere struct {
	w  endpoints.Writer
	at io.WriterAt
}

func (a *anywhere) WriteAt(p []byte, off int64) (int, error) {
	n, err := a.at.WriteAt(p, off)
	return n, refusal(err)
}
func (a *anywhere) Commit() error { return refusal(a.w.Commit()) }
func (a *anywhere) Abort() error  { return refusal(a.w.Abort()) }

// maxEarly is how much of one file waits in memory for what belongs before it,
// in bytes.
const maxEarly = 64 << 20

// A forward is a file that can be written from its beginning to its end only.
type forward struct {
	w endpoints.Writer
	*data.Ordered
}

// Fail lets go of writes that wait for what will not come any more.
func (f *forward) Fail(err error) { f.Ordered.Abort(err) }

func (f *forward) Commit() error {
	if err := f.Close(); err != nil {
		return errors.Join(err, f.w.Abort())
	}
	return refusal(f.w.Commit())
}

func (f *forward) Abort() error { return refusal(f.w.Abort()) }

// refusing translates errors before they are kept.
type refusing struct{ w io.Writer }

func (r refusing) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	return n, refusal(err)
}

// Mkdir implements server.FileSystem.
func (f *files) Mkdir(ctx context.Context, p string) error { return refusal(f.storage.Mkdir(ctx, p)) }

// Remove implements server.FileSystem.
func (f *files) Remove(ctx context.Context, p string) error { return refusal(f.storage.Remove(ctx, p)) }

// Rename implements server.FileSystem.
func (f *files) Rename(ctx context.Context, from, to string) error {
	return refusal(f.storage.Rename(ctx, from, to))
}

// Chmod implements server.FileSystem.
func (f *files) Chmod(ctx context.Context, p string, mode uint32) error {
	s, ok := f.storage.(endpoints.ModeSetter)
	if !ok {
		return refusal(cannot("set the mode of", p))
	}
	return refusal(s.SetMode(ctx, p, mode))
}

// SetModTime implements server.FileSystem.
func (f *files) SetModTime(ctx context.Context, p string, t time.Time) error {
	s, ok := f.storage.(endpoints.TimeSetter)
	if !ok {
		return refusal(cannot("set the time of", p))
	}
	return refusal(s.SetModTime(ctx, p, t))
}

// Symlink implements server.FileSystem. The link is written relative to its
// directory: it then means the same to clients, whose root may be a directory
// of ours, and to whoever looks at the files from outside.
func (f *files) Symlink(ctx context.Context, target, p string) error {
	s, ok := f.storage.(endpoints.Linker)
	if !ok {
		return refusal(cannot("make symbolic link", p))
	}
	relative, err := filepath.Rel(path.Dir(p), target)
	if err != nil {
		return refusal(fault.Wrap(fault.Invalid, "make symbolic link", p, err))
	}
	return refusal(s.Symlink(ctx, relative, p))
}

// Checksum implements server.FileSystem.
func (f *files) Checksum(ctx context.Context, p, alg string, offset, length int64) (string, error) {
	s, ok := f.storage.(endpoints.Checksummer)
	if !ok {
		return "", refusal(cannot("compute the checksum of", p))
	}
	sum, err := s.Checksum(ctx, p, strings.ToLower(alg), offset, length, nil)
	return sum, refusal(err)
}

func cannot(op, p string) error {
	return fault.New(fault.Unsupported, op, p, "this storage cannot do that")
}
