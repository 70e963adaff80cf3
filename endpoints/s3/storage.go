package s3

import (
	"context"
	"errors"
	"maps"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Storage is a store, or a part of one, as one identity sees it.
type Storage struct {
	driver       *Driver
	client       *client
	opts         options
	name         string
	domain       string
	fingerprint  string
	life         context.Context // ends with Close
	end          context.CancelFunc
	dirs         *dirs
	fresh        *fresh
	prefixes     *prefixes
	timesInLists bool // see ListTimes

	mu      sync.Mutex
	uploads map[string]*upload // by the path of the claim
}

var (
	_ endpoints.Checksummer  = (*Storage)(nil)
	_ endpoints.TimeSetter   = (*Storage)(nil)
	_ endpoints.TimeLister   = (*Storage)(nil)
	_ endpoints.Credentialed = (*Storage)(nil)
)

const (
	// AtOnce is how many bytes go in one request, from memory: such a file is
	// under its name as a whole, or not at all.
	AtOnce = 16 << 20

	// partSize is how long parts are, unless the file is so large that it would
	// have too many of them: then they are a multiple of it.
	partSize = 8 << 20

	// mostParts is what stores allow, with at least 5 MiB in each but the last and
	// at most 5 GiB: see "Amazon S3 multipart upload limits".
	mostParts = 10_000

	// copyLimit is the longest object that one request copies.
	copyLimit = 5 << 30
)

// Caps tells what the store can do.
func (s *Storage) Caps() endpoints.Caps {
	c := endpoints.Caps{
		Kind: Kind, Server: s.opts.url, Times: s.opts.times, Multiplexed: true,
		AtOnce: AtOnce, OneAnswer: pieceInOne, Parts: parts(), NoEmptyDirs: !s.opts.emptyDirs,
	}
	if s.opts.checksums {
		c.Checksums = algorithms()
	}
	return c
}

// Fingerprint implements endpoints.Credentialed.
func (s *Storage) Fingerprint() string { return s.fingerprint }

// ListTimes implements endpoints.TimeLister.
func (s *Storage) ListTimes() { s.timesInLists = true }

// Close implements endpoints.Storage.
func (s *Storage) Close() error {
	s.end()
	return nil
}

// enter is the beginning of every call. The context that it returns ends with
// the storage, too; leave is called when the call is over.
func (s *Storage) enter(ctx context.Context, op, p string) (_ context.Context, o object, leave func(), err error) {
	if o, err = s.check(op, p); err != nil {
		return ctx, o, nil, err
	}
	if err := ctx.Err(); err != nil {
		return ctx, o, nil, fault.Wrap(fault.KindOf(err), op, p, err)
	}
	if s.life.Err() != nil {
		return ctx, o, nil, fault.Wrap(fault.Transient, op, p, errClosed)
	}
	ctx, leave = s.within(ctx)
	return ctx, o, leave, nil
}

func (s *Storage) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// failed is classify, for a context that enter has made: of a storage that was
// closed, that one says cancelled too.
func (s *Storage) failed(ctx context.Context, op, p string, err error) error {
	if err != nil && s.life.Err() != nil && ctx.Err() != nil {
		return fault.Wrap(fault.Transient, op, p, errClosed)
	}
	return s.classify(ctx, op, p, err)
}

// The metadata that we give to objects. Stores keep the keys in lower case.
const (
	metaTime   = "mtime"            // Unix time in decimal seconds, as rclone has it
	metaUpload = "gridferry-upload" // of a claim: the id of the multipart upload
	metaKey    = "gridferry-key"    // of a claim: the key it is to
	metaSize   = "gridferry-size"   // of a claim: bytes of the whole file
	metaPart   = "gridferry-part"   // of a claim: bytes of each part but the last
	metaToken  = "gridferry-token"  // of a claim and of the object that it became
)

// meta is metadata with a modification time.
func (s *Storage) meta(t time.Time) map[string]string {
	if t.IsZero() || !s.opts.times {
		return nil
	}
	return map[string]string{metaTime: formatTime(t)}
}

func formatTime(t time.Time) string {
	text := strconv.FormatInt(t.Unix(), 10)
	if ns := t.Nanosecond(); ns > 0 {
		digits := strconv.Itoa(1_000_000_000 + ns)[1:]
		text += "." + strings.TrimRight(digits, "0")
	}
	return text
}

// maxSeconds is year 9999; what is beyond is not a time that anything keeps.
const maxSeconds = 253402300799

func parseTime(text string) (time.Time, bool) {
	whole, frac, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < -maxSeconds || sec > maxSeconds || len(frac) > 9 {
		return time.Time{}, false
	}
	ns, err := strconv.ParseUint("0"+frac+strings.Repeat("0", 9-len(frac)), 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(ns)).UTC(), true
}

// modTime is the time of an object: what its writer said, else when the store
// got it.
func (s *Storage) modTime(meta map[string]string, stored *time.Time) time.Time {
	if s.opts.times {
		if t, ok := parseTime(meta[metaTime]); ok {
			return t
		}
	}
	if stored == nil {
		return time.Time{}
	}
	return stored.UTC()
}

// head asks for an object. An answer without words, as they are to HEAD, that
// is not "there is none" is asked for again in a way that has some.
func (s *Storage) head(ctx context.Context, o object, key string) (*s3.HeadObjectOutput, error) {
	in := &s3.HeadObjectInput{Bucket: &o.bucket, Key: &key, RequestPayer: s.opts.payer}
	if s.opts.checksums {
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := s.client.HeadObject(ctx, in)
	if err == nil || ctx.Err() != nil {
		return out, err
	}
	if a := answerOf(err); a == nil || a.status >= 500 {
		return nil, err
	}
	_, wordy := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &o.bucket, Prefix: &key, MaxKeys: aws.Int32(1), RequestPayer: s.opts.payer})
	if wordy != nil && !isGone(err) || hasCode(wordy, "NoSuchBucket") {
		return nil, wordy
	}
	return nil, err
}

