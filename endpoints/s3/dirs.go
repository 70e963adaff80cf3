package s3

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/fault"
)

var errNoBucket = errors.New("there is no such bucket")

// dirs remembers prefixes that were seen, so that writing a thousand files into
// one directory asks once whether it is there. S3 does not mind when it has gone
// meanwhile: the key alone is enough.
type dirs struct {
	mu   sync.Mutex
	seen map[string]*dir // by path
}

type dir struct {
	until time.Time
	names map[string]bool // of the directories in it
	whole bool            // names are all of them
}

const (
	dirsFor  = 30 * time.Second
	dirsMost = 2000
)

func newDirs() *dirs { return &dirs{seen: map[string]*dir{}} }

func (d *dirs) get(p string) *dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.seen[p]; known != nil && time.Now().Before(known.until) {
		return known
	}
	return nil
}

func (d *dirs) put(p string, found *dir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep(p, found)
}

// keep makes room first. The caller holds mu.
func (d *dirs) keep(p string, found *dir) {
	if len(d.seen) >= dirsMost {
		clear(d.seen)
	}
	found.until = time.Now().Add(dirsFor)
	d.seen[p] = found
}

// made notes an empty directory.
func (d *dirs) made(p string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep(p, &dir{names: map[string]bool{}, whole: true})
	if parent := d.seen[path.Dir(p)]; parent != nil {
		parent.names[path.Base(p)] = true
	}
}

// removed forgets a directory.
func (d *dirs) removed(p string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, p)
	if parent := d.seen[path.Dir(p)]; parent != nil {
		delete(parent.names, path.Base(p))
	}
}

// forgetAbove forgets the directories above p, which may come and go with it.
func (d *dirs) forgetAbove(p string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for p != "/" {
		p = path.Dir(p)
		delete(d.seen, p)
	}
}

func (d *dirs) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.seen)
}

// holds says whether a directory of the name is in d; known is false when that
// has to be asked.
func (d *dirs) holds(parent *dir, name string) (there, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return parent.names[name], parent.whole || parent.names[name]
}

// findDir returns the directory at p; nil when nothing is below that prefix.
func (s *Storage) findDir(ctx context.Context, p string, o object) (*dir, error) {
	if known := s.dirs.get(p); known != nil {
		return known, nil
	}
	found := &dir{names: map[string]bool{}}
	if o.bucket == "" {
		s.dirs.put(p, found)
		return found, nil
	}
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &o.bucket, Prefix: aws.String(o.dir()), Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl, RequestPayer: s.opts.payer,
	})
	if err != nil {
		return nil, err
	}
	s.client.literal.Store(out.EncodingType != types.EncodingTypeUrl)
	if len(out.Contents)+len(out.CommonPrefixes) == 0 && p != "/" && o.key != "" {
		return nil, nil
	}
	found.whole = !aws.ToBool(out.IsTruncated)
	for _, c := range out.CommonPrefixes {
		found.names[strings.TrimSuffix(strings.TrimPrefix(plain(c.Prefix, out.EncodingType), o.dir()), "/")] = true
	}
	s.dirs.put(p, found)
	return found, nil
}

// vacant makes sure that a file may be written at p: its directory is there, or
// may come with it, and it is none itself.
func (s *Storage) vacant(ctx context.Context, op, p string) error {
	parent := path.Dir(p)
	if p == "/" || s.object(p).key == "" {
		return fault.New(fault.Exists, op, p, "the name is a directory's")
	}
	po := s.object(parent)
	d, err := s.findDir(ctx, parent, po)
	if err != nil && !hasCode(err, "ObjectParentIsFile") {
		return err
	}
	if d == nil {
		for up := parent; up != "/" && s.object(up).key != ""; up = path.Dir(up) {
			uo := s.object(up)
			if _, err := s.head(ctx, uo, uo.key); err == nil {
				return fault.New(fault.Exists, op, p, up+" is a file")
			}
		}
		if s.opts.emptyDirs {
			return fault.New(fault.NotFound, op, p, "there is no directory "+parent)
		}
		d = &dir{whole: true} // it comes with what is written, and so may those above
		s.dirs.forgetAbove(p)
	}
	if s.client.literal.Load() && !printable(path.Base(p)) {
		return &fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: errControl, Hint: "rename it where it comes from"}
	}
	there, known := s.dirs.holds(d, path.Base(p))
	if !known {
		o := s.object(p)
		self, err := s.findDir(ctx, p, o)
		if err != nil {
			return err
		}
		there = self != nil
	}
	if there {
		return fault.New(fault.Exists, op, p, "there is a directory of this name")
	}
	return nil
}
