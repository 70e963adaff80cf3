package s3

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// headsAtOnce is how many objects of a page are asked for their times at once.
const headsAtOnce = 32

// plain is a key as a listing has it. XML 1.0 carries few control characters,
// so keys are asked for in the encoding of URLs; not every store knows it.
func plain(key *string, encoding types.EncodingType) string {
	if encoding == types.EncodingTypeUrl {
		if decoded, err := url.QueryUnescape(aws.ToString(key)); err == nil {
			return decoded
		}
	}
	return aws.ToString(key)
}

// List implements endpoints.Storage. It holds one page of a thousand keys at a
// time. Listings of S3 have the times at which the store got the objects, and
// not those that their writers have set: which are told of large files, and of
// all when they were asked for (ListTimes). Where the endpoint keeps none, the
// store's are told.
func (s *Storage) List(ctx context.Context, p string, page func([]endpoints.Entry) error) error {
	const op = "list"
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	if o.bucket == "" {
		return s.listBuckets(ctx, op, p, page)
	}
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &o.bucket, Prefix: aws.String(o.dir()), Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl, RequestPayer: s.opts.payer,
	})
	l := &listing{o: o, offline: func(c types.ObjectStorageClass) bool { return s.offline(types.StorageClass(c), "", nil) }}
	seen := false
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			if hasCode(err, "ObjectParentIsFile") {
				err = fault.New(fault.NotFound, op, p, "a file is in the middle of the path")
			}
			return s.failed(ctx, op, p, err)
		}
		seen = seen || len(out.Contents)+len(out.CommonPrefixes) > 0
		entries := l.page(out, !pages.HasMorePages(), !s.opts.times)
		if s.opts.times {
			if err := s.fillTimes(ctx, o, entries); err != nil {
				return s.failed(ctx, op, p, err)
			}
		}
		if len(entries) == 0 {
			continue
		}
		if err := page(entries); err != nil {
			return err
		}
	}
	if !seen && o.key != "" && p != "/" {
		return fault.New(fault.NotFound, op, p, "no object is below this prefix")
	}
	return nil
}

func (s *Storage) listBuckets(ctx context.Context, op, p string, page func([]endpoints.Entry) error) error {
	pages := s3.NewListBucketsPaginator(s.client, &s3.ListBucketsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return s.failed(ctx, op, p, err)
		}
		var entries []endpoints.Entry
		for _, b := range out.Buckets {
			entries = append(entries, endpoints.Entry{Name: aws.ToString(b.Name), Type: endpoints.Dir})
		}
		if len(entries) == 0 {
			continue
		}
		if err := page(entries); err != nil {
			return err
		}
	}
	return nil
}

// listing turns keys into names. An object that is also a prefix is found out
// in little memory: between "a" and "a/" come only keys that begin with "a", so
// what is held back is a chain of names that are each the next one's beginning.
type listing struct {
	o       object
	held    []endpoints.Entry
	offline func(types.ObjectStorageClass) bool // nil: no class is
}

// unnamed is the name of what cannot have one. No path leads to it, and whoever
// walks a tree says so.
func unnamed(name string) endpoints.Entry {
	return endpoints.Entry{Name: name + "/", Type: endpoints.Other}
}

func (l *listing) page(out *s3.ListObjectsV2Output, last, times bool) []endpoints.Entry {
	var entries []endpoints.Entry
	release := func(next string) {
		for n := len(l.held) - 1; n >= 0 && (next == "" || !strings.HasPrefix(next, l.held[n].Name)); n-- {
			entries = append(entries, l.held[n])
			l.held = l.held[:n]
		}
	}
	// Both lists are sorted, and are one when merged.
	keys, prefixes := out.Contents, out.CommonPrefixes
	for len(keys)+len(prefixes) > 0 {
		var key, prefix string
		if len(keys) > 0 {
			key = plain(keys[0].Key, out.EncodingType)
		}
		if len(prefixes) > 0 {
			prefix = plain(prefixes[0].Prefix, out.EncodingType)
		}
		if len(prefixes) == 0 || len(keys) > 0 && key < prefix {
			e := endpoints.Entry{Name: strings.TrimPrefix(key, l.o.dir()), Type: endpoints.File, Size: aws.ToInt64(keys[0].Size)}
			if times && keys[0].LastModified != nil {
				e.ModTime = keys[0].LastModified.UTC()
			}
			e.Offline = l.offline != nil && l.offline(keys[0].StorageClass)
			keys = keys[1:]
			switch {
			case e.Name == "" && e.Size == 0: // the directory itself
			case e.Name == "":
				entries = append(entries, unnamed(""))
			default:
				release(e.Name)
				l.held = append(l.held, e)
			}
			continue
		}
		prefixes = prefixes[1:]
		name := strings.TrimSuffix(strings.TrimPrefix(prefix, l.o.dir()), "/")
		if name == "" || name == "." || name == ".." {
			entries = append(entries, unnamed(name))
			continue
		}
		release(name)
		if n := len(l.held) - 1; n >= 0 && l.held[n].Name == name {
			// The directory stands for more. An empty object beside it is one way of making it.
			if l.held[n].Size > 0 {
				entries = append(entries, unnamed(name))
			}
			l.held = l.held[:n]
		}
		entries = append(entries, endpoints.Entry{Name: name, Type: endpoints.Dir})
	}
	if last {
		release("")
	}
	return entries
}

// timesFrom is the size in bytes from which asking for a file's time costs
// nothing beside reading it. Large files are read piece by piece, and their
// time is what tells that they have changed in between.
const timesFrom = 64 << 20

// fillTimes asks for the times of files.
func (s *Storage) fillTimes(ctx context.Context, o object, entries []endpoints.Entry) error {
	if !s.timesInLists && !slices.ContainsFunc(entries, func(e endpoints.Entry) bool { return e.Size >= timesFrom }) {
		return nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := make(chan *endpoints.Entry)
	for range min(headsAtOnce, len(entries)) {
		wg.Go(func() {
			for e := range next {
				h, err := s.head(ctx, o, o.dir()+e.Name)
				switch {
				case err == nil:
					e.ModTime = s.modTime(h.Metadata, h.LastModified)
				case !isGone(err):
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	for i := range entries {
		if entries[i].Type == endpoints.File && (s.timesInLists || entries[i].Size >= timesFrom) {
			next <- &entries[i]
		}
	}
	close(next)
	wg.Wait()
	return first
}
