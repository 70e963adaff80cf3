package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// upload is a multipart upload that is open.
//
// Its parts are all of one length, but for the last one, and the part that
// begins at byte off has the number off/unit + 1: it is the same whoever sends
// it, in whatever order. Amazon would take parts of any length and numbers with
// gaps, but Cloudflare wants one length ("Multipart upload" of R2), and rclone no
// gaps (its help of "serve s3").
type upload struct {
	id    string
	key   string // that it will be
	size  int64  // of the whole file; 0 when nobody knows
	unit  int64  // 0: it was begun by a version that had parts of other lengths
	token string // in the metadata of the object that it will be

	mu    sync.Mutex
	parts map[int32]part // that the store has confirmed
}

type part struct {
	size  int64
	etag  string
	crc   uint32
	known bool // crc is
	// computed says that the store has computed crc itself, of what it has
	// received. A store may take one that it is sent, and never look at it.
	computed bool
}

func newUpload(id, key string, size int64) *upload {
	return &upload{id: id, key: key, size: size, unit: unitOf(size), parts: map[int32]part{}}
}

// parts are what the files of a store are made of.
func parts() endpoints.Parts { return endpoints.Parts{Least: partSize, Most: mostParts} }

func unitOf(size int64) int64 { return parts().Unit(size) }

func (u *upload) number(off int64) int32 { return int32(min(off/u.unit, mostParts)) + 1 }

func (u *upload) get(n int32) (part, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, ok := u.parts[n]
	return p, ok
}

func (u *upload) put(n int32, p part) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts[n] = p
}

// foreign says that its parts are not those of a file of that size: somebody
// who cuts files in another way has begun it.
func (u *upload) foreign(size int64) bool { return u.unit != unitOf(size) }

var errForeign = errors.New("the upload was begun with parts of another length, by another version of gridferry")

// chain returns the parts that make the file, one behind the other from its
// first byte, and where they end. Part i of them has the number i+1.
func (u *upload) chain() (all []part, end int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		p, ok := u.parts[int32(len(all))+1]
		if !ok || p.size == 0 || p.size > u.unit || end != int64(len(all))*u.unit {
			return all, end
		}
		all = append(all, p)
		end += p.size
	}
}

// reach is where the last part ends.
func (u *upload) reach() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	var end int64
	for n, p := range u.parts {
		end = max(end, int64(n-1)*u.unit+p.size)
	}
	return end
}

// begin begins an upload.
func (s *Storage) begin(ctx context.Context, o object, size int64, meta map[string]string) (*upload, error) {
	in := &s3.CreateMultipartUploadInput{
		Bucket: &o.bucket, Key: &o.key, Metadata: meta, RequestPayer: s.opts.payer,
		ServerSideEncryption: s.opts.sse, SSEKMSKeyId: s.opts.kmsKey, StorageClass: s.opts.class,
	}
	if s.opts.checksums {
		in.ChecksumAlgorithm, in.ChecksumType = types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject
	}
	out, err := s.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return nil, err
	}
	return newUpload(aws.ToString(out.UploadId), o.key, size), nil
}

// sendPart sends a part, unless the store has it already.
func (s *Storage) sendPart(ctx context.Context, o object, u *upload, off int64, data []byte) error {
	n := u.number(off)
	if n > mostParts {
		return fault.New(fault.Unsupported, "write", u.key, fmt.Sprintf("the file gets longer than its size promised, and has more than %d parts", mostParts))
	}
	sum := crc32.Checksum(data, crcTable())
	if have, ok := u.get(n); ok && have.known && have.size == int64(len(data)) && have.crc == sum {
		return nil
	}
	in := &s3.UploadPartInput{
		Bucket: &o.bucket, Key: &u.key, UploadId: &u.id, PartNumber: &n, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		RequestPayer: s.opts.payer,
	}
	if s.opts.checksums {
		in.ChecksumCRC32C = encodeSum(sum)
	}
	out, err := s.client.UploadPart(ctx, in)
	if err != nil {
		return err
	}
	theirs, computed := decodeSum(out.ChecksumCRC32C)
	if computed && theirs != sum {
		return fault.New(fault.Integrity, "write", u.key, "the store has received other bytes than were sent")
	}
	u.put(n, part{int64(len(data)), etag(out.ETag), sum, true, computed})
	return nil
}

