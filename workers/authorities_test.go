package workers

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestAuthoritiesStayTheSame: sessions are pooled by the authorities they were
// made with, and are not to be lost to a signal.
func TestAuthoritiesStayTheSame(t *testing.T) {
	ca := gsitest.NewCA(t)
	o := newOpener(t, &config.Config{TrustDir: ca.Dir})
	read := func() *gsi.Trust {
		t.Helper()
		trust, err := o.authorities.read(o.config.Load())
		if err != nil {
			t.Fatal(err)
		}
		return trust
	}
	before := read()
	if ends := o.Expiries(); len(ends) != 1 || ends[0].Name != "/O=Test/CN=Test CA" {
		t.Errorf("what ends is %v", ends)
	}
	reload(t, o, &config.Config{TrustDir: ca.Dir, Log: config.Log{Level: "debug"}})
	if read() != before {
		t.Error("the same authorities are others after another configuration")
	}
	reload(t, o, &config.Config{TrustDir: ca.Dir, Trust: config.Trust{AllowExpiredCRL: true}})
	if read() == before {
		t.Error("the configuration loosens nothing")
	}
	reload(t, o, &config.Config{TrustDir: filepath.Join(ca.Dir, "none")})
	if _, err := o.authorities.read(o.config.Load()); !fault.Is(err, fault.Credential) || !strings.Contains(err.Error(), "none") {
		t.Errorf("no directory: %v", err)
	}
	if ends := o.Expiries(); ends != nil {
		t.Errorf("without authorities there ends %v", ends)
	}
}