// Stat implements endpoints.Storage.
func (s *Storage) Stat(ctx context.Context, p string) (endpoints.Entry, error) {
	const op = "stat"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return endpoints.Entry{}, err
	}
	defer leave()
	e, err := s.stat(ctx, p, o)
	return e, s.failed(ctx, op, p, err)
}

func (s *Storage) stat(ctx context.Context, p string, o object) (endpoints.Entry, error) {
	e := endpoints.Entry{Name: p, Type: endpoints.Dir}
	if o.key != "" {
		h, err := s.head(ctx, o, o.key)
		switch {
		case err == nil && s.isClaim(h.Metadata):
			return s.statClaim(ctx, p, o, h.Metadata)
		case err == nil:
			e.Type, e.Size, e.ModTime = endpoints.File, aws.ToInt64(h.ContentLength), s.modTime(h.Metadata, h.LastModified)
			e.Offline, e.Version = s.offline(h.StorageClass, h.ArchiveStatus, h.Restore), etag(h.ETag)
			return e, nil
		case !isGone(err):
			return endpoints.Entry{}, err
		}
	}
	d, err := s.findDir(ctx, p, o)
	if err != nil {
		return endpoints.Entry{}, err
	}
	if d == nil {
		return endpoints.Entry{}, fault.New(fault.NotFound, "stat", p, "there is no object of this key, and none below it")
	}
	if o.key != "" && s.opts.times {
		if h, err := s.head(ctx, o, o.dir()); err == nil {
			e.ModTime = s.modTime(h.Metadata, h.LastModified)
		}
	}
	return e, nil
}

// Mkdir implements endpoints.Storage: an empty object of the name with a slash,
// where the store keeps such.
func (s *Storage) Mkdir(ctx context.Context, p string) error {
	const op = "make directory"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	return s.failed(ctx, op, p, s.mkdir(ctx, op, p, o))
}

func (s *Storage) mkdir(ctx context.Context, op, p string, o object) error {
	d, err := s.findDir(ctx, p, o)
	switch {
	case err != nil && !hasCode(err, "NoSuchBucket", "InvalidBucketName", "ObjectParentIsFile"):
		return err
	case d != nil:
		return fault.New(fault.Exists, op, p, "the directory exists")
	case o.key == "":
		return &fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: errNoBucket, Hint: "make the bucket first: where it is and who may use it is its owner's to say"}
	}
	if err := s.vacant(ctx, op, p); err != nil {
		return err
	}
	if _, err := s.head(ctx, o, o.key); err == nil {
		return fault.New(fault.Exists, op, p, "there is a file of this name")
	} else if !isGone(err) {
		return err
	}
	if !s.opts.emptyDirs {
		return nil
	}
	if err := s.putEmpty(ctx, o, o.dir(), nil); err != nil {
		return err
	}
	if err := s.sureOfMarkers(ctx, op, p, o); err != nil {
		return err
	}
	s.dirs.made(p)
	return nil
}

var errMarkers = errors.New("the store takes the empty object that keeps a folder for a file")

