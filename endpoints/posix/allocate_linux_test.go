package posix_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/posix"
)

func TestFirstPartAllocatesWholeFile(t *testing.T) {
	dir := t.TempDir()
	probe, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if err := syscall.Fallocate(int(probe.Fd()), 0, 0, 1<<20); err != nil {
		t.Skipf("this file system does not allocate: %v", err)
	}
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}})
	const size, part = 64 << 20, 4 << 20
	becomes := &endpoints.Becoming{Path: "/f", Size: size}
	data := make([]byte, part)
	_, _ = rand.Read(data)
	var parts sync.WaitGroup
	for off := int64(0); off < 4*part; off += part {
		parts.Go(func() {
			w, err := s.Create(t.Context(), "/.f", endpoints.CreateOptions{Size: part, Offset: off, Update: true, Becomes: becomes})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := w.Write(data); err != nil {
				t.Error(err)
			}
			if err := w.Commit(); err != nil {
				t.Error(err)
			}
		})
	}
	parts.Wait()
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(dir, ".f"), &st); err != nil || st.Blocks*512 < size || st.Size != 4*part {
		t.Errorf("%d bytes are allocated of %d, the file is %d bytes long, %v", st.Blocks*512, size, st.Size, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, ".f"))
	if err != nil || !bytes.Equal(got, bytes.Repeat(data, 4)) {
		t.Errorf("read %d bytes that are not those written, %v", len(got), err)
	}
}
