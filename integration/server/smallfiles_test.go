package server_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

// BenchmarkSmallFiles has globus-url-copy put 2,000 files of 1 KiB, pipelined,
// to our server with and without "sync", and to Debian's, which has nothing of
// the kind. The metric is files a second; what it means depends on the disk.
func BenchmarkSmallFiles(b *testing.B) {
	const files = 2000
	w := newWorld(b)
	tree := b.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(tree, fmt.Sprintf("f%04d", i)), make([]byte, 1024), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	quiet := func(c *server.Config) { c.Logger = slog.New(slog.DiscardHandler) }
	debian := globus.NewServer(b, globus.Options{CA: w.ca})
	unsynced := serveWith(b, "127.0.0.1:0", posix.Options{NoSync: true}, w.gsi(), quiet)
	synced := serveWith(b, "127.0.0.1:0", posix.Options{}, w.gsi(), quiet)
	for _, to := range []struct {
		name string
		url  func(dir string) string
	}{{"Debian", debian.URL}, {"ours", unsynced.url}, {"ours, sync", synced.url}} {
		b.Run(to.name, func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				globus.URLCopy(b, w.env, "-r", "-cd", "-fast", "-pp", "file://"+tree+"/", to.url(fmt.Sprintf("%d-%d/", b.N, n)))
			}
			b.ReportMetric(float64(files*b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}
