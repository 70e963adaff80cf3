package sftp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	driver "github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/sftp"
)

const mib = 1 << 20

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b) // it cannot fail
	return b
}

// through opens a place at the far end of a line.
func through(t *testing.T, d *driver.Driver, server *sftp.Server, line *sftp.Line, dir string) *driver.Storage {
	t.Helper()
	rec := server.Record(dir)
	rec.Servers = []string{line.Addr}
	return open(t, d, server, rec)
}

func write(s endpoints.Storage, t *testing.T, path string, data []byte) error {
	w, err := s.Create(t.Context(), path, endpoints.CreateOptions{Size: int64(len(data))})
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func read(s endpoints.Storage, t *testing.T, path string) ([]byte, error) {
	r, err := s.Open(t.Context(), path, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// A connection that is cut is Transient to what was under way, and the next
// call has another one.
func TestCut(t *testing.T) {
	d, server := newDriver(t), sftp.NewServer(t)
	line, dir := sftp.NewLine(t, server), t.TempDir()
	s := through(t, d, server, line, dir)
	data := noise(20 * mib)
	must(t, os.WriteFile(filepath.Join(dir, "there"), data, 0o600))

	cut := line.After(5*mib, line.Cut)
	wants(t, "writing", write(s, t, "/f", data), fault.Transient, "write /f")
	<-cut
	from := line.Bytes.Load()
	cut = line.After(5*mib, line.Cut)
	_, err := read(s, t, "/there")
	for err != nil && line.Bytes.Load() < from+5*mib { // over a connection that the first cut took, too
		_, err = read(s, t, "/there")
	}
	wants(t, "reading", err, fault.Transient, "read /there")
	<-cut
	must(t, write(s, t, "/f", data))
	if got, err := read(s, t, "/f"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	server.Kill()
	_, err = s.Stat(t.Context(), "/f")
	for !fault.Is(err, fault.Transient) { // the connection outlives the server that took it
		line.Cut()
		_, err = s.Stat(t.Context(), "/f")
	}
	wants(t, "without a server", err, fault.Transient)
}

// A server that says nothing any more is given up, and so is a session that
// leaves requests without an answer.
func TestSilence(t *testing.T) {
	server := sftp.NewServer(t)
	line, dir := sftp.NewLine(t, server), t.TempDir()
	d := driver.New(driver.Config{Quiet: 300 * time.Millisecond})
	t.Cleanup(d.Close)
	s := through(t, d, server, line, dir)
	line.Hush()
	begun := time.Now()
	_, err := s.Stat(t.Context(), "/f")
	wants(t, "a silent line", err, fault.Transient, "stat /f", "said nothing for")
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v to find out", took)
	}
	line.Speak()

	stalls := driver.New(driver.Config{Stall: 500 * time.Millisecond})
	t.Cleanup(stalls.Close)
	s = through(t, stalls, server, line, dir)
	run(t, "mkfifo", filepath.Join(dir, "pipe")) // whose opening the server waits for
	_, err = s.Open(t.Context(), "/pipe", 0, -1)
	wants(t, "a session that hangs", err, fault.Transient, "without an answer")
	must(t, write(s, t, "/f", []byte("after")))
}

// Tasks of one owner share connections, and nobody else has them.
func TestConnections(t *testing.T) {
	d, server := newDriver(t), sftp.NewServer(t)
	line, dir := sftp.NewLine(t, server), t.TempDir()
	rec := server.Record(dir)
	rec.Servers = []string{line.Addr}
	rec.Options["connections"] = "3"
	must(t, os.WriteFile(filepath.Join(dir, "f"), noise(mib), 0o600))
	// use opens files until so many connections are made, and then some more.
	use := func(who string, id driver.Identity, made int64) {
		t.Helper()
		before := line.Made.Load()
		s, err := d.Open(t.Context(), rec, id)
		must(t, err)
		var files []io.Closer
		another := func() {
			r, err := s.Open(t.Context(), "/f", 0, 10)
			must(t, err)
			files = append(files, r)
		}
		harness.Eventually(t, time.Minute, func() error {
			another()
			if n := line.Made.Load() - before; n < made {
				return fmt.Errorf("%s has made %d connections, not %d", who, n, made)
			}
			return nil
		})
		for range 12 {
			another()
		}
		for _, f := range files {
			must(t, f.Close())
		}
		must(t, s.Close())
		if n := line.Made.Load() - before; n != made {
			t.Errorf("%s has made %d connections, not %d", who, n, made)
		}
	}
	ada := sftp.Identity(server.KeyFile())
	use("ada", ada, 3)
	use("ada, again,", ada, 0)
	eve := ada
	eve.Owner = "eve"
	use("eve", eve, 3)
	d.CloseCredential(ada.Fingerprint)
	use("ada, without the former ones,", ada, 3)
}

// Without sessions to list in, and with few files open, things work.
func TestFewSessions(t *testing.T) {
	server := sftp.NewServer(t, "MaxSessions 1")
	d, dir := newDriver(t), t.TempDir()
	for _, name := range []string{"a", "b"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	must(t, os.Symlink("a", filepath.Join(dir, "l")))
	s := open(t, d, server, server.Record(dir))
	n := 0
	must(t, s.List(t.Context(), "/", func(page []endpoints.Entry) error {
		for _, e := range page {
			n++
			if (e.Target == "a") != (e.Name == "l") {
				t.Errorf("%+v", e)
			}
		}
		return nil
	}))
	if n != 3 {
		t.Errorf("%d of 3 entries", n)
	}
}
