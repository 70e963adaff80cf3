package setup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// world is a site: an authority, a host certificate, servers that greet.
type world struct {
	t       *testing.T
	ca      *gsitest.CA
	dir     string
	cert    string
	key     string
	gridftp string
	mail    string
	myproxy string

	out, err bytes.Buffer
	in       string
	terminal bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, ca: gsitest.NewCA(t), dir: t.TempDir()}
	host := w.ca.Host("localhost", "127.0.0.1")
	w.cert, w.key = w.ca.PairFiles(host)
	w.gridftp = w.greets("220-Welcome\r\n220 dtn GridFTP Server ready.\r\n", nil)
	w.mail = w.greets("220 mail.example.org ESMTP\r\n", nil)
	w.myproxy = w.greets("", &tls.Config{Certificates: []tls.Certificate{host.TLSCertificate()}})
	return w
}

// greets is a server that says one thing to whoever comes.
func (w *world) greets(text string, conf *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if conf != nil {
					conn = tls.Server(conn, conf)
				}
				fmt.Fprint(conn, text)
				bufio.NewReader(conn).ReadByte() // until they go
			}()
		}
	}()
	return l.Addr().String()
}

func (w *world) file(name, text string) string {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) run(args ...string) error {
	w.t.Helper()
	w.out.Reset()
	w.err.Reset()
	p := Program{
		Stdin: strings.NewReader(w.in), Stdout: &w.out, Stderr: &w.err, Terminal: w.terminal,
		Temporal: func(_ context.Context, address, namespace string) error {
			if address != "temporal:7233" || namespace != "grid" {
				return errors.New("nobody answers")
			}
			return nil
		},
	}
	c := p.Command()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	return c.ExecuteContext(w.t.Context())
}

// good are flags of a site where everything is as it should be.
func (w *world) good() []string {
	return []string{
		"--data-dir", filepath.Join(w.dir, "data"), "--temporal", "temporal:7233", "--temporal-namespace", "grid",
		"--trust-dir", w.ca.Dir, "--host-cert", w.cert, "--host-key", w.key, "--serve", w.dir,
		"--gridmap", w.file("gridmap", `"/O=Grid/CN=Ada" ada`+"\n"),
		"--keyset", filepath.Join(w.dir, "vault.keyset"), "--api-listen", "127.0.0.1:0",
		"--myproxy", w.myproxy, "--mail", w.mail, "--mail-from", "ferry@example.org", "--endpoint", "lab#dtn=" + w.gridftp,
	}
}

func TestWritesWhatTheDaemonReads(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "etc", "gridferryd.yaml")
	if err := w.run(append(w.good(), "--output", file)...); err != nil {
		t.Fatalf("%v\n%s", err, w.err.String())
	}
	c, err := config.Load(config.Options{Path: file, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	rec := c.Endpoints["lab#dtn"]
	if c.Temporal.Namespace != "grid" || c.GridFTP.Root != w.dir || c.Notify.SMTP.Server != w.mail || rec.MyProxy != w.myproxy || rec.Servers[0] != w.gridftp {
		t.Errorf("%+v", c)
	}

	// Nothing that was there is lost.
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(append(w.good(), "--output", file)...); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("a file that was there: %v", err)
	}
	if err := w.run(append(w.good(), "--output", file, "--replace", "--mail", "")...); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(file + ".before-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if text, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(text, before) {
		t.Errorf("kept %q, %v", text, err)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	other := gsitest.NewCA(t)
	for name, c := range map[string]struct {
		flags func(w *world) []string
		words string
	}{
		"Temporal away":     {func(*world) []string { return []string{"--temporal", "nowhere:1"} }, "✗ temporal nowhere:1: nobody answers"},
		"no authorities":    {func(w *world) []string { return []string{"--trust-dir", w.dir} }, "no root certificate"},
		"other authorities": {func(*world) []string { return []string{"--trust-dir", other.Dir} }, "clients will refuse it"},
		"no key":            {func(*world) []string { return []string{"--host-key", ""} }, "belong together"},
		"bad gridmap":       {func(w *world) []string { return []string{"--gridmap", w.file("bad", `"/O=Grid/CN=`)} }, "✗ gridmap"},
		"no gridmap":        {func(*world) []string { return []string{"--gridmap", ""} }, "nobody can log in"},
		"not a directory":   {func(w *world) []string { return []string{"--serve", w.file("plain", "")} }, "it is not a directory"},
		"a mail server":     {func(w *world) []string { return []string{"--myproxy", w.mail} }, "✗ myproxy"},
		"a keyset of others": {func(w *world) []string {
			file := w.file("keys", "{}")
			if err := os.Chmod(file, 0o644); err != nil {
				w.t.Fatal(err)
			}
			return []string{"--keyset", file}
		}, "✗ keyset"},
		"a port in use":      {func(w *world) []string { return []string{"--api-listen", w.mail} }, "✗ api-listen"},
		"no such server":     {func(*world) []string { return []string{"--endpoint", "lab#old=127.0.0.1:1"} }, "✗ endpoint lab#old"},
		"no address":         {func(*world) []string { return []string{"--mail-from", "ferry"} }, "give --mail-from"},
		"an endpoint's name": {func(w *world) []string { return []string{"--endpoint", "a b=" + w.gridftp} }, "cannot be an endpoint's name"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			file := filepath.Join(w.dir, "gridferryd.yaml")
			err := w.run(append(append(w.good(), "--output", file), c.flags(w)...)...)
			if err == nil || !strings.Contains(w.err.String(), c.words) {
				t.Errorf("%v\n%s\nwant %q", err, w.err.String(), c.words)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("it was written all the same")
			}
		})
	}
}

// A person is asked again until the answer holds.
func TestAsksAgain(t *testing.T) {
	w := newWorld(t)
	w.terminal = true
	w.in = strings.Join([]string{
		w.dir,               // data directory
		"nowhere:1", "grid", // Temporal: wrong
		"temporal:7233", "grid", // right
		w.ca.Dir, // authorities
		"-", "-", // no host certificate
		"",     // nothing to serve
		"-",    // no gridmap
		"", "", // keyset as it is, no API
		"", "", "", // no MyProxy, no mail
		"lab#dtn", "lab#dtn=" + w.gridftp, "", // an endpoint, wrong and right
	}, "\n") + "\n"
	if err := w.run("--output", "-"); err != nil {
		t.Fatalf("%v\n%s", err, w.err.String())
	}
	if text := w.out.String(); !strings.Contains(text, "temporal:7233") || !strings.Contains(text, "lab#dtn:") {
		t.Errorf("it wrote:\n%s\nafter:\n%s", text, w.err.String())
	}
}

func TestNexusIsPrinted(t *testing.T) {
	w := newWorld(t)
	if err := w.run("nexus", "ferry", "--target-namespace", "grid"); err != nil {
		t.Fatal(err)
	}
	if got, want := w.out.String(), "temporal operator nexus endpoint create --name ferry --target-namespace grid --target-task-queue gridferry\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
