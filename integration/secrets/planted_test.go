package secrets

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/myproxy"
)

// Names of what is planted and not only searched for.
const (
	userKey  = "the user's own key"
	label    = "the canary in a label"
	fileName = "the canary in the names of files"
)

// planted is what is searched for in a site.
type planted struct {
	secrets []Secret

	right, wrong    string          // pass phrases
	label, fileName string          // canaries
	own             *gsi.Credential // the user's, which stays with the user
	pasted          *gsi.Credential // another, for all the wrong places
	brief, lasting  *gsi.Credential // proxies: one has expired when it is needed

	t *testing.T
}

func plant(s *site) *planted {
	s.t.Helper()
	p := &planted{
		right: phraseOf(), wrong: phraseOf(), label: rand.Text(), fileName: rand.Text(),
		own: s.ca.User("Ada"), pasted: s.ca.User("Ada"), t: s.t,
	}
	p.brief, p.lasting = p.proxy("an expired proxy's key", time.Second), p.proxy("an uploaded proxy's key", time.Hour)
	p.key(userKey, p.own)
	p.key("a key in the wrong place", p.pasted)
	p.secrets = append(p.secrets,
		Text("the pass phrase", p.right), Text("a mistyped pass phrase", p.wrong), Text(label, p.label), Text(fileName, p.fileName),
		Bytes("the sealing key", sealing(s.t, s.keyset())))
	depositor := &myproxy.Client{Server: s.myproxy.Addr(), Trust: s.ca.Trust(), Credential: p.own}
	must(s.t, depositor.Store(s.t.Context(), myproxy.Deposit{User: "ada", Passphrase: []byte(p.right)}))
	return p
}

// phraseOf is a new pass phrase, with what quotes of all kinds change.
func phraseOf() string { return rand.Text() + ` "+</%&\ ` + rand.Text() }

func (p *planted) key(name string, c *gsi.Credential) {
	p.t.Helper()
	secret, err := Key(name, c.Key)
	must(p.t, err)
	p.secrets = append(p.secrets, secret)
}

// proxy is a new one of the user's.
func (p *planted) proxy(name string, life time.Duration) *gsi.Credential {
	p.t.Helper()
	c, err := p.own.NewProxy(gsi.ProxyOptions{Lifetime: life})
	must(p.t, err)
	p.key(name, c)
	return c
}

// soon is a proxy that is taken, and with which nothing is begun any more.
func (p *planted) soon() *gsi.Credential {
	p.t.Helper()
	return p.proxy("a short-lived proxy's key", 25*time.Second)
}

// addKept adds the keys that the daemon has made or fetched itself, as the
// vault knows them. It is asked through a copy of the store.
func (p *planted) addKept(s *site) {
	s.t.Helper()
	dir := s.t.TempDir()
	s.control.Freeze()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(filepath.Join(s.data, "store.db"+suffix))
		must(s.t, err)
		must(s.t, os.WriteFile(filepath.Join(dir, "store.db"+suffix), data, 0o600))
	}
	s.control.Thaw()
	rows, err := store.Open(s.t.Context(), filepath.Join(dir, "store.db"), store.Options{})
	must(s.t, err)
	defer rows.Close()
	v := vault.New(rows, vault.NewKeyFile(s.keyset(), nil))
	owner := account(s.t)
	activations, err := v.List(s.t.Context(), owner)
	must(s.t, err)
	if len(activations) != 3 {
		s.t.Fatalf("%d activations of three endpoints: %+v", len(activations), activations)
	}
	for _, a := range activations {
		_, pem, err := v.Open(s.t.Context(), owner, a.Domain)
		must(s.t, err)
		c, err := gsi.ParseCredential(pem)
		must(s.t, err)
		p.key("the key that is activated, of kind "+a.Kind, c)
	}
}

// sealing is the one key in a keyset of Tink's: field 3 of its AesGcmKey
// (proto/aes_gcm.proto there).
func sealing(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var keyset struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	must(t, json.Unmarshal(text, &keyset))
	if len(keyset.Key) != 1 {
		t.Fatalf("%s has %d keys", path, len(keyset.Key))
	}
	message, err := base64.StdEncoding.DecodeString(keyset.Key[0].KeyData.Value)
	must(t, err)
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeField(message)
		if n < 0 {
			t.Fatalf("%s: %v", path, protowire.ParseError(n))
		}
		if number == 3 && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(message)
			key, _ := protowire.ConsumeBytes(message[tag:])
			if len(key) == 32 { // AES-256
				return key
			}
		}
		message = message[n:]
	}
	t.Fatalf("%s has no key of AES-256-GCM", path)
	return nil
}
