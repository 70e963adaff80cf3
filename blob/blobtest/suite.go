// Package blobtest is the suite that every blob.Store runs.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
)

// Run runs the suite; open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, run := range map[string]func(*testing.T, blob.Store){
		"PutAndGet":  testPutAndGet,
		"List":       testList,
		"Delete":     testDelete,
		"Keys":       testKeys,
		"Canceled":   testCanceled,
		"Replace":    testReplace,
		"Concurrent": testConcurrent,
		"ID":         testID,
	} {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

func put(t *testing.T, s blob.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	var got []string
	if err := s.List(t.Context(), prefix, func(key string) error {
		got = append(got, key)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func testPutAndGet(t *testing.T, s blob.Store) {
	if _, err := s.Get(t.Context(), "a/b"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
	for _, data := range [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("big"), 1<<20), []byte("x")} {
		put(t, s, "a/b/c", data)
		got, err := s.Get(t.Context(), "a/b/c")
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("put %d bytes, got %d, %v", len(data), len(got), err)
		}
	}
	if _, err := s.Get(t.Context(), "a/b"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the directory of a key: %v", err)
	}
	if _, err := s.Get(t.Context(), "a/b/c/d"); !fault.Is(err, fault.NotFound) {
		t.Errorf("below a key: %v", err)
	}
	if err := s.Put(t.Context(), "a/b", nil); err == nil {
		t.Error("a key was put where the directory of another is")
	}
	if err := s.Put(t.Context(), "a/b/c/d", nil); err == nil {
		t.Error("a key was put below another")
	}
	data := []byte("mine")
	put(t, s, "a/m", data)
	data[0] = 'x'
	if got, err := s.Get(t.Context(), "a/m"); string(got) != "mine" || err != nil {
		t.Errorf("the store kept the caller's slice: %q, %v", got, err)
	}
}

func testList(t *testing.T, s blob.Store) {
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("an empty store lists %q", got)
	}
	want := []string{"a-b", "a/b", "a/c/d", "a/c0", "a0", "ab/c", "b/x%2Fy", "z"}
	slices.Sort(want)
	for i := range want {
		put(t, s, want[len(want)-1-i], []byte{byte(i)})
	}
	for _, prefix := range []string{"", "a", "a/", "a/c", "a/c/", "a/c/d", "a/c/de", "ab", "q", "q/r/", "b/x%2"} {
		var sub []string
		for _, k := range want {
			if strings.HasPrefix(k, prefix) {
				sub = append(sub, k)
			}
		}
		if got := keys(t, s, prefix); !slices.Equal(got, sub) {
			t.Errorf("prefix %q lists %q, want %q", prefix, got, sub)
		}
	}
	for i := range 1200 {
		put(t, s, fmt.Sprintf("many/%05d", i), nil)
	}
	if got := keys(t, s, "many/"); len(got) != 1200 || !slices.IsSorted(got) {
		t.Errorf("listed %d of 1200, sorted: %v", len(got), slices.IsSorted(got))
	}
	stop := errors.New("enough")
	n := 0
	if err := s.List(t.Context(), "many/", func(string) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("List returned %v after %d keys, want the same error after one", err, n)
	}
	// What is listed may be deleted on the way.
	if err := s.List(t.Context(), "", func(key string) error { return s.Delete(t.Context(), key) }); err != nil {
		t.Error(err)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("%d are left", len(got))
	}
}

func testDelete(t *testing.T, s blob.Store) {
	put(t, s, "a/b/c", nil)
	put(t, s, "a/d", nil)
	if err := s.Delete(t.Context(), "a/b/c", "a/b/c", "nowhere", "a"); err != nil {
		t.Error(err)
	}
	if got := keys(t, s, ""); !slices.Equal(got, []string{"a/d"}) {
		t.Errorf("left: %q", got)
	}
	put(t, s, "a/b", []byte("now a key"))
	if err := s.Delete(t.Context()); err != nil {
		t.Error(err)
	}
}

func testKeys(t *testing.T, s blob.Store) {
	for _, bad := range []string{"", "/a", "a/", "a//b", ".", "..", "a/../b", ".hidden", "a/.b", "a b", "ü", "a\nb", "a\\b", "a\x00", strings.Repeat("x", 241), strings.Repeat("x/", 600) + "x"} {
		_, err := s.Get(t.Context(), bad)
		for call, err := range map[string]error{"put": s.Put(t.Context(), bad, nil), "get": err, "delete": s.Delete(t.Context(), bad)} {
			if !fault.Is(err, fault.Internal) {
				t.Errorf("%s %.20q: %v, want Internal", call, bad, err)
			}
		}
	}
	for _, good := range []string{"a", "tasks/%2E%2E/x", "a~!$&'()*+,;=:@-_/b.", strings.Repeat("x", 240) + "/y"} {
		put(t, s, good, []byte(good))
		if got, err := s.Get(t.Context(), good); string(got) != good || err != nil {
			t.Errorf("%q: got %q, %v", good, got, err)
		}
		if err := s.Delete(t.Context(), good); err != nil {
			t.Error(err)
		}
	}
}

func testCanceled(t *testing.T, s blob.Store) {
	put(t, s, "a", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, "a")
	for call, err := range map[string]error{
		"get": err, "put": s.Put(ctx, "b", nil), "delete": s.Delete(ctx, "a"),
		"list": s.List(ctx, "", func(string) error { return nil }),
	} {
		if !fault.Is(err, fault.Canceled) {
			t.Errorf("%s: %v, want Canceled", call, err)
		}
	}
}

// A reader sees the old bytes or the new ones.
func testReplace(t *testing.T, s blob.Store) {
	put(t, s, "k", bytes.Repeat([]byte{0}, 10_000))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			if err := s.Put(t.Context(), "k", bytes.Repeat([]byte{byte(i)}, 10_000+i)); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		got, err := s.Get(t.Context(), "k")
		if err != nil || len(got) < 10_000 || len(got) != 10_000+int(got[0]) || bytes.Count(got, got[:1]) != len(got) {
			t.Fatalf("a reader saw %d bytes, %v", len(got), err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// Directories that come and go with their blobs lose nobody's.
func testConcurrent(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			key := fmt.Sprintf("shared/dir/%d", w)
			for range 30 {
				if err := s.Put(t.Context(), key, []byte(key)); err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Get(t.Context(), key); string(got) != key || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func testID(t *testing.T, s blob.Store) {
	i, ok := s.(interface {
		ID(context.Context) (string, error)
	})
	if !ok {
		t.Skip("the store has no ID")
	}
	ids := make([]string, 4)
	var wg sync.WaitGroup
	for n := range ids {
		wg.Go(func() {
			var err error
			if ids[n], err = i.ID(t.Context()); err != nil || ids[n] == "" {
				t.Errorf("id %q, %v", ids[n], err)
			}
		})
	}
	wg.Wait()
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("one store has the ids %q", ids)
	}
	if got := keys(t, s, ""); len(got) != 0 {
		t.Errorf("the id is listed: %q", got)
	}
}
