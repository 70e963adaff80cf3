package s3_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/s3"
)

const mib = 1 << 20

func noise(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = rnd.Read(b) // never fails
	return b
}

func crc32c(b []byte) string {
	h := endpoints.NewHash("crc32c")
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil))
}

func writeRange(ctx context.Context, s endpoints.Storage, p string, data []byte, off, end int64, b *endpoints.Becoming, update bool) error {
	w, err := s.Create(ctx, p, endpoints.CreateOptions{Size: end - off, Offset: off, Update: update, Becomes: b})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(data[off:end])); err != nil {
		return err
	}
	return w.Commit()
}

func read(t *testing.T, s endpoints.Storage, p string, off, length int64) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), p, off, length)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open uploads at the store, whoever began them.
func uploads(t *testing.T, store *s3.Store) int {
	t.Helper()
	out, err := store.Client().ListMultipartUploads(t.Context(), &sdk.ListMultipartUploadsInput{Bucket: &store.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Uploads)
}

// A large file is written in ranges, by storages that know nothing of each
// other, under names that change, and is there when it gets its own.
func TestRangesOfSeveralWriters(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	rec := store.Record("/" + store.Bucket)
	data := noise(70*mib + 12345)
	size := int64(len(data))
	want := crc32c(data)
	becomes := &endpoints.Becoming{Path: "/dir/big", Size: size, ModTime: time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)}
	first := open(t, d, store, rec)
	fresh(t, first, "", "dir")
	var wg sync.WaitGroup
	for off := int64(16 * mib); off < size; off += 24 * mib {
		wg.Go(func() {
			s := open(t, d, store, rec) // another one each time
			if err := writeRange(t.Context(), s, "/dir/.big.t-1", data, off, min(off+24*mib, size), becomes, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := uploads(t, store); n != 1 {
		t.Errorf("%d uploads are open", n)
	}
	second := open(t, d, store, rec)
	if err := second.Rename(t.Context(), "/dir/.big.t-1", "/dir/.big.t-2"); err != nil {
		t.Fatal(err)
	}
	if err := first.Rename(t.Context(), "/dir/.big.t-1", "/dir/big"); !fault.Is(err, fault.NotFound) {
		t.Errorf("who lost the name gives it: %v", err)
	}
	if err := second.Rename(t.Context(), "/dir/.big.t-2", "/dir/big"); !fault.Is(err, fault.Integrity) {
		t.Errorf("a file with a hole gets its name: %v", err)
	}
	if _, err := second.Stat(t.Context(), "/dir/big"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a file is there before it is whole: %v", err)
	}
	if err := writeRange(t.Context(), second, "/dir/.big.t-2", data, 0, 16*mib, becomes, true); err != nil {
		t.Fatal(err)
	}
	third := open(t, d, store, rec)
	if e, err := third.Stat(t.Context(), "/dir/.big.t-2"); err != nil || e.Size != size || !e.ModTime.Equal(becomes.ModTime) {
		t.Errorf("stat of the whole upload: %+v, %v", e, err)
	}
	if got, err := third.Checksum(t.Context(), "/dir/.big.t-2", "crc32c", 0, -1, nil); err != nil || got != want {
		t.Errorf("checksum of the upload: %s, %v; want %s", got, err, want)
	}
	if _, err := third.Open(t.Context(), "/dir/.big.t-2", 0, -1); !fault.Is(err, fault.Unsupported) {
		t.Errorf("an upload was opened: %v", err)
	}
	if err := third.Rename(t.Context(), "/dir/.big.t-2", "/dir/big"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, first, "/dir/big", 0, -1); !bytes.Equal(got, data) {
		t.Error("the file holds other bytes")
	}
	if got := read(t, first, "/dir/big", 7*mib+1, 30*mib); !bytes.Equal(got, data[7*mib+1:37*mib+1]) {
		t.Error("a range of the file holds other bytes")
	}
	if e, err := first.Stat(t.Context(), "/dir/big"); err != nil || !e.ModTime.Equal(becomes.ModTime) {
		t.Errorf("stat of the file: %+v, %v", e, err)
	}
	if got, err := first.Checksum(t.Context(), "/dir/big", "crc32c", 0, -1, nil); err != nil || got != want {
		t.Errorf("checksum of the file: %s, %v; want %s", got, err, want)
	}
	h, err := store.Client().HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: &store.Bucket, Key: aws.String("dir/big"), ChecksumMode: "ENABLED"})
	if err != nil || h.ChecksumCRC32C == nil || h.ChecksumType != "FULL_OBJECT" {
		t.Errorf("the store keeps no checksum of the whole: %+v, %v", h, err)
	}
	if n := uploads(t, store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}
	if err := first.List(t.Context(), "/dir", func(page []endpoints.Entry) error {
		if len(page) != 1 || page[0].Name != "big" || !page[0].ModTime.Equal(becomes.ModTime) {
			t.Errorf("listed: %+v", page)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Who begins between two parts, or ends there, is told so, and nothing is sent.
func TestRangesOfNoWholeParts(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	s := open(t, d, store, store.Record("/"+store.Bucket))
	data := noise(20 * mib)
	becomes := &endpoints.Becoming{Path: "/big", Size: 20 * mib}
	for _, r := range []endpoints.Range{{Off: 5 * mib, End: 16 * mib}, {Off: 8 * mib, End: 13 * mib}} {
		if err := writeRange(t.Context(), s, "/.big.t-1", data, r.Off, r.End, becomes, true); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", r, err)
		}
	}
	if e, err := s.Stat(t.Context(), "/.big.t-1"); err != nil || e.Size != 0 {
		t.Errorf("there are %d bytes, %v", e.Size, err)
	}
}

// An upload of a gridferry that cut files in other parts counts for nothing, is
// told from one that goes on, and goes away as others do.
func TestUploadOfAnotherVersion(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	s := open(t, d, store, store.Record("/"+store.Bucket))
	data, c := noise(20*mib), store.Client()
	becomes := &endpoints.Becoming{Path: "/big", Size: 20 * mib}
	up, err := c.CreateMultipartUpload(t.Context(), &sdk.CreateMultipartUploadInput{Bucket: &store.Bucket, Key: aws.String("big")})
	must(t, err)
	for n, off := range map[int32]int64{1: 0, 2: 6 * mib, 3: 13 * mib} {
		_, err := c.UploadPart(t.Context(), &sdk.UploadPartInput{
			Bucket: &store.Bucket, Key: aws.String("big"), UploadId: up.UploadId, PartNumber: &n, Body: bytes.NewReader(data[off : off+6*mib]),
		})
		must(t, err)
	}
	_, err = c.PutObject(t.Context(), &sdk.PutObjectInput{
		Bucket: &store.Bucket, Key: aws.String(".big.t-1"),
		Metadata: map[string]string{"gridferry-upload": *up.UploadId, "gridferry-key": "big", "gridferry-size": "20971520", "gridferry-token": "x"},
	})
	must(t, err)
	if e, err := s.Stat(t.Context(), "/.big.t-1"); err != nil || e.Size != 0 {
		t.Errorf("%d bytes of it are of use, %v", e.Size, err)
	}
	if err := writeRange(t.Context(), s, "/.big.t-1", data, 8*mib, 16*mib, becomes, true); !fault.Is(err, fault.Integrity) {
		t.Errorf("it goes on: %v", err)
	}
	if _, err := s.Checksum(t.Context(), "/.big.t-1", "crc32c", 0, -1, nil); !fault.Is(err, fault.Integrity) {
		t.Errorf("it has a checksum: %v", err)
	}
	if err := s.Rename(t.Context(), "/.big.t-1", "/big"); !fault.Is(err, fault.Integrity) {
		t.Errorf("it becomes a file: %v", err)
	}
	must(t, s.Rename(t.Context(), "/.big.t-1", "/.big.t-2"))
	if e, err := s.Stat(t.Context(), "/.big.t-2"); err != nil || e.Size != 0 {
		t.Errorf("under another name %d bytes of it are of use, %v", e.Size, err)
	}
	must(t, writeRange(t.Context(), s, "/.big.t-2", data, 0, 20*mib, becomes, false)) // anew
	must(t, s.Rename(t.Context(), "/.big.t-2", "/big"))
	if got := read(t, s, "/big", 0, -1); !bytes.Equal(got, data) {
		t.Error("begun anew, it holds other bytes")
	}
	if n := uploads(t, store); n != 0 {
		t.Errorf("%d uploads are open", n)
	}
}

// Whatever a file's size was said to be, its parts are alike, and numbered one
// after the other.
func TestPartsOfFilesWrittenWhole(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	s := open(t, d, store, store.Record("/"+store.Bucket))
	for _, c := range []struct{ said, is int64 }{{-1, 20 * mib}, {12 * mib, 33*mib + 1}, {0, 17 * mib}, {16 * mib, 16*mib + 1}, {40 * mib, 40 * mib}, {24*mib - 1, 25 * mib}} {
		data := noise(int(c.is))
		w, err := s.Create(t.Context(), "/f", endpoints.CreateOptions{Size: c.said})
		must(t, err)
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), 3*mib+7):] {
			_, err := w.Write(rest[:min(len(rest), 3*mib+7)])
			must(t, err)
		}
		must(t, w.Commit())
		if got := read(t, s, "/f", 0, -1); !bytes.Equal(got, data) {
			t.Errorf("%+v: the file holds other bytes", c)
		}
		h, err := store.Client().HeadObject(t.Context(), &sdk.HeadObjectInput{Bucket: &store.Bucket, Key: aws.String("f"), PartNumber: aws.Int32(1)})
		if want := (c.is + 8*mib - 1) / (8 * mib); err != nil || int64(aws.ToInt32(h.PartsCount)) != want || aws.ToInt64(h.ContentLength) != 8*mib {
			t.Errorf("%+v: %d parts, the first of %d bytes, want %d; %v", c, aws.ToInt32(h.PartsCount), aws.ToInt64(h.ContentLength), want, err)
		}
	}
}

// What is given up leaves no upload behind, whoever gives it up.
func TestUploadsThatAreGivenUp(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	rec := store.Record("/" + store.Bucket)
	s := open(t, d, store, rec)
	data := noise(40 * mib)
	becomes := &endpoints.Becoming{Path: "/big", Size: 40 * mib}
	if err := writeRange(t.Context(), s, "/.big.t-1", data, 0, 16*mib, becomes, false); err != nil {
		t.Fatal(err)
	}
	if n := uploads(t, store); n != 1 {
		t.Fatalf("%d uploads are open", n)
	}
	// Begun again under the same name.
	if err := writeRange(t.Context(), s, "/.big.t-1", data, 0, 16*mib, becomes, false); err != nil {
		t.Fatal(err)
	}
	if n := uploads(t, store); n != 1 {
		t.Errorf("%d uploads are open after beginning again", n)
	}
	if err := open(t, d, store, rec).Remove(t.Context(), "/.big.t-1"); err != nil {
		t.Fatal(err)
	}
	if n := uploads(t, store); n != 0 {
		t.Errorf("%d uploads are open after removing the name", n)
	}
	// A file of which nobody said what it becomes is this writer's alone.
	w, err := s.Create(t.Context(), "/plain", endpoints.CreateOptions{Size: 40 * mib})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data[:30*mib]); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if n := uploads(t, store); n != 0 {
		t.Errorf("%d uploads are open after Abort", n)
	}
}

// An object that is replaced while it is read is never mixed.
func TestReplacedWhileRead(t *testing.T) {
	d, store := newDriver(t), s3.NewStore(t, s3.StoreOptions{})
	s := open(t, d, store, store.Record("/"+store.Bucket))
	put := func(data []byte) {
		w, err := s.Create(t.Context(), "/f", endpoints.CreateOptions{Size: int64(len(data))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	put(noise(60 * mib))
	r, err := s.Open(t.Context(), "/f", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, mib)); err != nil {
		t.Fatal(err)
	}
	other := noise(60*mib + 1)
	put(other[:60*mib])
	if _, err := io.Copy(io.Discard, r); !fault.Is(err, fault.Integrity) {
		t.Errorf("reading on: %v, want Integrity", err)
	}
}
