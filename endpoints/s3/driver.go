// Package s3 is storage behind the S3 protocol: Amazon's, and what others have
// built to look like it. Buckets and prefixes are shown as directories, and a
// large file is a multipart upload until Rename makes it an object. The
// protocol is aws-sdk-go-v2's. The package finds no credentials; an opener
// brings them.
//
// # Names
//
// The file /a/b of an endpoint with the root /BUCKET/prefix is the object
// prefix/a/b of the bucket; without a root, the first element of a path is the
// bucket. A directory is whatever keys have a slash behind its name, and an
// empty object of the key "a/" keeps one that is empty, but for stores that the
// record says take it for a file: they have no empty ones. Keys that are no paths
// (with "//", "." or "..", control characters that no protocol carries, or an
// object "a" beside objects "a/...") are listed under names that nobody can
// open, so that who copies a tree hears of them.
//
// # Files on their way
//
// S3 has neither renames nor writes in the middle. Up to AtOnce bytes a file is
// one request, and whole or not there. A longer one under a temporary name,
// of which CreateOptions.Becomes says what it is to be, is an open multipart
// upload to its final key: ranges are its parts, Rename completes it, Remove
// aborts it. The temporary name itself is an empty object, the claim, whose
// metadata lead to the upload: so the upload is found, and goes on, whoever
// began it.
package s3

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Kind is the driver's name in records.
const Kind = "s3"

// Identity is as whom to speak to a store.
type Identity struct {
	Owner       string                  // whose sessions these are
	Credentials aws.CredentialsProvider // nil: requests are not signed
	Fingerprint string                  // tells the credentials from others; no secret
	Region      string                  // where the record names none; empty is us-east-1
}

// Driver opens storage. What it has learnt of a store, and its connections,
// serve the next one that is opened with the same record and identity.
type Driver struct {
	http    aws.HTTPClient
	idle    func()
	buffers sync.Pool    // of partSize bytes
	ahead   atomic.Int32 // what counts for memoryAhead

	mu      sync.Mutex
	clients map[clientKey]*client
}

type clientKey struct{ endpoint, region, owner, fingerprint string }

// client is what storages of one identity share.
type client struct {
	*s3.Client
	literal atomic.Bool // listings do not encode keys
	markers atomic.Bool // the object "a/" was seen to be no object "a"
	used    time.Time   // when it was last asked for; under the driver's lock

	mu     sync.Mutex
	proven map[string]time.Time // roots that could be listed, and when
}

const (
	// stall is how long a connection may be without a byte. Completing a large
	// upload takes minutes in which some stores say nothing.
	stall = 5 * time.Minute

	dialTimeout = 15 * time.Second

	// tries of one request, of which the first is one. Who calls tries again.
	tries = 3

	// memoryAhead is how many times partSize bytes all readers and writers of a
	// driver have under way, besides one that each of them has in any case: 96 MiB.
	memoryAhead = 12

	// provenFor is how long a login counts without being tried again.
	provenFor = time.Minute

	// forgetAfter is how long a client is kept that nothing is opened with: the
	// keys of a role are others every few hours.
	forgetAfter = 12 * time.Hour
)

// New returns a driver.
func New() *Driver {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	h := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return stallConn{c}, nil
		}
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 64
		t.ReadBufferSize, t.WriteBufferSize = 64<<10, 64<<10
	})
	return &Driver{
		http: h, idle: func() { h.GetTransport().CloseIdleConnections() },
		buffers: sync.Pool{New: func() any { return new([partSize]byte) }},
		clients: map[clientKey]*client{},
	}
}

// stallConn ends a connection that has been without a byte for too long.
type stallConn struct{ net.Conn }

