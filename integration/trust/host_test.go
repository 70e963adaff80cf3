package trust_test

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestHostNames lets a server of ours show certificates for this and for other
// hosts to the toolkit's client.
func TestHostNames(t *testing.T) {
	ca := gsitest.NewCA(t)
	f := newForger(t)
	f.list(ca.Dir, ca.Root(), f.notAfter)
	trust, err := gsi.LoadTrust(ca.Dir)
	must(t, err)
	dir := t.TempDir()
	f.write(filepath.Join(dir, "f"), []byte("bytes"))
	env := globus.ClientEnv(ca, ca.ProxyFile(ca.Proxy(ca.User("Ada"))))

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CN\tALTERNATIVE NAMES\tREACHED AS\tGRIDFERRY\tOPENSSL\tGLOBUS")
	for _, r := range []struct {
		cn     string
		names  []string
		host   string
		wanted bool // ours
	}{
		{"first", []string{"localhost"}, "localhost", true},
		{"localhost", nil, "localhost", true},
		{"LocalHost", nil, "localhost", true},
		{"host/localhost", nil, "localhost", true},
		{"first", []string{"127.0.0.1"}, "127.0.0.1", true},
		{"first", []string{"dtn.example.org", "localhost"}, "localhost", true},
		{"dtn.example.org", []string{"dtn.example.org"}, "localhost", false},
		{"dtn.example.org", nil, "localhost", false},
		{"host/dtn.example.org", nil, "localhost", false},
		{"localhost", []string{"dtn.example.org"}, "localhost", false},
		{"ldap/localhost", nil, "localhost", false},
		{"localhost.example.org", nil, "localhost", false},
		{"local", nil, "localhost", false},
		{"*", nil, "localhost", false},
		{"first", []string{"*"}, "localhost", false},
		{"first", []string{"*.localhost"}, "localhost", false},
		{"first", []string{"localhost"}, "127.0.0.1", false},
		{"first", []string{"127.0.0.2"}, "127.0.0.1", false},
	} {
		c := f.end(ca.Root(), pkix.Name{Organization: []string{"Test"}, CommonName: r.cn}, func(c *forged) {
			for _, name := range r.names {
				if ip := net.ParseIP(name); ip != nil {
					c.IPAddresses = append(c.IPAddresses, ip)
				} else {
					c.DNSNames = append(c.DNSNames, name)
				}
			}
		})
		peer, err := trust.Verify(c.Chain, time.Now())
		must(t, err)
		ours := gsi.MatchHost(peer.EEC(), r.host)
		var refused *gsi.TrustError
		switch {
		case r.wanted && ours != nil:
			t.Errorf("%s %v as %s: %v", r.cn, r.names, r.host, ours)
		case !r.wanted && (!errors.As(ours, &refused) || refused.Reason != gsi.ReasonHost || !strings.Contains(ours.Error(), "not for "+r.host)):
			t.Errorf("%s %v as %s: not refused with a sentence: %v", r.cn, r.names, r.host, ours)
		}
		check := "-verify_hostname"
		if net.ParseIP(r.host) != nil {
			check = "-verify_ip"
		}
		openssl := f.openssl(ca.Dir, c, check, r.host)
		_, port, err := net.SplitHostPort(serve(t, ca, c, dir))
		must(t, err)
		theirs := fetch(t, env, net.JoinHostPort(r.host, port))
		if ours == nil && theirs != "" {
			t.Errorf("%s %v as %s: accepted here, and refused by Globus: %s", r.cn, r.names, r.host, theirs)
		}
		reason := ""
		if ours != nil {
			reason = string(gsi.ReasonHost)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.cn, strings.Join(r.names, " "), r.host, short(reason), short(openssl), short(theirs))
	}
	must(t, w.Flush())
	t.Logf("verdicts:\n%s", table.String())
}

// fetch is the verdict of globus-url-copy on a server, empty when it brings a
// file from there.
func fetch(t testing.TB, env []string, addr string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "g")
	_, err := globus.TryURLCopy(t, env, "-nodcau", "gsiftp://"+addr+"/f", "file://"+to)
	if err == nil {
		_, err = os.Stat(to)
		must(t, err)
		return ""
	}
	last := "it failed"
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return strings.TrimPrefix(last, "globus_gsi_gssapi: ")
}
