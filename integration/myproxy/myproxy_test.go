package myproxy_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	debian "github.com/gridferry/gridferry/integration/myproxy"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
	"github.com/gridferry/gridferry/wire/myproxy"
)

const (
	user   = "ada"
	secret = "correct horse"
)

func refused(t *testing.T, err error, want myproxy.Refusal) {
	t.Helper()
	t.Log(err)
	var e *myproxy.Error
	if !errors.As(err, &e) || e.Refusal != want || strings.Contains(err.Error(), secret) {
		t.Errorf("ended with %v, want %s", err, want)
	}
}

// TestRepository stores a proxy at Debian's server and does with it all that
// there is to do.
func TestRepository(t *testing.T) {
	ca := gsitest.NewCA(t)
	s := debian.NewServer(t, debian.Options{CA: ca})
	ctx := t.Context()
	owner := &myproxy.Client{Server: s.Addr(), Trust: ca.Trust(), Credential: ca.User("Ada")}
	anybody := &myproxy.Client{Server: s.Addr(), Trust: ca.Trust()}
	logon := func(passphrase string) (*gsi.Credential, error) {
		return anybody.Logon(ctx, myproxy.Request{User: user, Passphrase: []byte(passphrase), Lifetime: time.Hour})
	}

	_, err := logon(secret)
	refused(t, err, myproxy.NoCredential)
	_, err = owner.Info(ctx, user)
	refused(t, err, myproxy.NoCredential)
	refused(t, owner.Destroy(ctx, user, ""), myproxy.NoCredential)

	for _, d := range []myproxy.Deposit{
		{User: user, Passphrase: []byte(secret), Lifetime: 48 * time.Hour},
		{User: user, Passphrase: []byte(secret), Name: "night", Description: "for the night"},
	} {
		if err := owner.Store(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := owner.Info(ctx, user)
	if err != nil || len(stored) != 2 {
		t.Fatalf("%+v, %v", stored, err)
	}
	for i, want := range []struct {
		name, description string
		left              time.Duration
	}{{"", "", 48 * time.Hour}, {"night", "for the night", 7 * 24 * time.Hour}} {
		got := stored[i]
		if got.Name != want.name || got.Description != want.description || got.Owner != "/O=Test/CN=Ada" || (time.Until(got.End)-want.left).Abs() > time.Minute {
			t.Errorf("%d: %+v", i, got)
		}
	}

	c, err := logon(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Trust().Verify(c.Chain, time.Now()); err != nil || c.Identity() != "/O=Test/CN=Ada" || (time.Until(c.NotAfter())-time.Hour).Abs() > time.Minute {
		t.Errorf("%s, %v", c, err)
	}
	_, err = logon("wrong horse")
	refused(t, err, myproxy.WrongPassphrase)
	_, err = logon("")
	refused(t, err, myproxy.WrongPassphrase)
	_, err = anybody.Logon(ctx, myproxy.Request{User: user, Passphrase: []byte(secret), Name: "day"})
	refused(t, err, myproxy.NoCredential)

	eve := &myproxy.Client{Server: s.Addr(), Trust: ca.Trust(), Credential: ca.User("Eve")}
	refused(t, eve.Destroy(ctx, user, ""), myproxy.Denied)
	refused(t, eve.Store(ctx, myproxy.Deposit{User: user, Passphrase: []byte(secret)}), myproxy.Denied)
	refused(t, eve.ChangePassphrase(ctx, user, "", []byte(secret), []byte("battery staple")), myproxy.Denied)

	refused(t, owner.ChangePassphrase(ctx, user, "", []byte("wrong horse"), []byte("battery staple")), myproxy.WrongPassphrase)
	if err := owner.ChangePassphrase(ctx, user, "", []byte(secret), []byte("battery staple")); err != nil {
		t.Fatal(err)
	}
	_, err = logon(secret)
	refused(t, err, myproxy.WrongPassphrase)
	if _, err := logon("battery staple"); err != nil {
		t.Error(err)
	}

	if err := owner.Destroy(ctx, user, "night"); err != nil {
		t.Fatal(err)
	}
	if stored, err := owner.Info(ctx, user); err != nil || len(stored) != 1 || stored[0].Name != "" {
		t.Errorf("%+v, %v", stored, err)
	}
	roots, err := anybody.TrustRoots(ctx)
	if err != nil || len(roots) != 4 {
		t.Errorf("%v, %v", roots, err)
	}
	if strings.Contains(s.Log(), secret) {
		t.Error("the server's log has the pass phrase")
	}
}

func TestExpired(t *testing.T) {
	ca := gsitest.NewCA(t)
	s := debian.NewServer(t, debian.Options{CA: ca})
	c := &myproxy.Client{Server: s.Addr(), Trust: ca.Trust(), Credential: ca.User("Ada")}
	if err := c.Store(t.Context(), myproxy.Deposit{User: user, Passphrase: []byte(secret), Lifetime: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	var err error
	harness.Eventually(t, 30*time.Second, func() error {
		stored, infoErr := c.Info(t.Context(), user)
		if infoErr != nil || time.Now().Before(stored[0].End.Add(time.Second)) {
			return fmt.Errorf("not ended yet: %+v, %v", stored, infoErr)
		}
		_, err = c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte(secret)})
		return nil
	})
	refused(t, err, myproxy.Expired)
}

// TestStoreKey stores a long-lived key, which goes over as openssl encrypted it.
func TestStoreKey(t *testing.T) {
	openssl := harness.Need(t, "openssl")
	ca := gsitest.NewCA(t)
	s := debian.NewServer(t, debian.Options{CA: ca})
	ada := ca.User("Ada")
	cert, key := ca.PairFiles(ada)
	credential, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := exec.Command(openssl, "pkcs8", "-topk8", "-in", key, "-passout", "pass:"+secret).Output()
	if err != nil {
		t.Fatal(err)
	}
	c := &myproxy.Client{Server: s.Addr(), Trust: ca.Trust(), Credential: ada}
	if err := c.StoreKey(t.Context(), myproxy.Deposit{User: user, Passphrase: []byte(secret)}, append(credential, encrypted...)); err != nil {
		t.Fatal(err)
	}
	c.Credential = nil
	got, err := c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte(secret)})
	if err != nil || got.Identity() != "/O=Test/CN=Ada" {
		t.Errorf("%v, %v", got, err)
	}
	_, err = c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte("wrong horse")})
	refused(t, err, myproxy.WrongPassphrase)
}

// TestOnlineAuthority logs on at Debian's server as an authority.
func TestOnlineAuthority(t *testing.T) {
	ca, issuer := gsitest.NewCA(t), debian.NewIssuer(t, "Online CA")
	s := debian.NewServer(t, debian.Options{CA: ca, Issuer: issuer, Password: secret})
	c := &myproxy.Client{Server: s.Addr(), Trust: ca.Trust()}
	got, err := c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte(secret), Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.Trust().Verify(got.Chain, time.Now()); err != nil || got.Identity() != "/O=Test/CN=ada" || (time.Until(got.NotAfter())-time.Hour).Abs() > time.Minute {
		t.Errorf("%s, %v", got, err)
	}
	_, err = c.Logon(t.Context(), myproxy.Request{User: user, Passphrase: []byte("wrong horse"), Lifetime: time.Hour})
	refused(t, err, myproxy.WrongPassphrase)
}