func (c stallConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c stallConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// Close ends the idle connections.
func (d *Driver) Close() { d.idle() }

// CloseCredential forgets what was opened with the credentials of that
// fingerprint.
func (d *Driver) CloseCredential(fingerprint string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.clients {
		if key.fingerprint == fingerprint {
			delete(d.clients, key)
		}
	}
}

// Open makes sure that the store is there, and that its root can be listed by
// who id is; one that may read and not list is let through.
func (d *Driver) Open(ctx context.Context, rec endpoints.Record, id Identity) (*Storage, error) {
	o, err := parse(rec)
	if err != nil {
		return nil, err
	}
	c := d.client(o, id)
	life, end := context.WithCancel(context.Background())
	s := &Storage{
		driver: d, client: c, opts: o, name: nameOf(rec), domain: rec.SecurityDomain(), fingerprint: id.Fingerprint,
		life: life, end: end, dirs: newDirs(), fresh: newFresh(), prefixes: newPrefixes(), uploads: map[string]*upload{},
	}
	if err := s.login(ctx); err != nil {
		end()
		return nil, err
	}
	return s, nil
}

// Connect returns the SDK's client for a record, with the connections of this
// driver, and the bucket and prefix of its root.
func (d *Driver) Connect(rec endpoints.Record, id Identity) (c *s3.Client, bucket, prefix string, err error) {
	o, err := parse(rec)
	if err != nil {
		return nil, "", "", err
	}
	bucket, prefix, _ = strings.Cut(strings.TrimPrefix(o.root, "/"), "/")
	return d.client(o, id).Client, bucket, prefix, nil
}

func (d *Driver) client(o options, id Identity) *client {
	region := o.region
	for _, r := range []string{id.Region, "us-east-1"} {
		if region == "" {
			region = r
		}
	}
	key := clientKey{fmt.Sprint(o.url, o.pathStyle, id.Credentials == nil), region, id.Owner, id.Fingerprint}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.clients[key]; ok {
		c.used = time.Now()
		return c
	}
	maps.DeleteFunc(d.clients, func(_ clientKey, c *client) bool { return time.Since(c.used) > forgetAfter })
	so := s3.Options{
		Region: region, HTTPClient: d.http, UsePathStyle: o.pathStyle, AppID: "gridferry",
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = tries, 5*time.Second
		}),
	}
	if so.Credentials = id.Credentials; so.Credentials == nil {
		so.Credentials = aws.AnonymousCredentials{}
	}
	if o.url != "" {
		so.BaseEndpoint = aws.String(o.url)
	}
	if !strings.HasPrefix(o.url, "http://") {
		// TLS and the checksum that goes with each body guard it already.
		so.APIOptions = append(so.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
	c := &client{Client: s3.New(so), used: time.Now(), proven: map[string]time.Time{}}
	d.clients[key] = c
	return c
}

// login lists one name at the root.
func (s *Storage) login(ctx context.Context) error {
	const op = "log in to"
	s.client.mu.Lock()
	at, ok := s.client.proven[s.opts.root]
	s.client.mu.Unlock()
	if ok && time.Since(at) < provenFor {
		return nil
	}
	var err error
	if root := s.object("/"); root.bucket == "" {
		_, err = s.client.ListBuckets(ctx, &s3.ListBucketsInput{})
	} else {
		_, err = s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &root.bucket, Prefix: aws.String(root.dir()), MaxKeys: aws.Int32(1), RequestPayer: s.opts.payer,
		})
	}
	if err = s.classify(ctx, op, s.name, err); err != nil && !fault.Is(err, fault.Permission) {
		return err
	}
	if err == nil {
		s.client.mu.Lock()
		s.client.proven[s.opts.root] = time.Now()
		s.client.mu.Unlock()
	}
	return nil
}

// nameOf is how errors call an endpoint.
func nameOf(rec endpoints.Record) string {
	if rec.Name != "" {
		return rec.Name
	}
	return "s3:/" + rec.Root
}

// errClosed is the cause of what fails because the storage was closed.
var errClosed = errors.New("the storage is closed")

// buffer lends partSize bytes.
func (d *Driver) buffer() *[partSize]byte {
	b, _ := d.buffers.Get().(*[partSize]byte)
	return b
}

func (d *Driver) giveBack(b *[partSize]byte) { d.buffers.Put(b) }

// claim makes room for n times partSize bytes more that are read ahead or being
// sent, if there is any.
func (d *Driver) claim(n int32) bool {
	if d.ahead.Add(n) <= memoryAhead {
		return true
	}
	d.ahead.Add(-n)
	return false
}

func (d *Driver) unclaim(n int32) { d.ahead.Add(-n) }

// algorithms are the checksums that this driver offers: the one that stores
// keep of whole objects, however they were uploaded, and that Go computes fast.
func algorithms() []string { return slices.Clone([]string{"crc32c"}) }
