package s3_test

import (
	"bytes"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	driver "github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/s3"
)

func open(t *testing.T, d *driver.Driver, s *s3.Store, rec endpoints.Record) *driver.Storage {
	t.Helper()
	opened, err := d.Open(t.Context(), rec, s.Identity())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

func newDriver(t *testing.T) *driver.Driver {
	d := driver.New()
	t.Cleanup(d.Close)
	return d
}

// fresh makes an empty directory.
func fresh(t *testing.T, s endpoints.Storage, in, name string) string {
	t.Helper()
	dir := in + "/" + name
	if err := s.Mkdir(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSuite(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	for _, c := range []struct{ name, root, in string }{
		{"AllBuckets", "", "/" + store.Bucket},
		{"Bucket", "/" + store.Bucket, ""},
		{"Prefix", "/" + store.Bucket + "/AllBuckets-Caps", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
				n++
				s := open(t, d, store, store.Record(c.root))
				return s, fresh(t, s, c.in, t.Name()[len("TestSuite/"):len("TestSuite/")+len(c.name)]+"-"+t.Name()[len("TestSuite/")+len(c.name)+1:])
			})
		})
	}
}

// In a bucket with versions, what is removed or replaced is hidden and not gone.
// (Of directories versitygw does not hide what was removed, as S3 does.)
func TestVersions(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{Versions: true})
	_, err := store.Client().PutBucketVersioning(t.Context(), &sdk.PutBucketVersioningInput{
		Bucket: &store.Bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	must(t, err)
	s := open(t, d, store, store.Record("/"+store.Bucket))
	for _, data := range [][]byte{noise(1000), noise(20 * mib), noise(10)} {
		must(t, writeRange(t.Context(), s, "/f", data, 0, int64(len(data)), nil, false))
		if got := read(t, s, "/f", 0, -1); !bytes.Equal(got, data) {
			t.Errorf("%d bytes were written, and other %d read", len(data), len(got))
		}
	}
	must(t, s.Remove(t.Context(), "/f"))
	if _, err := s.Stat(t.Context(), "/f"); !fault.Is(err, fault.NotFound) {
		t.Errorf("after removing: %v", err)
	}
	must(t, s.List(t.Context(), "/", func(page []endpoints.Entry) error {
		t.Errorf("after removing there is %v", page)
		return nil
	}))
	kept, err := store.Client().ListObjectVersions(t.Context(), &sdk.ListObjectVersionsInput{Bucket: &store.Bucket})
	if err != nil || len(kept.Versions) != 3 {
		t.Errorf("the bucket keeps %d versions, %v", len(kept.Versions), err)
	}
}
