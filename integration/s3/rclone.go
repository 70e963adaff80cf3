package s3

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// NewRclone starts rclone as a server of the protocol over a directory, with one
// bucket.
func NewRclone(t testing.TB) *Store {
	t.Helper()
	s := &Store{
		Addr: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)), Bucket: "lab",
		Access: "AK" + rand.Text(), Secret: rand.Text(), Dir: t.TempDir(),
	}
	if err := os.Mkdir(filepath.Join(s.Dir, s.Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Process = harness.Start(t, harness.Command{
		Path: harness.Rclone(t), Args: []string{"serve", "s3", "--config", "/dev/null", "--addr", s.Addr, s.Dir},
		Env: harness.Environment(fmt.Sprintf(`RCLONE_AUTH_KEY="%s,%s"`, s.Access, s.Secret)),
	})
	s.Process.Ready(30*time.Second, func() error {
		c, err := net.Dial("tcp", s.Addr)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return s
}
