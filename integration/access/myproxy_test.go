package access

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
