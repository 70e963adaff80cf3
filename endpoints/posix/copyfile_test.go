package posix_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
)

// pieces are what a file is made of: bytes, or a hole of so many.
type piece struct {
	data []byte
	hole int64
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// makeFile writes pieces and returns how long they are.
func makeFile(t *testing.T, name string, pieces ...piece) int64 {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var at int64
	for _, p := range pieces {
		if _, err := f.WriteAt(p.data, at); err != nil {
			t.Fatal(err)
		}
		at += int64(len(p.data)) + p.hole
	}
	if err := f.Truncate(at); err != nil {
		t.Fatal(err)
	}
	return at
}

// onDisk is how many bytes a file takes there.
func onDisk(t *testing.T, name string) int64 {
	t.Helper()
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Blocks * 512
}

// copyFile has a range of one file copied to the same place in another.
func copyFile(t *testing.T, s endpoints.Storage, from, to string, off, n int64, opts endpoints.CreateOptions) error {
	t.Helper()
	in, err := s.Open(t.Context(), from, off, n)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f, _ := in.(endpoints.FileReader).File()
	opts.Size, opts.Offset = n, off
	out, err := s.Create(t.Context(), to, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.(endpoints.FileWriter).CopyFile(f, off, n); err != nil {
		return errors.Join(err, out.Abort())
	}
	return out.Commit()
}

func TestCopyFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}, NoSync: true})
	const block = 64 << 10
	for name, pieces := range map[string][]piece{
		"empty":          {},
		"dense":          {{data: noise(3*block + 17)}},
		"hole first":     {{hole: 5 * block}, {data: noise(100)}},
		"hole last":      {{data: noise(block + 5)}, {hole: 7*block + 3}},
		"hole between":   {{data: noise(block)}, {hole: 9 * block}, {data: noise(block - 1)}},
		"nothing else":   {{hole: 20*block + 1}},
		"many of each":   {{hole: block}, {data: noise(block)}, {hole: block}, {data: noise(2 * block)}, {hole: 4 * block}},
		"zeros are data": {{data: make([]byte, 4*block)}},
	} {
		t.Run(name, func(t *testing.T) {
			size := makeFile(t, filepath.Join(dir, "from"), pieces...)
			want, err := os.ReadFile(filepath.Join(dir, "from"))
			if err != nil {
				t.Fatal(err)
			}
			equals := func(how string) {
				t.Helper()
				if got, err := os.ReadFile(filepath.Join(dir, "to")); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes that are not the %d of the source, %v", how, len(got), len(want), err)
				}
			}
			if err := copyFile(t, s, "/from", "/to", 0, size, endpoints.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			equals("whole")
			if got, most := onDisk(t, filepath.Join(dir, "to")), onDisk(t, filepath.Join(dir, "from")); got > most {
				t.Errorf("the copy takes %d bytes and the source %d", got, most)
			}

			// Over a file that was there, in ranges that fit no block, from its end.
			makeFile(t, filepath.Join(dir, "to"), piece{data: noise(int(size) / 2)})
			for end := size; end > 0; end -= min(end, 100_001) {
				n := min(end, 100_001)
				if err := copyFile(t, s, "/from", "/to", end-n, n, endpoints.CreateOptions{Update: true}); err != nil {
					t.Fatal(err)
				}
			}
			if size > 0 {
				equals("in ranges")
			}
		})
	}
}

// A range that ends in a hole makes the file long enough, and never shorter.
func TestCopyFileIntoRangesOfOthers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}, NoSync: true})
	size := makeFile(t, filepath.Join(dir, "from"), piece{hole: 1 << 20}, piece{data: noise(1 << 20)}, piece{hole: 1 << 20})
	for _, off := range []int64{2 << 20, 0, 1 << 20, 0} {
		if err := copyFile(t, s, "/from", "/to", off, 1<<20, endpoints.CreateOptions{Update: true}); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(filepath.Join(dir, "to")); err != nil || fi.Size() != size {
			t.Errorf("after the range at %d the file has %d bytes, want %d", off, fi.Size(), size)
		}
	}
	want, _ := os.ReadFile(filepath.Join(dir, "from"))
	if got, err := os.ReadFile(filepath.Join(dir, "to")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("other bytes, %v", err)
	}
}