// complete makes the upload an object of size bytes.
func (s *Storage) complete(ctx context.Context, o object, key string, u *upload, size int64) error {
	all, end := u.chain()
	if end != size {
		return fault.New(fault.Integrity, "complete", key, fmt.Sprintf("the store has the first %d bytes of %d in one piece", end, size))
	}
	var done types.CompletedMultipartUpload
	var crc uint32
	known := true
	for i, p := range all {
		c := types.CompletedPart{PartNumber: aws.Int32(int32(i) + 1), ETag: aws.String(p.etag)}
		if s.opts.checksums && p.known {
			c.ChecksumCRC32C = encodeSum(p.crc)
		}
		known = known && p.known
		crc = combine(crc, p.crc, p.size)
		done.Parts = append(done.Parts, c)
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: &o.bucket, Key: &key, UploadId: &u.id, MultipartUpload: &done, RequestPayer: s.opts.payer}
	if s.opts.checksums && known {
		in.ChecksumType, in.ChecksumCRC32C = types.ChecksumTypeFullObject, encodeSum(crc)
	}
	_, err := s.client.CompleteMultipartUpload(ctx, in)
	return err
}

// abortTime bounds giving up an upload whose writer was cancelled.
const abortTime = 15 * time.Second

// abort gives an upload up that nobody else knows of. Where that fails, a rule
// of the bucket that ends incomplete uploads has to.
func (s *Storage) abort(ctx context.Context, o object, u *upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, _ = s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &o.bucket, Key: &u.key, UploadId: &u.id, RequestPayer: s.opts.payer})
}

func (s *Storage) isClaim(meta map[string]string) bool { return meta[metaUpload] != "" }

// claim begins an upload to what a file becomes, and leaves word of it under
// the temporary name, which has to be free. Of several that come at once, one
// is let in.
func (s *Storage) claim(ctx context.Context, op, p string, o object, b *endpoints.Becoming) (*upload, error) {
	target, err := s.check(op, b.Path)
	if err != nil {
		return nil, err
	}
	if target.bucket != o.bucket {
		return nil, fault.New(fault.Unsupported, op, p, "a file cannot move to another bucket")
	}
	meta := s.meta(b.ModTime)
	if meta == nil {
		meta = map[string]string{}
	}
	meta[metaToken] = rand.Text()
	u, err := s.begin(ctx, target, b.Size, meta)
	if err != nil {
		return nil, err
	}
	u.token = meta[metaToken]
	meta[metaUpload], meta[metaKey] = u.id, endpoints.EscapePath(u.key)
	meta[metaSize], meta[metaPart] = strconv.FormatInt(u.size, 10), strconv.FormatInt(u.unit, 10)
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.bucket, Key: &o.key, Metadata: meta, ContentLength: aws.Int64(0), RequestPayer: s.opts.payer,
		ServerSideEncryption: s.opts.sse, SSEKMSKeyId: s.opts.kmsKey, IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		s.abort(ctx, o, u)
		return nil, err
	}
	s.keep(p, u)
	s.fresh.put(p, written{modTime: b.ModTime})
	return u, nil
}

// claimAnew is claim for a name that may be taken: what has it goes.
func (s *Storage) claimAnew(ctx context.Context, op, p string, o object, b *endpoints.Becoming) (*upload, error) {
	u, err := s.claim(ctx, op, p, o, b)
	if !hasCode(err, "PreconditionFailed") {
		return u, err
	}
	if err := s.remove(ctx, op, p, o); err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return s.claim(ctx, op, p, o, b)
}

// keep remembers an upload for its next range. What is decided about it, its
// claim decides.
func (s *Storage) keep(p string, u *upload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[p] = u
}

func (s *Storage) lose(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, p)
}

