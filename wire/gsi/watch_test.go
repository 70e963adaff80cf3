package gsi

import (
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func TestTrustDirFollowsChanges(t *testing.T) {
	f := newForgery(t)
	user := f.end("Ada")
	dir := t.TempDir()
	f.write(dir, nil)
	watch := NewTrustDir(dir, TrustOptions{})
	c := &clock{time.Now()}
	watch.trust.now = c.now
	get := func() *Trust {
		t.Helper()
		trust, err := watch.Trust()
		if err != nil {
			t.Fatal(err)
		}
		return trust
	}
	before := get()
	hash, err := subjectHash(f.ca.Chain[0].RawSubject)
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(dir, hash+".signing_policy")

	// Touched, replaced by its like, and another file added that is none of ours.
	if err := os.Chtimes(policy, time.Time{}, time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	c.forward(time.Minute)
	f.write(dir, trustFiles{"README": "none of ours"})
	if get() != before {
		t.Error("other authorities, and the content is the same")
	}
	// Each kind of change counts.
	for _, change := range []struct {
		what   string
		files  trustFiles
		reason Reason
	}{
		{"a revocation list", trustFiles{"HASH.r0": string(f.list([]*big.Int{user.Chain[0].SerialNumber}))}, ReasonRevoked},
		{"another list", trustFiles{"HASH.r0": string(f.list(nil))}, ""},
		{"a policy", trustFiles{"HASH.signing_policy": "access_id_CA X509 /CN=Other pos_rights globus CA:sign"}, ReasonSigningPolicy},
		{"the policy again", nil, ""},
		{"another authority", trustFiles{"HASH.0": string(encodeCertificate(newForgery(t).ca.Chain[0]))}, ReasonUnknownAuthority},
	} {
		f.write(dir, change.files)
		now := get()
		if now != before {
			t.Errorf("%s counts before it is time to look", change.what)
		}
		c.forward(lookEvery)
		now = get()
		if now == before {
			t.Errorf("%s does not count", change.what)
		}
		_, err := now.Verify(user.Chain, time.Now())
		wantRefusal(t, err, change.reason, "")
		before = now
	}
}

func TestTrustDirUnreadableForATime(t *testing.T) {
	f := newForgery(t)
	dir := filepath.Join(t.TempDir(), "certificates")
	watch := NewTrustDir(dir, TrustOptions{})
	c := &clock{time.Now()}
	watch.trust.now = c.now
	if _, err := watch.Trust(); err == nil || watch.Problem() == nil {
		t.Error("a directory that is not there is trusted")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f.write(dir, nil)
	before, err := watch.Trust()
	if err != nil || watch.Problem() != nil {
		t.Fatalf("what was missing is not looked for again at once: %v, %v", err, watch.Problem())
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	c.forward(lookEvery)
	if now, err := watch.Trust(); now != before || err != nil || watch.Problem() == nil {
		t.Errorf("while it is away: %v, %v", err, watch.Problem())
	}
	c.forward(keepFor + time.Second)
	if now, err := watch.Trust(); now != nil || err == nil {
		t.Error("it is trusted long after it went away")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Trust(); err != nil || watch.Problem() != nil {
		t.Errorf("when it is back: %v, %v", err, watch.Problem())
	}
}

func TestCredentialFilesFollowChanges(t *testing.T) {
	f := newForgery(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "hostcert.pem"), filepath.Join(dir, "hostkey.pem")
	save := func(c *Credential) {
		t.Helper()
		if err := c.SavePair(cert, key); err != nil {
			t.Fatal(err)
		}
	}
	first, second := f.end("first"), f.end("second")
	save(first)
	watch := NewCredentialFiles(cert, key)
	c := &clock{time.Now()}
	watch.credential.now = c.now
	get := func() *Credential {
		t.Helper()
		credential, err := watch.Credential()
		if err != nil {
			t.Fatal(err)
		}
		c.forward(lookEvery)
		return credential
	}
	before := get()
	save(first)
	if get() != before {
		t.Error("the same credential again is another")
	}
	if err := os.WriteFile(cert, encodeCertificate(second.Chain[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	if get() != before || watch.Problem() == nil || !strings.Contains(watch.Problem().Error(), "does not belong") {
		t.Errorf("with half of another credential: %v", watch.Problem())
	}
	save(second)
	if got := get(); got == before || got.Identity() != "/O=Forged/CN=second" || watch.Problem() != nil {
		t.Errorf("after the change it is %v, with %v", got, watch.Problem())
	}
}
