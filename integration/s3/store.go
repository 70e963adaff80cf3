// Package s3 starts S3 servers that others wrote, and holds the driver, tasks
// and the blob store to them.
package s3

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/integration/harness"
)

// Store is a versitygw over a directory, with one bucket.
type Store struct {
	Addr           string // HOST:PORT
	Bucket         string
	Access, Secret string
	Dir            string // what the server keeps, buckets as directories
	Process        *harness.Process
}

// StoreOptions say what a store is like.
type StoreOptions struct {
	Versions bool   // the server can keep old versions of objects
	Parent   string // of what it keeps; the temporary directory when empty
}

// NewStore starts a store that ends with the test.
func NewStore(t testing.TB, opts StoreOptions) *Store {
	t.Helper()
	path := harness.VersityGW(t)
	dir, err := os.MkdirTemp(opts.Parent, "versitygw-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &Store{
		Addr: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)), Bucket: "lab-" + strings.ToLower(rand.Text()[:8]),
		Access: "AK" + rand.Text(), Secret: rand.Text(), Dir: filepath.Join(dir, "data"),
	}
	args := []string{"--port", s.Addr, "--quiet", "--keep-alive", "--iam-dir", filepath.Join(dir, "users"), "posix"}
	for _, name := range []string{"data", "versions", "users"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if opts.Versions {
		args = append(args, "--versioning-dir", filepath.Join(dir, "versions"))
	}
	// In the environment and not among the arguments, which everybody sees.
	s.Process = harness.Start(t, harness.Command{
		Path: path, Args: append(args, s.Dir),
		Env: harness.Environment("ROOT_ACCESS_KEY_ID="+s.Access, "ROOT_SECRET_ACCESS_KEY="+s.Secret),
	})
	s.Process.Ready(30*time.Second, func() error {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	if _, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &s.Bucket}); err != nil {
		t.Fatal(err)
	}
	return s
}

// Client speaks to the store itself, past the driver.
func (s *Store) Client() *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + s.Addr), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.Access, s.Secret, ""),
	})
}

// Identity is the store's owner.
func (s *Store) Identity() driver.Identity {
	return driver.Identity{Owner: "ada", Credentials: credentials.NewStaticCredentialsProvider(s.Access, s.Secret, ""), Fingerprint: s.Access}
}

// Record is the endpoint of a part of the store.
func (s *Store) Record(root string) endpoints.Record {
	return endpoints.Record{Name: "lab#store", Kind: driver.Kind, Scheme: "http", Servers: []string{s.Addr}, Root: root}
}
