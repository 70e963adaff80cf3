package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gridferry/gridferry/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gridferryd": main})
}

// The scripts read as documentation of the command; they need no server.
func TestCommand(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			// Nothing of this machine's own configuration.
			e.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector has commands wait for a second at their end
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GRIDFERRY_CONFIG", e.WorkDir+"/gridferryd.yaml")
			e.Setenv("X509_CERT_DIR", e.WorkDir+"/certificates")
			return nil
		},
	})
}

// A host that only serves GridFTP needs no Temporal; it serves until it is told
// to stop.
func TestServesGridFTPAlone(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "gridferryd.yaml")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	from := source{path: conf, set: []string{
		"roles=gridftp", "gridftp.root=" + dir, "gridftp.anonymous=true", "gridftp.listen=" + freeAddress(t), "trust_dir=" + dir, "log.level=error",
	}}
	c, err := from.load(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, func() (*config.Config, error) { return c, nil }, false) }()
	var conn net.Conn
	for deadline := time.Now().Add(time.Minute); ; {
		if conn, err = net.DialTimeout("tcp", c.GridFTP.Listen, time.Minute); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if greeting, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "220 gridferry GridFTP server ") {
		t.Errorf("it greets with %q, %v", greeting, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not stop")
	}
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
