package sftp_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/sftp"
)

// classes are what the driver is measured with, beside scp: one file after the
// other in each of some goroutines, as a relay does it.
var classes = []struct {
	name          string
	files, size   int
	atOnce, block int
}{
	{"1000x16KiB", 1000, 16 << 10, 8, 16 << 10},
	{"1x512MiB", 1, 512 * mib, 1, mib},
	{"4x128MiB", 4, 128 * mib, 4, mib},
}

func BenchmarkWrite(b *testing.B) {
	server := sftp.NewServer(b)
	for _, c := range classes {
		data := noise(c.block)
		b.Run(c.name+"/driver", func(b *testing.B) {
			d := driver.New(driver.Config{})
			defer d.Close()
			rec := server.Record(b.TempDir())
			rec.Options["sync"] = "off" // as scp
			s, err := d.Open(b.Context(), rec, sftp.Identity(server.KeyFile()))
			must(b, err)
			b.SetBytes(int64(c.files * c.size))
			for b.Loop() {
				each(b, c.atOnce, c.files, func(i int) error {
					w, err := s.Create(b.Context(), fmt.Sprintf("/f%d", i), endpoints.CreateOptions{Size: int64(c.size)})
					if err != nil {
						return err
					}
					for range c.size / c.block {
						if _, err := w.Write(data); err != nil {
							return err
						}
					}
					return w.Commit()
				})
			}
		})
		b.Run(c.name+"/scp", func(b *testing.B) {
			from, to := many(b, c.files, c.size, data), b.TempDir()
			b.SetBytes(int64(c.files * c.size))
			for b.Loop() {
				scp(b, server, from, server.User+"@127.0.0.1:"+to)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	server := sftp.NewServer(b)
	for _, c := range classes {
		from := many(b, c.files, c.size, noise(c.block))
		b.Run(c.name+"/driver", func(b *testing.B) {
			d := driver.New(driver.Config{})
			defer d.Close()
			s, err := d.Open(b.Context(), server.Record(""), sftp.Identity(server.KeyFile()))
			must(b, err)
			b.SetBytes(int64(c.files * c.size))
			for b.Loop() {
				each(b, c.atOnce, c.files, func(i int) error {
					r, err := s.Open(b.Context(), fmt.Sprintf("%s/f%d", from, i), 0, int64(c.size))
					if err != nil {
						return err
					}
					defer r.Close()
					_, err = io.Copy(io.Discard, r)
					return err
				})
			}
		})
		b.Run(c.name+"/scp", func(b *testing.B) {
			to := b.TempDir()
			b.SetBytes(int64(c.files * c.size))
			for b.Loop() {
				scp(b, server, server.User+"@127.0.0.1:"+from, to)
			}
		})
	}
}

// each calls fn with 0 to n-1, some at once.
func each(b *testing.B, atOnce, n int, fn func(i int) error) {
	b.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				if err := fn(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// many makes files.
func many(b *testing.B, n, size int, block []byte) string {
	b.Helper()
	dir := b.TempDir()
	for i := range n {
		must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), bytes.Repeat(block, size/len(block)), 0o600))
	}
	return dir
}

func scp(b *testing.B, server *sftp.Server, from, to string) {
	b.Helper()
	out, err := exec.Command(harness.Need(b, "scp"), "-q", "-r", "-F", "none", "-P", fmt.Sprint(server.Port), "-i", server.KeyFile(),
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+server.KnownHosts(), from, to).CombinedOutput()
	if err != nil {
		b.Fatalf("scp: %v: %s", err, out)
	}
}
