package workers

import (
	"context"
	"log/slog"
	"path"
	"strings"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/blob/s3store"
	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/transfer"
)

// OpenBlobs opens the store of blobs that the configuration names: a directory,
// which has to be there, or a bucket.
func OpenBlobs(ctx context.Context, c *config.Config, log *slog.Logger) (blob.Store, error) {
	if c.Blobs.URL == "" {
		d, err := blob.NewDir(c.Blobs.Dir)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	loc, err := transfer.ParseLocation(c.Blobs.URL)
	if err != nil {
		return nil, err
	}
	o, err := NewOpener(c, log)
	if err != nil {
		return nil, err
	}
	rec, err := o.bucket(strings.TrimPrefix(loc.Endpoint, s3.Kind+"://"))
	if err != nil {
		return nil, err
	}
	rec.Root = path.Join(rec.Root, loc.Path)
	id, err := o.accessKeys(ctx, rec, o.account, "")
	if err != nil {
		return nil, err
	}
	client, bucket, prefix, err := o.s3.Connect(rec, id)
	if err != nil {
		return nil, err
	}
	return s3store.New(s3store.Options{Client: client, Bucket: bucket, Prefix: prefix, Explain: s3.Explain}), nil
}
