package s3_test

import (
	"fmt"
	"testing"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/blob/blobtest"
	"github.com/gridferry/gridferry/blob/s3store"
	driver "github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/integration/s3"
)

func TestBlobs(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	n := 0
	blobtest.Run(t, func(t *testing.T) blob.Store {
		n++
		client, bucket, prefix, err := d.Connect(store.Record(fmt.Sprintf("/%s/blobs/%d", store.Bucket, n)), store.Identity())
		if err != nil {
			t.Fatal(err)
		}
		return s3store.New(s3store.Options{Client: client, Bucket: bucket, Prefix: prefix, Explain: driver.Explain})
	})
}