// sureOfMarkers looks, once for each client, at what has become of the object
// that keeps a directory: some servers cut the slash from its key.
func (s *Storage) sureOfMarkers(ctx context.Context, op, p string, o object) error {
	if s.client.markers.Load() {
		return nil
	}
	h, err := s.head(ctx, o, o.key)
	switch {
	case isGone(err):
		s.client.markers.Store(true)
		return nil
	case err != nil:
		return err
	case aws.ToInt64(h.ContentLength) > 0 || s.isClaim(h.Metadata):
		return fault.New(fault.Exists, op, p, "there is a file of this name") // somebody else's, since just now
	}
	if err := s.deleteKey(ctx, o, o.dir()); err != nil {
		return err
	}
	return &fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: errMarkers, Hint: "set the endpoint's option " + optionEmptyFolders + " to off"}
}

// putEmpty writes an object that is there for its name and metadata.
func (s *Storage) putEmpty(ctx context.Context, o object, key string, meta map[string]string) error {
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.bucket, Key: &key, Metadata: meta, ContentLength: aws.Int64(0), RequestPayer: s.opts.payer,
		ServerSideEncryption: s.opts.sse, SSEKMSKeyId: s.opts.kmsKey,
	})
	return err
}

// Remove implements endpoints.Storage. In a bucket with versions it hides the
// object, and what it held can be had back.
func (s *Storage) Remove(ctx context.Context, p string) error {
	const op = "remove"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	return s.failed(ctx, op, p, s.remove(ctx, op, p, o))
}

func (s *Storage) remove(ctx context.Context, op, p string, o object) error {
	if o.key == "" || p == "/" {
		return fault.New(fault.Permission, op, p, "buckets and the root of an endpoint are not removed")
	}
	s.fresh.forget(p)
	if !s.opts.emptyDirs {
		s.dirs.forgetAbove(p)
	}
	h, err := s.head(ctx, o, o.key)
	switch {
	case err == nil:
		if s.isClaim(h.Metadata) {
			if err := s.abandon(ctx, p, o, h.Metadata); err != nil {
				return err
			}
		}
		return s.deleteKey(ctx, o, o.key)
	case !isGone(err):
		return err
	}
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &o.bucket, Prefix: aws.String(o.dir()), MaxKeys: aws.Int32(2), EncodingType: types.EncodingTypeUrl, RequestPayer: s.opts.payer,
	})
	switch {
	case err != nil:
		return err
	case len(out.Contents) == 0:
		return fault.New(fault.NotFound, op, p, "there is no such object or prefix")
	case len(out.Contents) > 1 || plain(out.Contents[0].Key, out.EncodingType) != o.dir():
		return fault.New(fault.Exists, op, p, "the directory is not empty")
	}
	s.dirs.removed(p)
	return s.deleteKey(ctx, o, o.dir())
}

func (s *Storage) deleteKey(ctx context.Context, o object, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &o.bucket, Key: &key, RequestPayer: s.opts.payer})
	return err
}

// Rename implements endpoints.Storage. A claim is completed when its file gets
// the name that it is for; what else is renamed, the store copies, object by
// object below a directory.
func (s *Storage) Rename(ctx context.Context, from, to string) error {
	const op = "rename"
	ctx, o, leave, err := s.enter(ctx, op, from)
	if err != nil {
		return err
	}
	defer leave()
	target, err := s.check(op, to)
	if err != nil {
		return err
	}
	if o.key == "" || target.key == "" {
		return fault.New(fault.Unsupported, op, from, "buckets are not renamed")
	}
	return s.failed(ctx, op, from, s.rename(ctx, op, from, to, o, target))
}

func (s *Storage) rename(ctx context.Context, op, from, to string, o, target object) error {
	h, err := s.head(ctx, o, o.key)
	if err != nil && !isGone(err) {
		return err
	}
	if err != nil {
		return s.renameDir(ctx, op, from, to, o, target)
	}
	if from == to {
		return nil
	}
	if err := s.vacant(ctx, op, to); err != nil {
		return err
	}
	if s.isClaim(h.Metadata) {
		return s.renameClaim(ctx, op, from, to, o, target, h.Metadata)
	}
	s.fresh.forget(from)
	s.fresh.forget(to)
	if !s.opts.emptyDirs && path.Dir(from) != path.Dir(to) {
		s.dirs.forgetAbove(from)
	}
	if err := s.copyObject(ctx, o, o.key, target, target.key, h, nil); err != nil {
		return err
	}
	return s.deleteKey(ctx, o, o.key)
}

