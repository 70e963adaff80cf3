package s3_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/transfer"
)

// Who cannot log in is told why, in the store's words, and what to do.
func TestLoginsThatFail(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	for what, c := range map[string]struct {
		change func(*endpoints.Record, *driver.Identity)
		kind   fault.Kind
		says   []string
	}{
		"an unknown key": {func(_ *endpoints.Record, id *driver.Identity) {
			id.Credentials = credentials.NewStaticCredentialsProvider("AKNOBODY", "secret-of-nobody", "")
			id.Fingerprint = "nobody"
		}, fault.Credential, []string{"access key", "check the access key"}},
		"a wrong secret": {func(_ *endpoints.Record, id *driver.Identity) {
			id.Credentials = credentials.NewStaticCredentialsProvider(store.Access, "secret-of-nobody", "")
			id.Fingerprint = "wrong"
		}, fault.Credential, []string{"SignatureDoesNotMatch", "check the access key"}},
		"no such bucket": {func(r *endpoints.Record, _ *driver.Identity) { r.Root = "/there-is-none" }, fault.NotFound, []string{"NoSuchBucket", "check the name of the bucket"}},
		"no such server": {func(r *endpoints.Record, _ *driver.Identity) { r.Servers = []string{"127.0.0.1:1"} }, fault.Transient, []string{"refused"}},
	} {
		rec, id := store.Record("/"+store.Bucket), store.Identity()
		c.change(&rec, &id)
		_, err := d.Open(t.Context(), rec, id)
		if !fault.Is(err, c.kind) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(err), err)
			continue
		}
		for _, text := range append(c.says, "lab#store") {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v: nothing of %q", what, err, text)
			}
		}
		if strings.Contains(err.Error(), "secret-of-nobody") || strings.Contains(err.Error(), store.Secret) {
			t.Errorf("%s: the secret is in the error", what)
		}
		var about *endpoints.CredentialError
		if c.kind == fault.Credential && (!errors.As(err, &about) || about.Domain != "lab#store" || about.Fingerprint != id.Fingerprint) {
			t.Errorf("%s: it does not say which credential: %+v", what, about)
		}
	}
}

// What a store answers becomes a kind, and what passes is waited for.
func TestAnswersOfStores(t *testing.T) {
	store := s3.NewStore(t, s3.StoreOptions{})
	meter := s3.NewMeter(t, store.Addr)
	rec := store.Record("/" + store.Bucket)
	rec.Servers = []string{meter.Addr}
	s := open(t, newDriver(t), store, rec)
	_, err := store.Client().PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &store.Bucket, Key: aws.String("f"), Body: strings.NewReader("text")})
	must(t, err)
	const often = 3 // as often as the SDK tries
	for _, c := range []struct {
		status int
		code   string
		kind   fault.Kind
		says   string
	}{
		{503, "SlowDown", fault.Busy, ""},
		{500, "InternalError", fault.Transient, ""},
		{403, "AccessDenied", fault.Permission, "bucket's owner"},
		{403, "ExpiredToken", fault.Credential, "renew"},
		{403, "RequestTimeTooSkewed", fault.Credential, "clock"},
		{403, "InvalidObjectState", fault.Unsupported, "in the archive"},
		{400, "AuthorizationHeaderMalformed", fault.Invalid, "region"},
		{507, "InsufficientStorage", fault.NoSpace, "quota"},
		{418, "Whatever", fault.Unsupported, "Whatever"},
	} {
		meter.Break(s3.Broken{Method: "GET", Query: "x-id=GetObject", Times: often, Status: c.status, Code: c.code, Message: "said the store"})
		_, err := s.Open(t.Context(), "/f", 0, -1)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), "said the store") || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "/f") {
			t.Errorf("%s: %s: %v", c.code, fault.KindOf(err), err)
		}
		meter.Mend()
	}
	// Twice is not the end.
	meter.Break(s3.Broken{Method: "GET", Query: "x-id=GetObject", Times: often - 1, Status: 500, Code: "InternalError"})
	if got := read(t, s, "/f", 0, -1); string(got) != "text" {
		t.Errorf("read %q", got)
	}
}

// A task outlives a store that is in trouble.
func TestTaskOfAStoreInTrouble(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.worker("worker")
	path, data := s.large()
	for _, b := range []s3.Broken{
		{Method: "PUT", Query: "partNumber", Times: 8, Status: 503, Code: "SlowDown"},
		{Method: "POST", Query: "uploadId", Times: 4, Status: 500, Code: "InternalError"},
		{Method: "GET", Query: "uploadId", Times: 4, Status: 500, Code: "InternalError"},
	} {
		s.meter.Break(b)
	}
	if task := s.copied(s.submit(transfer.Request{Source: s.here(path), Destination: "s3://" + s.store.Bucket + "/large"}), 1); task.Progress.FilesUnverified != 0 {
		t.Fatalf("the task is %s: %s", task.Status, task.Verdict)
	}
	opened := open(t, newDriver(t), s.store, s.store.Record("/"+s.store.Bucket))
	if sum, err := opened.Checksum(t.Context(), "/large", "crc32c", 0, -1, nil); err != nil || sum != crc32c(data) {
		t.Errorf("the object has the checksum %s, %v", sum, err)
	}
	if n := uploads(t, s.store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}
}
