// Package s3store keeps blobs in a bucket of a store of the S3 protocol, for
// sites whose workers share no file system. That no key is the directory of
// another it leaves to its callers, and to stores that keep files below.
package s3store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
)

// Options say where the blobs are.
type Options struct {
	Client *s3.Client
	Bucket string
	Prefix string // of all keys, without slashes at its ends; empty: the whole bucket

	// Explain gives an error of the client its kind.
	Explain func(ctx context.Context, op, path string, err error) error
}

// Store is a blob.Store in a bucket.
type Store struct {
	o      Options
	prefix string
}

var (
	_ blob.Store    = (*Store)(nil)
	_ blob.Surveyor = (*Store)(nil)
)

// New returns the store.
func New(o Options) *Store {
	s := &Store{o: o}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	return s
}

// failed keeps to the kinds that blob.Store knows.
func (s *Store) failed(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	err = s.o.Explain(ctx, op, key, err)
	var e *fault.Error
	if !errors.As(err, &e) {
		return fault.Wrap(fault.Internal, op, key, err)
	}
	switch e.Kind {
	case fault.NotFound, fault.Permission, fault.Transient, fault.Internal, fault.Canceled:
		return err
	case fault.NoSpace:
		return blob.Full(op, key, err)
	case fault.Busy:
		return fault.Wrap(fault.Transient, op, key, err)
	case fault.Credential:
		return fault.Wrap(fault.Permission, op, key, err)
	}
	return fault.Wrap(fault.Internal, op, key, err)
}

// idName is no key: it begins with a dot.
const idName = ".id"

// ID returns what tells these blobs from any others: a random name that is made
// once.
func (s *Store) ID(ctx context.Context) (string, error) {
	const op = "identify blob store"
	name := s.prefix + idName
	for range idTries {
		id, err := s.get(ctx, name)
		if err == nil {
			return string(id), nil
		}
		if err = s.failed(ctx, op, s.o.Bucket, err); !fault.Is(err, fault.NotFound) || strings.Contains(err.Error(), "NoSuchBucket") {
			return "", err
		}
		_, err = s.o.Client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.o.Bucket, Key: &name, Body: strings.NewReader(rand.Text()), IfNoneMatch: aws.String("*"),
		})
		if hasCode(err, "PreconditionFailed", "ConditionalRequestConflict") {
			continue // whoever comes second reads the first one's
		}
		if err = s.failed(ctx, op, s.o.Bucket, err); err != nil {
			return "", err
		}
	}
	return "", fault.New(fault.Transient, op, s.o.Bucket, "others have made it an id, which is not to be read yet")
}

// idTries is how often an id is looked for: others may be making it.
const idTries = 5

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	const op = "store blob"
	if err := blob.Check(ctx, op, key); err != nil {
		return err
	}
	var err error
	for try := range putTries {
		_, err = s.o.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.o.Bucket, Key: aws.String(s.prefix + key), Body: bytes.NewReader(data)})
		if !inTheWay(err) {
			break
		}
		time.Sleep(time.Duration(try) * 10 * time.Millisecond)
	}
	return s.failed(ctx, op, key, err)
}

// putTries is how often a blob is put that finds a directory in its way. Stores
// that keep files remove a directory with the last blob in it, and say so of one
// that is being made again (seen of versitygw).
const putTries = 5

func inTheWay(err error) bool {
	return hasCode(err, "ExistingObjectIsDirectory", "ObjectParentIsFile")
}

// hasCode says that the store answered with one of these codes.
func hasCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	const op = "load blob"
	if err := blob.Check(ctx, op, key); err != nil {
		return nil, err
	}
	data, err := s.get(ctx, s.prefix+key)
	return data, s.failed(ctx, op, key, err)
}

// maxBlob bounds what is read of an object, in bytes: blobs are some MiB.
const maxBlob = 1 << 30

func (s *Store) get(ctx context.Context, name string) ([]byte, error) {
	out, err := s.o.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.o.Bucket, Key: &name})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(io.LimitReader(out.Body, maxBlob+1))
	if err == nil && len(data) > maxBlob {
		err = fault.New(fault.Internal, "read blob", name, "the object is longer than any blob: somebody else has put it there")
	}
	return data, err
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(key string) error) error {
	return s.Survey(ctx, prefix, func(i blob.Info) error { return fn(i.Key) })
}

// Survey implements blob.Surveyor, in pages of a thousand.
func (s *Store) Survey(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	const op = "list blobs"
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), op, prefix, err)
	}
	pages := s3.NewListObjectsV2Paginator(s.o.Client, &s3.ListObjectsV2Input{Bucket: &s.o.Bucket, Prefix: aws.String(s.prefix + prefix)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return s.failed(ctx, op, prefix, err)
		}
		for _, o := range out.Contents {
			key, ok := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
			if !ok || blob.Check(ctx, op, key) != nil {
				continue // somebody else's
			}
			if err := fn(blob.Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return fault.Wrap(fault.KindOf(err), op, prefix, err)
		}
	}
	return nil
}

// deleteAtOnce is how many keys one request deletes (S3 API, DeleteObjects).
const deleteAtOnce = 1000

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	const op = "delete blob"
	for _, key := range keys {
		if err := blob.Check(ctx, op, key); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(keys, deleteAtOnce) {
		var d types.Delete
		d.Quiet = aws.Bool(true)
		for _, key := range some {
			d.Objects = append(d.Objects, types.ObjectIdentifier{Key: aws.String(s.prefix + key)})
		}
		out, err := s.o.Client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &s.o.Bucket, Delete: &d})
		if err != nil {
			return s.failed(ctx, op, some[0], err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != "NoSuchKey" {
				return fault.New(fault.Transient, op, strings.TrimPrefix(aws.ToString(e.Key), s.prefix), code+": "+aws.ToString(e.Message))
			}
		}
	}
	return nil
}