// renameDir copies what is below a prefix, and then removes it.
func (s *Storage) renameDir(ctx context.Context, op, from, to string, o, target object) error {
	switch d, err := s.findDir(ctx, from, o); {
	case err != nil:
		return err
	case d == nil:
		return fault.New(fault.NotFound, op, from, "there is no such object or prefix")
	case from == to:
		return nil
	case strings.HasPrefix(to, from+"/"):
		return fault.New(fault.Exists, op, from, "a directory cannot be moved into itself")
	}
	if err := s.vacant(ctx, op, to); err != nil {
		return err
	}
	if _, err := s.head(ctx, target, target.key); err == nil {
		return fault.New(fault.Exists, op, to, "there is a file of this name")
	} else if !isGone(err) {
		return err
	}
	s.dirs.forget()
	// Everything is copied before anything is removed: who is interrupted has it
	// twice, and never in halves.
	for _, fn := range []func(key string) error{
		func(key string) error {
			h, err := s.head(ctx, o, key)
			if err != nil {
				return err
			}
			switch {
			case s.isClaim(h.Metadata):
				return nil // it leads to the old name
			case strings.HasSuffix(key, "/"): // which not every store copies
				return s.putEmpty(ctx, target, target.dir()+strings.TrimPrefix(key, o.dir()), h.Metadata)
			}
			return s.copyObject(ctx, o, key, target, target.dir()+strings.TrimPrefix(key, o.dir()), h, nil)
		},
		func(key string) error { return s.deleteKey(ctx, o, key) },
	} {
		if err := s.below(ctx, o, fn); err != nil {
			return err
		}
	}
	return nil
}

// below calls fn for each key below a prefix.
func (s *Storage) below(ctx context.Context, o object, fn func(key string) error) error {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &o.bucket, Prefix: aws.String(o.dir()), EncodingType: types.EncodingTypeUrl, RequestPayer: s.opts.payer,
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, c := range out.Contents {
			if err := fn(plain(c.Key, out.EncodingType)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyObject has the store copy an object, with its metadata or, where meta is
// not nil, with others.
func (s *Storage) copyObject(ctx context.Context, from object, fromKey string, to object, toKey string, h *s3.HeadObjectOutput, meta map[string]string) error {
	if aws.ToInt64(h.ContentLength) > copyLimit {
		return s.copyLarge(ctx, from, fromKey, to, toKey, h, meta)
	}
	in := &s3.CopyObjectInput{
		Bucket: &to.bucket, Key: &toKey, CopySource: aws.String(endpoints.EscapePath(from.bucket + "/" + fromKey)), CopySourceIfMatch: h.ETag,
		RequestPayer: s.opts.payer, ServerSideEncryption: s.opts.sse, SSEKMSKeyId: s.opts.kmsKey, StorageClass: s.opts.class,
	}
	if meta != nil {
		in.MetadataDirective, in.Metadata, in.ContentType = types.MetadataDirectiveReplace, meta, h.ContentType
	}
	if s.opts.checksums {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
	}
	_, err := s.client.CopyObject(ctx, in)
	return err
}

// SetModTime implements endpoints.TimeSetter. S3 changes no metadata: the store
// copies the object onto itself, unless it was written with this time.
func (s *Storage) SetModTime(ctx context.Context, p string, t time.Time) error {
	const op = "set the time of"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	if !s.opts.times {
		return fault.New(fault.Unsupported, op, p, "the endpoint keeps no times (options."+optionTimes+")")
	}
	if f, ok := s.fresh.get(p); ok && f.modTime.Equal(t) && !t.IsZero() {
		return nil
	}
	return s.failed(ctx, op, p, s.setModTime(ctx, op, p, o, t))
}

func (s *Storage) setModTime(ctx context.Context, op, p string, o object, t time.Time) error {
	if o.key == "" {
		return fault.New(fault.Unsupported, op, p, "buckets have no such time")
	}
	key := o.key
	h, err := s.head(ctx, o, key)
	if isGone(err) {
		key = o.dir()
		h, err = s.head(ctx, o, key)
	}
	switch {
	case isGone(err):
		switch d, err := s.findDir(ctx, p, o); {
		case err != nil:
			return err
		case d == nil:
			return fault.New(fault.NotFound, op, p, "there is no such object or prefix")
		}
		return fault.New(fault.Unsupported, op, p, "no object stands for this prefix")
	case err != nil:
		return err
	case h.Metadata[metaTime] == formatTime(t):
		return nil
	case s.isClaim(h.Metadata):
		return fault.New(fault.Unsupported, op, p, "the metadata of an upload were given when it was begun")
	}
	meta := maps.Clone(h.Metadata)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[metaTime] = formatTime(t)
	if key != o.key {
		return s.putEmpty(ctx, o, key, meta)
	}
	return s.copyObject(ctx, o, key, o, key, h, meta)
}
