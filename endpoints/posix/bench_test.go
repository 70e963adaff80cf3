package posix_test

import (
	"fmt"
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
