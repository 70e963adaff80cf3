package vault_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/transfer"
)

// rows keeps what is sealed in memory, without a clock.
type rows struct {
	vault.Rows // of the methods that no test calls
	credential map[[2]string]row
	delegation map[[2]string]row
}

type row struct {
	a      transfer.Activation
	domain string
	sealed []byte
	keyID  string
}

func newRows() *rows {
	return &rows{credential: map[[2]string]row{}, delegation: map[[2]string]row{}}
}

func (r *rows) PutCredential(_ context.Context, a transfer.Activation, sealed []byte, keyID string) error {
	r.credential[[2]string{a.Owner, a.Domain}] = row{a: a, sealed: sealed, keyID: keyID}
	return nil
}

func (r *rows) Credential(_ context.Context, owner, domain string) (transfer.Activation, []byte, string, error) {
	got, ok := r.credential[[2]string{owner, domain}]
	if !ok {
		return transfer.Activation{}, nil, "", fault.New(fault.NotFound, "look up", domain, "none")
	}
	return got.a, got.sealed, got.keyID, nil
}

func (r *rows) CredentialsNotOf(_ context.Context, keyID string, limit int) ([]transfer.Activation, error) {
	var found []transfer.Activation
	for _, got := range r.credential {
		if got.keyID != keyID && len(found) < limit {
			found = append(found, got.a)
		}
	}
	return found, nil
}

func (r *rows) ResealCredential(_ context.Context, owner, domain string, was, sealed []byte, keyID string) error {
	at := [2]string{owner, domain}
	if got := r.credential[at]; bytes.Equal(got.sealed, was) {
		got.sealed, got.keyID = sealed, keyID
		r.credential[at] = got
	}
	return nil
}

func (r *rows) PutDelegation(_ context.Context, owner, domain, id string, sealed []byte, keyID string, _ time.Time) error {
	r.delegation[[2]string{owner, id}] = row{domain: domain, sealed: sealed, keyID: keyID}
	return nil
}

func (r *rows) Delegation(_ context.Context, owner, id string) (string, []byte, string, error) {
	got, ok := r.delegation[[2]string{owner, id}]
	if !ok {
		return "", nil, "", fault.New(fault.NotFound, "look up", id, "none")
	}
	return got.domain, got.sealed, got.keyID, nil
}

func (r *rows) DeleteDelegation(_ context.Context, owner, id string) error {
	delete(r.delegation, [2]string{owner, id})
	return nil
}

func newFile(t *testing.T) (*vault.KeyFile, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys", "vault.keyset")
	f := vault.NewKeyFile(path, nil)
	if err := f.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f, path
}