func TestCopyFileThatEndsEarly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}, NoSync: true})
	for name, pieces := range map[string][]piece{"data": {{data: noise(5000)}}, "a hole": {{hole: 1 << 20}}, "nothing": {}} {
		size := makeFile(t, filepath.Join(dir, "from"), pieces...)
		if err := copyFile(t, s, "/from", "/to", 0, size+1, endpoints.CreateOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A source that cannot be read is not the destination's fault.
func TestCopyFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}, NoSync: true})
	f, err := os.Create(filepath.Join(dir, "from"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	out, err := s.Create(t.Context(), "/to", endpoints.CreateOptions{Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Abort()
	var src *endpoints.SourceError
	if err := out.(endpoints.FileWriter).CopyFile(f, 0, 10); !errors.As(err, &src) || src.Kind != fault.Transient {
		t.Errorf("a closed file: %v", err)
	}
}

// processorTime is what this process has used so far, however long others kept
// it from going on.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Ten GiB of which one MiB is there.
func TestCopyVerySparseFile(t *testing.T) {
	dir := t.TempDir()
	size := makeFile(t, filepath.Join(dir, "from"), piece{hole: 4 << 30}, piece{data: noise(1 << 20)}, piece{hole: 6<<30 - 1<<20})
	if got := onDisk(t, filepath.Join(dir, "from")); got > 4<<20 {
		t.Skipf("needs a file system with holes: the file takes %d bytes", got)
	}
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}})
	begun := processorTime(t)
	if err := copyFile(t, s, "/from", "/to", 0, size, endpoints.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := processorTime(t) - begun; took > time.Second { // as reading holes would
		t.Errorf("it took %v of the processor", took)
	}
	fi, err := os.Stat(filepath.Join(dir, "to"))
	if err != nil || fi.Size() != 10<<30 {
		t.Fatalf("%v, %v", fi, err)
	}
	if got := onDisk(t, filepath.Join(dir, "to")); got > 4<<20 {
		t.Errorf("the copy takes %d bytes", got)
	}
	f, err := os.Open(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 1<<20+2)
	if _, err := f.ReadAt(got, 4<<30-1); err != nil {
		t.Fatal(err)
	}
	if want := append(append([]byte{0}, noise(1<<20)...), 0); !bytes.Equal(got, want) {
		t.Error("other bytes")
	}
}

func TestSparseWrites(t *testing.T) {
	dir := t.TempDir()
	s := open(t, posix.Options{Mounts: map[string]string{"/": dir}, NoSync: true, Sparse: true})
	data := make([]byte, 8<<20+777)
	copy(data[3<<20-5:], noise(100))
	copy(data[5<<20:], noise(200_000))
	for _, step := range []int{len(data), 1 << 20, 100_001} {
		for _, update := range []bool{false, true} {
			opts := endpoints.CreateOptions{Size: int64(len(data)), Update: update}
			if update {
				makeFile(t, filepath.Join(dir, "f"), piece{data: noise(1 << 20)})
			}
			w, err := s.Create(t.Context(), "/f", opts)
			if err != nil {
				t.Fatal(err)
			}
			for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				if n, err := w.Write(rest[:min(step, len(rest))]); err != nil || n != min(step, len(rest)) {
					t.Fatal(n, err)
				}
			}
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || !bytes.Equal(got, data) {
				t.Errorf("in steps of %d: %d bytes that are not the %d, %v", step, len(got), len(data), err)
			}
			if got := onDisk(t, filepath.Join(dir, "f")); step >= 1<<20 && got > 2<<20 {
				t.Errorf("in steps of %d it takes %d bytes", step, got)
			}
		}
	}
	w, err := s.Create(t.Context(), "/r", endpoints.CreateOptions{Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(data)}); err != nil || n != int64(len(data)) {
		t.Fatal(n, err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "r")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read from a reader: %d bytes, %v", len(got), err)
	}
}

func TestSuiteOnSparse(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return open(t, posix.Options{Mounts: map[string]string{"/": t.TempDir()}, NoSync: true, Sparse: true}), ""
	})
}