// findUpload returns the upload that is claimed at p.
func (s *Storage) findUpload(ctx context.Context, op, p string, o object, b *endpoints.Becoming) (*upload, error) {
	s.mu.Lock()
	u := s.uploads[p]
	s.mu.Unlock()
	if u != nil {
		return u, nil
	}
	h, err := s.head(ctx, o, o.key)
	if isGone(err) {
		// A range may be the first one that is written.
		u, err = s.claim(ctx, op, p, o, b)
		if !hasCode(err, "PreconditionFailed", "ConditionalRequestConflict") {
			return u, err
		}
		h, err = s.head(ctx, o, o.key) // somebody else's was
	}
	if err != nil {
		return nil, err
	}
	if !s.isClaim(h.Metadata) {
		return nil, fault.New(fault.Unsupported, op, p, "it was written as a whole, and objects are not changed")
	}
	if u, err = s.openClaim(ctx, op, p, o, h.Metadata); err != nil {
		return nil, err
	}
	if u.foreign(b.Size) {
		return nil, fault.Wrap(fault.Integrity, op, p, errForeign)
	}
	s.keep(p, u)
	return u, nil
}

// openClaim reads what a claim says, and which parts the store has.
func (s *Storage) openClaim(ctx context.Context, op, p string, o object, meta map[string]string) (*upload, error) {
	key, err := url.PathUnescape(meta[metaKey])
	size, sizeErr := strconv.ParseInt(meta[metaSize], 10, 64)
	if err != nil || sizeErr != nil || key == "" || size < 0 {
		return nil, fault.New(fault.Integrity, op, p, "the metadata of the upload were changed")
	}
	u := newUpload(meta[metaUpload], key, size)
	u.token, u.unit = meta[metaToken], 0
	if text := meta[metaPart]; text != "" {
		if u.unit, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fault.New(fault.Integrity, op, p, "the metadata of the upload were changed")
		}
	}
	pages := s3.NewListPartsPaginator(s.client, &s3.ListPartsInput{Bucket: &o.bucket, Key: &u.key, UploadId: &u.id, RequestPayer: s.opts.payer})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return u, err
		}
		for _, there := range out.Parts {
			crc, known := decodeSum(there.ChecksumCRC32C)
			u.put(aws.ToInt32(there.PartNumber), part{aws.ToInt64(there.Size), etag(there.ETag), crc, known, known})
		}
	}
	s.mu.Lock()
	ours := s.uploads[p]
	s.mu.Unlock()
	if ours != nil && ours.id == u.id {
		u.learn(ours)
	}
	return u, nil
}

// learn takes over the checksums of parts that the store has confirmed and
// keeps no checksums of.
func (u *upload) learn(ours *upload) {
	ours.mu.Lock()
	defer ours.mu.Unlock()
	for n, p := range u.parts {
		if o, ok := ours.parts[n]; ok && !p.known && o.known && o.etag == p.etag && o.size == p.size {
			u.parts[n] = o
		}
	}
}

// isOver says that the upload is not there any more.
func isOver(err error) bool {
	a := answerOf(err)
	return a != nil && a.code == "NoSuchUpload" || isGone(err)
}

// became says that the upload of a claim was completed: the object of its key
// has its token.
func (s *Storage) became(ctx context.Context, o object, u *upload) (bool, error) {
	h, err := s.head(ctx, o, u.key)
	if isGone(err) {
		return false, nil
	}
	return err == nil && u.token != "" && h.Metadata[metaToken] == u.token && !s.isClaim(h.Metadata), err
}

func (s *Storage) statClaim(ctx context.Context, p string, o object, meta map[string]string) (endpoints.Entry, error) {
	e := endpoints.Entry{Name: p, Type: endpoints.File, ModTime: s.modTime(meta, nil)}
	u, err := s.openClaim(ctx, "stat", p, o, meta)
	if u != nil && isOver(err) {
		var done bool
		if done, err = s.became(ctx, o, u); done {
			e.Size = u.size
		}
		return e, err
	}
	if err != nil {
		return endpoints.Entry{}, err
	}
	if u.foreign(u.size) {
		return e, nil // nothing of it is of use
	}
	if _, e.Size = u.chain(); e.Size < u.size {
		// Ranges come in any order: what is there may end further on.
		e.Size = u.reach()
	}
	return e, nil
}

