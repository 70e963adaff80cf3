package access

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	debian "github.com/gridferry/gridferry/integration/myproxy"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// TestAPassphraseIsTypedOnce activates two endpoints with one logon at Debian's
// MyProxy server, and looks for the pass phrase afterwards.
func TestAPassphraseIsTypedOnce(t *testing.T) {
	const secret = "correct horse battery staple"
	var server *debian.Server
	s := newSite(t, func(s *site) options {
		server = debian.NewServer(t, debian.Options{CA: s.northCA})
		second := fmt.Sprintf("north#second: {kind: gridftp, servers: [%q], myproxy: %q}", s.north.Addr(), server.Addr())
		return options{endpoints: []string{strings.Replace(second, "second", "first", 1), second}}
	})
	owner := &myproxy.Client{Server: server.Addr(), Trust: s.northCA.Trust(), Credential: s.northCA.User("Ada")}
	must(t, owner.Store(t.Context(), myproxy.Deposit{User: "adal", Passphrase: []byte(secret), Lifetime: 48 * time.Hour}))

	logon := []string{"endpoint", "activate", "north#first", "--user", "adal", "--passphrase-stdin"}
	r := s.typed(ada, nil, "wrong horse\n", logon...)
	if r.code != 6 || !strings.Contains(r.stderr, "check user and pass phrase") {
		t.Errorf("a wrong pass phrase: exit code %d: %s", r.code, r.stderr)
	}
	said := s.good(s.typed(ada, nil, secret+"\n", append(logon, "--lifetime", "1h")...))
	if !strings.Contains(said, northAda) {
		t.Errorf("activated as whom? %s", said)
	}
	for _, endpoint := range []string{"north#first", "north#second"} {
		s.good(s.as(ada, nil, "ls", endpoint+":"+s.north.Root))
	}
	if r := s.as(ada, nil, "ls", "north#dtn:"+s.north.Root); r.code != 6 {
		t.Errorf("an endpoint of another domain: exit code %d: %s", r.code, r.stderr)
	}
	s.onTerminal(secret)
	if list := s.good(s.as(ada, nil, "identity", "list")); !strings.Contains(list, "adal") || !strings.Contains(list, server.Addr()) {
		t.Errorf("the account was not remembered:\n%s", list)
	}
	for _, planted := range []string{secret, "wrong horse", "PRIVATE KEY"} {
		if strings.Contains(s.daemon.Log(), planted) {
			t.Errorf("%q is in the daemon's log", planted)
		}
	}
	found := false
	must(t, filepath.WalkDir(s.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		found = found || bytes.Contains(text, []byte("adal"))
		if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte("PRIVATE KEY")) {
			t.Errorf("%s holds a secret", path)
		}
		return err
	}))
	if !found {
		t.Error("the search finds not even the user's name")
	}
}

// onTerminal activates an endpoint as root does who types at a terminal: the
// account that is known is offered, and the pass phrase is not shown.
func (s *site) onTerminal(secret string) {
	s.t.Helper()
	s.good(s.as("root", nil, "identity", "add", "myproxy", "adal", "--server", "myproxy.example.org"))
	cmd := exec.Command(harness.Need(s.t, "script"), "-qec", s.gridferry+" endpoint activate north#first", "/dev/null")
	cmd.Env = harness.Environment("GRIDFERRY_SERVICE=unix:"+s.socket(), "TERM=xterm")
	keyboard, err := cmd.StdinPipe()
	must(s.t, err)
	var screen screen
	cmd.Stdout = &screen
	must(s.t, cmd.Start())
	for _, x := range []struct{ prompt, typed string }{{"MyProxy user [adal]: ", "\n"}, {"MyProxy pass phrase: ", secret + "\n"}} {
		harness.Eventually(s.t, time.Minute, func() error {
			if !strings.HasSuffix(screen.String(), x.prompt) {
				return fmt.Errorf("no %q at the end of %q", x.prompt, screen.String())
			}
			return nil
		})
		_, err := io.WriteString(keyboard, x.typed)
		must(s.t, err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(screen.String(), "north#first is activated") || strings.Contains(screen.String(), secret) {
		s.t.Errorf("%v: %q", err, screen.String())
	}
}

// screen is what a terminal shows.
type screen struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}
