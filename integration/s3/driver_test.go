package s3_test

import (
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	driver "github.com/gridferry/gridferry/endpoints/s3"
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