func wantKind(t *testing.T, what string, err error, want fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != want {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

const secret = "-----BEGIN PRIVATE KEY-----\nplanted\n"

func ann(domain string) transfer.Activation {
	return transfer.Activation{Owner: "ann", Domain: domain, Kind: "proxy", Expires: time.Now().Add(time.Hour)}
}

func put(t *testing.T, v *vault.Vault, a transfer.Activation, pem string) {
	t.Helper()
	if err := v.Put(t.Context(), a, []byte(pem)); err != nil {
		t.Fatal(err)
	}
}

func TestSealAndOpen(t *testing.T) {
	r := newRows()
	keys, _ := newFile(t)
	v := vault.New(r, keys)
	put(t, v, ann("d"), secret)
	a, pem, err := v.Open(t.Context(), "ann", "d")
	if err != nil || string(pem) != secret || a.Kind != "proxy" {
		t.Errorf("opened %q, %+v, %v", pem, a, err)
	}
	kept := r.credential[[2]string{"ann", "d"}]
	if bytes.Contains(kept.sealed, []byte("planted")) || kept.keyID == "" {
		t.Errorf("what is kept: %q, key %q", kept.sealed, kept.keyID)
	}
	_, _, err = v.Open(t.Context(), "bob", "d")
	wantKind(t, "another's credential", err, fault.NotFound)
	for what, a := range map[string]transfer.Activation{
		"no owner":  {Domain: "d", Expires: time.Now()},
		"no domain": {Owner: "ann", Expires: time.Now()},
		"no end":    {Owner: "ann", Domain: "d"},
	} {
		wantKind(t, what, v.Put(t.Context(), a, []byte(secret)), fault.Invalid)
	}
	wantKind(t, "nothing", v.Put(t.Context(), ann("d"), nil), fault.Invalid)
	wantKind(t, "too much", v.Put(t.Context(), ann("d"), make([]byte, 2<<20)), fault.Invalid)
}

// Whoever can write the database must not get at a credential by giving it
// another name.
func TestExchangedRowsDoNotOpen(t *testing.T) {
	r := newRows()
	keys, _ := newFile(t)
	v := vault.New(r, keys)
	put(t, v, ann("d"), secret)
	mine := r.credential[[2]string{"ann", "d"}]
	for what, at := range map[string][2]string{
		"of another owner": {"bob", "d"}, "of another domain": {"ann", "e"}, "of a like pair": {"an", "nd"},
	} {
		r.credential[at] = mine
		_, pem, err := v.Open(t.Context(), at[0], at[1])
		wantKind(t, what, err, fault.Credential)
		if pem != nil {
			t.Errorf("%s: it opened", what)
		}
	}
	damaged := mine
	damaged.sealed = append(bytes.Clone(mine.sealed[:len(mine.sealed)-1]), mine.sealed[len(mine.sealed)-1]^1)
	r.credential[[2]string{"ann", "d"}] = damaged
	_, _, err := v.Open(t.Context(), "ann", "d")
	wantKind(t, "a damaged row", err, fault.Credential)

	r.delegation[[2]string{"ann", "x"}] = row{domain: "d", sealed: mine.sealed, keyID: mine.keyID}
	_, _, err = v.TakeDelegation(t.Context(), "ann", "x")
	wantKind(t, "a credential as a delegation", err, fault.Credential)
}

func TestDelegationsAreTakenOnce(t *testing.T) {
	keys, _ := newFile(t)
	v := vault.New(newRows(), keys)
	if err := v.PutDelegation(t.Context(), "ann", "d", "id", []byte(secret), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, _, err := v.TakeDelegation(t.Context(), "bob", "id")
	wantKind(t, "another's", err, fault.NotFound)
	domain, key, err := v.TakeDelegation(t.Context(), "ann", "id")
	if domain != "d" || string(key) != secret || err != nil {
		t.Errorf("took %q of %q, %v", key, domain, err)
	}
	_, _, err = v.TakeDelegation(t.Context(), "ann", "id")
	wantKind(t, "again", err, fault.NotFound)
	wantKind(t, "no id", v.PutDelegation(t.Context(), "ann", "d", "", []byte(secret), time.Now()), fault.Invalid)
}

// A rotation by another process is seen by one that runs, and what the first
// key sealed opens before and after it is sealed again.
func TestRotate(t *testing.T) {
	r := newRows()
	keys, path := newFile(t)
	v := vault.New(r, keys)
	put(t, v, ann("1"), secret)
	put(t, v, ann("2"), secret)
	first := r.credential[[2]string{"ann", "1"}].keyID

	other := vault.NewKeyFile(path, nil)
	second, err := other.AddKey(t.Context())
	if err != nil || second == first {
		t.Fatalf("key %s after %s, %v", second, first, err)
	}
	put(t, v, ann("3"), secret)
	if got := r.credential[[2]string{"ann", "3"}].keyID; got != second {
		t.Errorf("sealed with key %s, want the new %s", got, second)
	}
	lost := r.credential[[2]string{"ann", "2"}]
	lost.sealed = lost.sealed[:len(lost.sealed)-1]
	r.credential[[2]string{"ann", "2"}] = lost
	n, err := v.Rotate(t.Context())
	wantKind(t, "rotate with a damaged row", err, fault.Credential)
	if n != 1 || r.credential[[2]string{"ann", "1"}].keyID != second {
		t.Errorf("%d were sealed again", n)
	}
	for _, domain := range []string{"1", "3"} {
		if _, pem, err := v.Open(t.Context(), "ann", domain); err != nil || string(pem) != secret {
			t.Errorf("%s: %q, %v", domain, pem, err)
		}
	}
	delete(r.credential, [2]string{"ann", "2"})
	if n, err := v.Rotate(t.Context()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// Keys that cannot be had are waited for.
func TestKeysOutOfReach(t *testing.T) {
	r := newRows()
	keys, path := newFile(t)
	v := vault.New(r, keys)
	put(t, v, ann("d"), secret)
	away := path + ".away"
	opens := func(what string, want fault.Kind) {
		t.Helper()
		_, _, err := v.Open(t.Context(), "ann", "d")
		wantKind(t, what, err, want)
	}
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	opens("without the file", fault.Transient)
	wantKind(t, "put without the file", v.Put(t.Context(), ann("d"), []byte(secret)), fault.Transient)
	if err := os.WriteFile(path, []byte(`{"key":[{"keyData":{"value":"cGxhbnRlZA=="}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	opens("with another file", fault.Transient)
	if _, _, err := v.Open(t.Context(), "ann", "d"); err == nil || strings.Contains(err.Error(), "cGxhbn") {
		t.Errorf("the error quotes the file: %v", err)
	}
	if err := vault.NewKeyFile(path+".new", nil).Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	opens("with the keyset of another host", fault.Transient)
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	opens("with the file back", "")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	opens("with a file that others read", fault.Transient)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := vault.New(r, failing{}).Open(ctx, "ann", "d")
	wantKind(t, "canceled", err, fault.Canceled)
}

type failing struct{}

func (failing) Keyset(context.Context) (*keyset.Handle, error) { return nil, errors.New("no") }
