package posix_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/posix"
)

// BenchmarkSmallFiles writes files of 1 KiB under temporary names and renames
// them, as a copy does.
func BenchmarkSmallFiles(b *testing.B) {
	for _, noSync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", !noSync), func(b *testing.B) {
			s, err := posix.Open(posix.Options{Mounts: map[string]string{"/": b.TempDir()}, NoSync: noSync})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			data := make([]byte, 1024)
			for i := 0; b.Loop(); i++ {
				temp, name := fmt.Sprintf("/.f%d.tmp", i), fmt.Sprintf("/f%d", i)
				w, err := s.Create(b.Context(), temp, endpoints.CreateOptions{Size: 1024})
				if err == nil {
					_, err = w.Write(data)
				}
				if err == nil {
					err = w.Commit()
				}
				if err == nil {
					err = s.Rename(b.Context(), temp, name)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCopy copies 256 MiB, of which nothing need come from or go to a
// disk, as cp does, as the kernel does for us, and through this process.
func BenchmarkCopy(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	s, err := posix.Open(posix.Options{Mounts: map[string]string{"/": dir}, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := os.WriteFile(filepath.Join(dir, "from"), noise(size), 0o600); err != nil {
		b.Fatal(err)
	}
	run := func(name string, one func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := one(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Remove(b.Context(), "/to"); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	through := func(move func(endpoints.Writer, io.Reader) error) func() error {
		return func() error {
			in, err := s.Open(b.Context(), "/from", 0, size)
			if err != nil {
				return err
			}
			defer in.Close()
			out, err := s.Create(b.Context(), "/to", endpoints.CreateOptions{Size: size})
			if err != nil {
				return err
			}
			if err := move(out, in); err != nil {
				return errors.Join(err, out.Abort())
			}
			return out.Commit()
		}
	}
	if cp, err := exec.LookPath("cp"); err == nil {
		run("cp", func() error {
			return exec.Command(cp, filepath.Join(dir, "from"), filepath.Join(dir, "to")).Run()
		})
	}
	run("kernel", through(func(out endpoints.Writer, in io.Reader) error {
		f, n := in.(endpoints.FileReader).File()
		return out.(endpoints.FileWriter).CopyFile(f, 0, n)
	}))
	run("process", through(func(out endpoints.Writer, in io.Reader) error {
		_, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
		return err
	}))
}
