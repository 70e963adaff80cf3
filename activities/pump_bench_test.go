package activities

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// BenchmarkCopyPosix copies a file of 512 MiB between two directories, as a task
// does with and without verification, and as cp does. Neither waits for the
// disk.
func BenchmarkCopyPosix(b *testing.B) {
	const size = 512 << 20
	f := folders{b.TempDir(), b.TempDir()}
	if err := os.WriteFile(filepath.Join(f.src, "file"), content(1, size), 0o600); err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(f.dst, "file")
	run := func(name string, one func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := one(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := os.Remove(out); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	if cp, err := exec.LookPath("cp"); err == nil {
		run("cp", func() error { return exec.Command(cp, filepath.Join(f.src, "file"), out).Run() })
	}
	for name, verify := range map[string]transfer.Verify{"verify none": transfer.VerifyNone, "verify checksum": transfer.VerifyChecksum} {
		run(name, func() error {
			d := &Data{Endpoints: f, Blobs: blob.NewMemory(), Leases: newLeaseOffice(), Identity: "bench"}
			in := CopyInput{
				Task: testTask, Ends: Ends{Source: "src", Destination: "dst"}, Options: CopyOptions{Route: transfer.RouteRelay, Verify: verify},
				Chunk: transfer.Chunk{ID: "0001-0001", Sheet: "sheet", Files: 1, Bytes: size, Tuning: transfer.Tuning{Concurrency: 2}}, Schedule: 1,
			}
			if err := putFiles(b.Context(), d.Blobs, in.Chunk.Sheet, []transfer.File{{Source: "/file", Dest: "/file", Size: size}}); err != nil {
				return err
			}
			res, err := d.copy(b.Context(), in, nil)
			if err == nil && !res.Complete {
				b.Fatalf("%+v", res)
			}
			return err
		})
	}
}
