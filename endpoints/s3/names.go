package s3

import (
	"errors"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// maxKey is the longest key in bytes (Amazon S3, "Naming objects").
const maxKey = 1024

var (
	errNotUTF8 = errors.New("the name is not UTF-8, which keys of objects are")
	errLongKey = errors.New("the key would be longer than the 1024 bytes that S3 allows")
	errControl = errors.New("the store does not list names with control characters")
)

// object is what a path stands for. Without a bucket it is the list of them,
// and without a key the bucket itself.
type object struct {
	bucket string
	key    string // without a slash at its end
}

// dir is the prefix of the keys below.
func (o object) dir() string {
	if o.key == "" {
		return ""
	}
	return o.key + "/"
}

// object maps a path that was checked.
func (s *Storage) object(p string) object {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(path.Join(s.opts.root, p), "/"), "/")
	return object{bucket, key}
}

// check is CheckPath, and refuses what no key can be.
func (s *Storage) check(op, p string) (object, error) {
	if err := endpoints.CheckPath(op, p); err != nil {
		return object{}, err
	}
	o := s.object(p)
	switch {
	case !utf8.ValidString(p):
		return o, &fault.Error{Kind: fault.Unsupported, Op: op, Path: strings.ToValidUTF8(p, "?"), Err: errNotUTF8, Hint: "rename it where it comes from"}
	case len(o.key) >= maxKey: // a directory has a slash more
		return o, &fault.Error{Kind: fault.Unsupported, Op: op, Path: brief(p), Err: errLongKey, Hint: "shorten the names above it, or write to a shorter prefix"}
	}
	return o, nil
}

// brief is so much of a path that a sentence can tell of it and still end.
func brief(p string) string {
	const most = 200
	if len(p) <= most {
		return p
	}
	return strings.ToValidUTF8(p[:most], "") + "..."
}

// printable says that a name can stand in XML 1.0 (2.2, Char).
func printable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' && r != '\t' || r == '\uFFFE' || r == '\uFFFF' })
}
