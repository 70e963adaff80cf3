// Package trust_test compares what package gsi thinks of certificates with what
// OpenSSL and the Grid Community Toolkit think of the same files.
package trust_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// A row is a credential, and what we think of it.
type row struct {
	name   string
	c      *gsi.Credential
	reason gsi.Reason // ours, empty when it is accepted
	advice string     // what our sentence says, so that somebody can act on it
	full   bool       // a full proxy is wanted
}

// hash is OpenSSL's, of the subject.
func (f *forger) hash(c *gsi.Credential) string {
	f.t.Helper()
	cmd := exec.Command(harness.Need(f.t, "openssl"), "x509", "-noout", "-subject_hash")
	cmd.Stdin = strings.NewReader(string(certificates(c.Chain[:1])))
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestVerdicts shows the three verdicts on each row side by side. What the
// toolkit refuses must be refused here, and what is bad is, whatever it says.
func TestVerdicts(t *testing.T) {
	ca := gsitest.NewCA(t)
	f := newForger(t)
	server := globus.NewServer(t, globus.Options{CA: ca})
	rows := f.rows(ca)
	trust, err := gsi.LoadTrust(ca.Dir)
	if err != nil {
		t.Fatal(err)
	}

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CHAIN\tGRIDFERRY\tOPENSSL\tGLOBUS")
	var sentences strings.Builder
	for _, r := range rows {
		ours := f.ours(trust, r)
		openssl := f.openssl(ca.Dir, r.c)
		_, err := knock(t, server.Addr(), r.c, ca.Trust())
		theirs := verdict(t, err)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.name, short(string(r.reason)), short(openssl), short(strings.ReplaceAll(theirs, ca.Dir+"/", "")))

		var refused *gsi.TrustError
		switch {
		case r.reason == "" && ours != nil:
			t.Errorf("%s: refused: %v", r.name, ours)
		case r.reason != "" && !errors.As(ours, &refused):
			t.Errorf("%s: not refused as it must be: %v", r.name, ours)
		case r.reason != "" && (refused.Reason != r.reason || !strings.Contains(ours.Error(), r.advice)):
			t.Errorf("%s: refused for %q: %v\nwant %q with %q in it", r.name, refused.Reason, ours, r.reason, r.advice)
		}
		if ours == nil && theirs != "" {
			t.Errorf("%s: accepted here, and refused by Globus: %s", r.name, theirs)
		}
		if ours != nil {
			fmt.Fprintf(&sentences, "%s:\n    %v\n", r.name, ours)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("verdicts:\n%s\nour sentences:\n%s", table.String(), sentences.String())
}

func short(verdict string) string {
	if verdict == "" {
		return "accepts"
	}
	if len(verdict) > 60 {
		verdict = verdict[:57] + "..."
	}
	return verdict
}

// rows makes the credentials, and fills the trust directory with what they are
// judged by.
func (f *forger) rows(ca *gsitest.CA) []row {
	t := f.t
	person := pkix.Name{Organization: []string{"Test"}, CommonName: "Ada"}
	root := ca.Root()
	user := f.end(root, person)
	revoked := f.end(root, person)
	f.list(ca.Dir, root, f.notAfter, revoked.Chain[0])

	stranger := f.authority(nil, pkix.Name{Organization: []string{"Strange"}, CommonName: "CA"})
	stale := f.authority(nil, pkix.Name{Organization: []string{"Stale"}, CommonName: "CA"})
	f.trusted(ca.Dir, stale, "/O=Test/*")
	f.list(ca.Dir, stale, time.Now().Add(-time.Hour))
	silent := f.authority(nil, pkix.Name{Organization: []string{"Silent"}, CommonName: "CA"})
	f.trusted(ca.Dir, silent, "/O=Test/*")
	lawless := f.authority(nil, pkix.Name{Organization: []string{"Lawless"}, CommonName: "CA"})
	f.write(filepath.Join(ca.Dir, f.hash(lawless)+".0"), certificates(lawless.Chain))
	f.list(ca.Dir, lawless, f.notAfter)

	below := f.authority(root, pkix.Name{Organization: []string{"Test"}, CommonName: "Below"})
	f.trusted(ca.Dir, below, "/O=Test/*")
	f.list(ca.Dir, below, f.notAfter)
	strict := f.authority(nil, pkix.Name{Organization: []string{"Strict"}, CommonName: "CA"}, func(c *forged) { c.MaxPathLenZero = true })
	f.trusted(ca.Dir, strict, "/O=Strict/*")
	f.list(ca.Dir, strict, f.notAfter)
	excess := f.authority(strict, pkix.Name{Organization: []string{"Strict"}, CommonName: "Below"})
	f.trusted(ca.Dir, excess, "/O=Test/*")
	f.list(ca.Dir, excess, f.notAfter)
	old := f.authority(nil, pkix.Name{Organization: []string{"Old"}, CommonName: "CA"}, func(c *forged) { c.NotAfter = time.Now().Add(-time.Minute) })
	f.trusted(ca.Dir, old, "/O=Test/*")
	f.list(ca.Dir, old, f.notAfter)

	// The same name and another key, twice.
	claimed := f.authority(nil, pkix.Name{Organization: []string{"Claimed"}, CommonName: "CA"})
	f.trusted(ca.Dir, claimed, "/O=Test/*")
	f.list(ca.Dir, &gsi.Credential{Chain: claimed.Chain, Key: f.strong[2]}, f.notAfter)
	impostor := &gsi.Credential{Chain: root.Chain, Key: f.strong[2]}
	garbled := f.authority(nil, pkix.Name{Organization: []string{"Garbled"}, CommonName: "CA"})
	f.trusted(ca.Dir, garbled, "/O=Test/*")
	f.write(filepath.Join(ca.Dir, f.hash(garbled)+".r0"), []byte("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"))

	past := func(c *forged) { c.NotAfter = time.Now().Add(-time.Minute) }
	future := func(c *forged) { c.NotBefore = time.Now().Add(30 * time.Minute) }
	sha1 := func(c *forged) { c.SignatureAlgorithm = x509.SHA1WithRSA }
	weak := func(c *forged) { c.key = f.weak }
	bare := func(cn string) func(*forged) {
		return func(c *forged) { c.cn, c.ExtraExtensions = cn, nil }
	}
	limited := f.proxy(user, f.withInfo(-1, oidLimited))
	twin := f.end(root, person, func(c *forged) { c.key = f.strong[2] })
	signedByTwin := f.proxy(twin)
	signedByTwin.Chain[1] = user.Chain[0]
	if len(signedByTwin.Chain) != 2 {
		t.Fatal("a chain of another length")
	}
	return []row{
		{name: "certificate", c: user},
		{name: "proxy", c: f.proxy(user)},
		{name: "proxy of a proxy", c: f.proxy(f.proxy(user))},
		{name: "proxy that allows one more, and one more", c: f.proxy(f.proxy(user, f.withInfo(1, oidInheritAll)))},
		{name: "limited proxy", c: limited},
		{name: "authority under another", c: f.proxy(f.end(below, person))},
		{name: "authority without revocation list", c: f.proxy(f.end(silent, person))},

		{name: "expired certificate", c: f.proxy(f.end(root, person, past)), reason: gsi.ReasonExpired, advice: "ask its authority"},
		{name: "expired proxy", c: f.proxy(user, past), reason: gsi.ReasonExpired, advice: "grid-proxy-init"},
		{name: "expired authority", c: f.proxy(f.end(old, person)), reason: gsi.ReasonExpired, advice: "installs a new one"},
		{name: "certificate not yet valid", c: f.end(root, person, future), reason: gsi.ReasonNotYetValid, advice: "clock"},
		{name: "proxy not yet valid", c: f.proxy(user, future), reason: gsi.ReasonNotYetValid, advice: "clock"},
		{name: "unknown authority", c: f.proxy(f.end(stranger, person)), reason: gsi.ReasonUnknownAuthority, advice: "installs its certificate"},
		{name: "outside the signing policy", c: f.proxy(f.end(root, pkix.Name{Organization: []string{"Elsewhere"}, CommonName: "Ada"})),
			reason: gsi.ReasonSigningPolicy, advice: "allows /O=Test/*"},
		{name: "authority without signing policy", c: f.end(lawless, person), reason: gsi.ReasonSigningPolicy, advice: "install"},
		{name: "revoked", c: f.proxy(revoked), reason: gsi.ReasonRevoked, advice: "a new certificate is needed"},
		{name: "expired revocation list", c: f.proxy(f.end(stale, person)), reason: gsi.ReasonRevocationList, advice: "fetch-crl"},
		{name: "revocation list by a namesake", c: f.proxy(f.end(claimed, person)), reason: gsi.ReasonRevocationList, advice: "fetch it again"},
		{name: "revocation list damaged", c: f.proxy(f.end(garbled, person)), reason: gsi.ReasonRevocationList, advice: "fetch it again"},
		{name: "authority's namesake", c: f.proxy(f.end(impostor, person)), reason: gsi.ReasonUnknownAuthority, advice: "if the authority has a new one"},
		{name: "path length exceeded", c: f.proxy(f.proxy(user, f.withInfo(0, oidInheritAll))), reason: gsi.ReasonPathLength, advice: "allows 0"},
		{name: "path length exceeded further down", c: f.proxy(f.proxy(f.proxy(user, f.withInfo(1, oidInheritAll)))), reason: gsi.ReasonPathLength, advice: "allows 1"},
		{name: "path length of authorities exceeded", c: f.proxy(f.end(excess, person)), reason: gsi.ReasonPathLength, advice: "higher up"},
		{name: "full proxy of a limited one", c: f.proxy(limited), reason: gsi.ReasonLimited, advice: "make it limited too"},
		{name: "limited proxy where full is wanted", c: limited, full: true, reason: gsi.ReasonLimited, advice: "without -limited"},
		{name: "independent proxy", c: f.proxy(user, f.withInfo(-1, oidIndependent)), reason: gsi.ReasonProxyRule, advice: "make an ordinary one"},
		{name: "weak key", c: f.end(root, person, weak), reason: gsi.ReasonWeakKey, advice: "2048 bits"},
		{name: "weak key of a proxy", c: f.proxy(user, weak), reason: gsi.ReasonWeakKey, advice: "-bits 2048"},
		{name: "weak key between", c: f.proxy(f.proxy(user, weak)), reason: gsi.ReasonWeakKey, advice: "-bits 2048"},
		{name: "certificate signed with SHA-1", c: f.end(root, person, sha1), reason: gsi.ReasonSignature, advice: "sign a new one"},
		{name: "proxy signed with SHA-1", c: f.proxy(user, sha1), reason: gsi.ReasonSignature, advice: "make a new proxy"},
		{name: "legacy proxy (Globus 2)", c: f.proxy(user, bare("proxy")), reason: gsi.ReasonLegacyProxy, advice: "make a new one"},
		{name: "legacy limited proxy (Globus 2)", c: f.proxy(user, bare("limited proxy")), reason: gsi.ReasonLegacyProxy, advice: "make a new one"},
		{name: "legacy proxy (Globus 3)", c: f.proxy(user, func(c *forged) { c.ExtraExtensions[0].Id = oidDraftInfo }), reason: gsi.ReasonLegacyProxy, advice: "make a new one"},
		{name: "proxy with an alternative name", c: f.proxy(user, func(c *forged) { c.DNSNames = []string{"localhost"} }), reason: gsi.ReasonProxyRule, advice: "alternative name"},
		{name: "proxy that is an authority", c: f.proxy(user, func(c *forged) { c.IsCA, c.BasicConstraintsValid = true, true }), reason: gsi.ReasonProxyRule, advice: "authority"},
		{name: "ProxyCertInfo not critical", c: f.proxy(user, func(c *forged) { c.ExtraExtensions[0].Critical = false }), reason: gsi.ReasonProxyRule, advice: "critical"},
		{name: "proxy signed by a namesake", c: signedByTwin, reason: gsi.ReasonSignature, advice: "signature"},
		{name: "proxy under another name", c: f.proxy(user, func(c *forged) { c.cn, c.Subject = "", pkix.Name{CommonName: "Eve"} }), reason: gsi.ReasonProxyRule, advice: "one CN"},
		{name: "proxy without digitalSignature", c: f.proxy(user, func(c *forged) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), reason: gsi.ReasonProxyRule, advice: "digitalSignature"},
	}
}

// ours is our verdict on a row.
func (f *forger) ours(trust *gsi.Trust, r row) error {
	peer, err := trust.Verify(r.c.Chain, time.Now())
	if err == nil && r.full {
		err = peer.RequireFull()
	}
	return err
}

// openssl is the verdict of openssl verify, empty when it accepts.
func (f *forger) openssl(trustDir string, c *gsi.Credential, more ...string) string {
	f.t.Helper()
	dir := f.t.TempDir()
	leaf, rest := filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "rest.pem")
	f.write(leaf, certificates(c.Chain[:1]))
	args := append([]string{"verify", "-allow_proxy_certs", "-crl_check_all", "-auth_level", "2", "-CApath", trustDir}, more...)
	if len(c.Chain) > 1 {
		f.write(rest, certificates(c.Chain[1:]))
		args = append(args, "-untrusted", rest)
	}
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, harness.Need(f.t, "openssl"), append(args, leaf)...).CombinedOutput()
	if err == nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if _, reason, ok := strings.Cut(line, "lookup: "); ok {
			return strings.TrimSpace(reason)
		}
	}
	return strings.TrimSpace(string(out))
}