func (s *Storage) claimSum(ctx context.Context, op, p string, o object, meta map[string]string) (uint32, error) {
	u, err := s.openClaim(ctx, op, p, o, meta)
	if err != nil {
		return 0, err
	}
	if u.foreign(u.size) {
		return 0, fault.Wrap(fault.Integrity, op, p, errForeign)
	}
	all, end := u.chain()
	if end != u.size {
		return 0, fault.New(fault.Integrity, op, p, fmt.Sprintf("the store has the first %d bytes of %d in one piece", end, u.size))
	}
	var crc uint32
	for _, part := range all {
		if !part.computed {
			return 0, fault.New(fault.Unsupported, op, p, "of some parts the store tells no checksum")
		}
		crc = combine(crc, part.crc, part.size)
	}
	return crc, nil
}

// abandon aborts the upload of a claim.
func (s *Storage) abandon(ctx context.Context, p string, o object, meta map[string]string) error {
	s.lose(p)
	key, err := url.PathUnescape(meta[metaKey])
	if err != nil {
		return fault.New(fault.Integrity, "remove", p, "the metadata of the upload were changed")
	}
	_, err = s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &o.bucket, Key: &key, UploadId: aws.String(meta[metaUpload]), RequestPayer: s.opts.payer,
	})
	if isOver(err) {
		return nil
	}
	return err
}

// renameClaim completes the upload when it gets the name that it is for, and
// hands it on under any other.
func (s *Storage) renameClaim(ctx context.Context, op, from, to string, o, target object, meta map[string]string) error {
	u, err := s.openClaim(ctx, op, from, o, meta)
	if u == nil {
		return err
	}
	if target != (object{o.bucket, u.key}) {
		if path.Dir(from) != path.Dir(to) {
			return fault.New(fault.Unsupported, op, from, "a file on its way to "+u.key+" cannot become another")
		}
		if err != nil {
			return err
		}
		s.lose(from)
		if err := s.putEmpty(ctx, target, target.key, meta); err != nil {
			return err
		}
		s.keep(to, u)
		return s.deleteKey(ctx, o, o.key)
	}
	switch {
	case err == nil && u.foreign(u.size):
		err = fault.Wrap(fault.Integrity, op, from, errForeign)
	case err == nil:
		err = s.complete(ctx, o, u.key, u, u.size)
	}
	if isOver(err) {
		done, headErr := s.became(ctx, o, u)
		if headErr != nil {
			return headErr
		}
		if done {
			err = nil // by an earlier try, whose answer was lost
		}
	}
	if err != nil {
		return err
	}
	s.lose(from)
	s.fresh.forget(from)
	return s.deleteKey(ctx, o, o.key)
}

// copyLarge has the store copy an object that is too long for one request.
func (s *Storage) copyLarge(ctx context.Context, from object, fromKey string, to object, toKey string, h *s3.HeadObjectOutput, meta map[string]string) error {
	if meta == nil {
		meta = h.Metadata
	}
	size := aws.ToInt64(h.ContentLength)
	to.key = toKey
	u, err := s.begin(ctx, to, size, meta)
	if err != nil {
		return err
	}
	u.unit = max(u.unit, 1<<30) // no byte of it passes here
	for off := int64(0); off < size && err == nil; off += u.unit {
		var out *s3.UploadPartCopyOutput
		n, end := u.number(off), min(off+u.unit, size)
		out, err = s.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: &to.bucket, Key: &toKey, UploadId: &u.id, PartNumber: &n, CopySource: aws.String(endpoints.EscapePath(from.bucket + "/" + fromKey)),
			CopySourceRange: rangeOf(off, end), CopySourceIfMatch: h.ETag, RequestPayer: s.opts.payer,
		})
		if err == nil {
			crc, known := decodeSum(out.CopyPartResult.ChecksumCRC32C)
			u.put(n, part{end - off, etag(out.CopyPartResult.ETag), crc, known, known})
		}
	}
	if err == nil {
		err = s.complete(ctx, to, toKey, u, size)
	}
	if err != nil {
		s.abort(ctx, to, u)
	}
	return err
}
