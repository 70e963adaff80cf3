package store_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/service/store/storetest"
	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/transfer"
)

var _ vault.Rows = (*store.Store)(nil)

func wantKind(t *testing.T, what string, err error, want fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != want {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func activation(owner, domain string, now time.Time) transfer.Activation {
	return transfer.Activation{
		Owner: owner, Domain: domain, Kind: "myproxy", Subject: "/CN=Ännie", Issuer: "/CN=CA", VOMS: []string{"/vo/Role=x"},
		Fingerprint: "abc", Given: now, Expires: now.Add(time.Hour),
	}
}

func testCredentials(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	ctx := t.Context()
	_, err := s.Activation(ctx, "ann", "d")
	wantKind(t, "none yet", err, fault.NotFound)

	want := activation("ann", "d", clock.Now())
	wantKind(t, "put", s.PutCredential(ctx, want, []byte{0, 1, 255}, "7"), "")
	wantKind(t, "put another's", s.PutCredential(ctx, activation("bob", "d", clock.Now()), []byte("b"), "7"), "")
	got, sealed, keyID, err := s.Credential(ctx, "ann", "d")
	if err != nil || string(sealed) != "\x00\x01\xff" || keyID != "7" || !slices.Equal(got.VOMS, want.VOMS) {
		t.Errorf("got %+v, %q, %q, %v", got, sealed, keyID, err)
	}
	if got.VOMS, want.VOMS = nil, nil; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// What is given again replaces the former.
	again := activation("ann", "d", clock.Now())
	again.Fingerprint, again.Expires = "def", clock.Now().Add(2*time.Hour)
	wantKind(t, "put again", s.PutCredential(ctx, again, []byte("again"), "8"), "")
	wantKind(t, "put elsewhere", s.PutCredential(ctx, activation("ann", "c", clock.Now()), []byte("c"), "7"), "")
	list, err := s.Credentials(ctx, "ann")
	if err != nil || len(list) != 2 || list[0].Domain != "c" || list[1].Fingerprint != "def" {
		t.Errorf("listed %+v, %v", list, err)
	}

	stale, err := s.CredentialsNotOf(ctx, "8", 10)
	if err != nil || len(stale) != 2 {
		t.Errorf("sealed by other keys: %+v, %v", stale, err)
	}
	wantKind(t, "reseal what has changed", s.ResealCredential(ctx, "ann", "d", []byte("before"), []byte("new"), "9"), "")
	if _, sealed, keyID, err := s.Credential(ctx, "ann", "d"); err != nil || string(sealed) != "again" || keyID != "8" {
		t.Errorf("it was exchanged all the same: %q, %q, %v", sealed, keyID, err)
	}
	wantKind(t, "reseal", s.ResealCredential(ctx, "ann", "d", []byte("again"), []byte("new"), "9"), "")
	if a, sealed, keyID, err := s.Credential(ctx, "ann", "d"); err != nil || string(sealed) != "new" || keyID != "9" || a.Fingerprint != "def" {
		t.Errorf("sealed again: %q, %q, %v", sealed, keyID, err)
	}

	clock.Add(time.Hour)
	_, err = s.Activation(ctx, "ann", "c")
	wantKind(t, "at the moment of its end", err, fault.NotFound)
	if list, err := s.Credentials(ctx, "ann"); err != nil || len(list) != 1 {
		t.Errorf("listed %+v, %v", list, err)
	}
	if gone, err := s.DeleteCredential(ctx, "ann", "d"); err != nil || gone.Fingerprint != "def" {
		t.Errorf("deleted %+v, %v", gone, err)
	}
	_, err = s.DeleteCredential(ctx, "ann", "d")
	wantKind(t, "delete again", err, fault.NotFound)
}

func testDelegations(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	ctx := t.Context()
	wantKind(t, "put", s.PutDelegation(ctx, "ann", "d", "id", []byte("key"), "7", clock.Now().Add(time.Minute)), "")
	_, _, _, err := s.Delegation(ctx, "bob", "id")
	wantKind(t, "another's", err, fault.NotFound)
	if domain, sealed, keyID, err := s.Delegation(ctx, "ann", "id"); err != nil || domain != "d" || string(sealed) != "key" || keyID != "7" {
		t.Errorf("got %q, %q, %q, %v", domain, sealed, keyID, err)
	}
	wantKind(t, "delete another's", s.DeleteDelegation(ctx, "bob", "id"), fault.NotFound)
	wantKind(t, "delete", s.DeleteDelegation(ctx, "ann", "id"), "")
	wantKind(t, "delete again", s.DeleteDelegation(ctx, "ann", "id"), fault.NotFound)
	wantKind(t, "put", s.PutDelegation(ctx, "ann", "d", "id", []byte("key"), "7", clock.Now().Add(time.Minute)), "")
	clock.Add(time.Minute)
	_, _, _, err = s.Delegation(ctx, "ann", "id")
	wantKind(t, "late", err, fault.NotFound)
}

// testVault seals more rows again than Rotate lists at a time.
func testVault(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	if sealed, err := s.Sealed(t.Context()); sealed || err != nil {
		t.Errorf("an empty store needs a key: %v", err)
	}
	keys := vault.NewKeyFile(filepath.Join(t.TempDir(), "keyset"), nil)
	wantKind(t, "make keyset", keys.Create(t.Context()), "")
	v := vault.New(s, keys)
	const n = 120
	for i := range n {
		wantKind(t, "put", v.Put(t.Context(), activation("ann", fmt.Sprint(i), time.Now()), fmt.Append(nil, "secret ", i)), "")
	}
	if sealed, err := s.Sealed(t.Context()); !sealed || err != nil {
		t.Errorf("a store with credentials needs no key: %v", err)
	}
	if _, err := keys.AddKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Rotate(t.Context()); got != n || err != nil {
		t.Errorf("%d were sealed again, %v", got, err)
	}
	for _, i := range []int{0, n - 1} {
		if _, pem, err := v.Open(t.Context(), "ann", fmt.Sprint(i)); err != nil || string(pem) != fmt.Sprint("secret ", i) {
			t.Errorf("%d: %q, %v", i, pem, err)
		}
	}
}

func testWaiters(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	ctx := t.Context()
	for _, w := range []struct {
		owner, domain string
		task          transfer.TaskID
	}{{"ann", "d", "2"}, {"ann", "d", "1"}, {"ann", "e", "1"}, {"ann", "d", "2"}, {"bob", "d", "3"}} {
		clock.Add(time.Second)
		wantKind(t, "await", s.Await(ctx, w.owner, w.domain, w.task), "")
	}
	waiting := func(owner, domain string, want ...transfer.TaskID) {
		t.Helper()
		if got, err := s.WaitersOf(ctx, owner, domain); err != nil || !slices.Equal(got, want) {
			t.Errorf("%v wait for %s of %s, want %v (%v)", got, domain, owner, want, err)
		}
	}
	waiting("ann", "d", "2", "1")
	waiting("ann", "e", "1")
	waiting("bob", "d", "3")
	waiting("bob", "e")
	wantKind(t, "forget", s.Forget(ctx, "1"), "")
	wantKind(t, "forget again", s.Forget(ctx, "1"), "")
	waiting("ann", "d", "2")
	waiting("ann", "e")
}

// testNoLostWakeUp has tasks suspend themselves while a credential is given:
// each either sees it, or is seen.
func testNoLostWakeUp(t *testing.T, p place) {
	s, other := open(t, p, store.Options{}), open(t, p, store.Options{})
	ctx := t.Context()
	for i := range 100 {
		domain, task := fmt.Sprint("d", i), transfer.TaskID(fmt.Sprint(i))
		var sees, seen bool
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() {
			if errs[0] = s.Await(ctx, "ann", domain, task); errs[0] != nil {
				return
			}
			_, err := s.Activation(ctx, "ann", domain)
			sees = err == nil
			if !fault.Is(err, fault.NotFound) {
				errs[0] = err
			}
		})
		wg.Go(func() {
			if errs[1] = other.PutCredential(ctx, activation("ann", domain, time.Now()), []byte("x"), "7"); errs[1] != nil {
				return
			}
			var found []transfer.TaskID
			found, errs[1] = other.WaitersOf(ctx, "ann", domain)
			seen = slices.Contains(found, task)
		})
		wg.Wait()
		if errs[0] != nil || errs[1] != nil || !sees && !seen {
			t.Fatalf("round %d: the task sees the credential: %v; it is seen: %v (%v)", i, sees, seen, errs)
		}
	}
}

func testIdentities(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	ctx := t.Context()
	account := transfer.Identity{ID: "mine", Owner: "ann", Kind: transfer.IdentityMyProxy, Name: "annie", Server: "myproxy.example.org:7512"}
	first, err := s.AddIdentity(ctx, account)
	if err != nil || first.ID == "" || first.ID == "mine" || !first.Created.Equal(clock.Now()) || first.Name != "annie" {
		t.Errorf("added %+v, %v", first, err)
	}
	clock.Add(time.Second)
	if again, err := s.AddIdentity(ctx, account); err != nil || again != first {
		t.Errorf("added again %+v, %v, want %+v", again, err, first)
	}
	key := transfer.Identity{Owner: "ann", Kind: transfer.IdentitySSH, Name: "SHA256:x"}
	if _, err := s.AddIdentity(ctx, key); err != nil {
		t.Error(err)
	}
	account.Owner = "bob"
	bobs, err := s.AddIdentity(ctx, account)
	if err != nil || bobs.ID == first.ID {
		t.Errorf("another's: %+v, %v", bobs, err)
	}
	list, err := s.Identities(ctx, "ann")
	if err != nil || len(list) != 2 || list[0] != first || list[1].Kind != transfer.IdentitySSH {
		t.Errorf("listed %+v, %v", list, err)
	}
	wantKind(t, "remove another's", s.RemoveIdentity(ctx, "ann", bobs.ID), fault.NotFound)
	wantKind(t, "remove", s.RemoveIdentity(ctx, "ann", first.ID), "")
	wantKind(t, "remove again", s.RemoveIdentity(ctx, "ann", first.ID), fault.NotFound)
	if list, err := s.Identities(ctx, "bob"); err != nil || len(list) != 1 {
		t.Errorf("listed %+v, %v", list, err)
	}
}

func testNotices(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	ctx := t.Context()
	begin := func(what, id string, want bool) {
		t.Helper()
		if sent, err := s.BeginNotice(ctx, id); sent != want || err != nil {
			t.Errorf("%s: sent %v, %v", what, sent, err)
		}
	}
	begin("the first time", "a", false)
	begin("after a crash in between", "a", false)
	wantKind(t, "end", s.EndNotice(ctx, "a"), "")
	wantKind(t, "end again", s.EndNotice(ctx, "a"), "")
	begin("when it was sent", "a", true)
	begin("another", "b", false)
}

func testSweep(t *testing.T, p place) {
	clock := storetest.NewClock()
	s := open(t, p, store.Options{Now: clock.Now})
	ctx := t.Context()
	fill := func(domain string) {
		t.Helper()
		wantKind(t, "put", s.PutCredential(ctx, activation("ann", domain, clock.Now()), []byte("x"), "7"), "")
		wantKind(t, "delegate", s.PutDelegation(ctx, "ann", domain, domain, []byte("x"), "7", clock.Now().Add(time.Minute)), "")
		wantKind(t, "await", s.Await(ctx, "ann", domain, transfer.TaskID(domain)), "")
		if _, err := s.BeginNotice(ctx, domain); err != nil {
			t.Error(err)
		}
	}
	sweep := func(what string, want int64) {
		t.Helper()
		if n, err := s.Sweep(ctx); n != want || err != nil {
			t.Errorf("%s: swept %d, want %d (%v)", what, n, want, err)
		}
	}
	fill("d")
	sweep("at once", 0)
	clock.Add(time.Minute)
	sweep("delegations", 1)
	clock.Add(time.Hour)
	fill("e")
	sweep("credentials", 1)
	clock.Add(90 * 24 * time.Hour)
	sweep("all but what was forgotten not long enough ago", 2+2)
	clock.Add(2 * time.Hour)
	sweep("the rest", 2)
	if sealed, err := s.Sealed(ctx); sealed || err != nil {
		t.Errorf("sealed bytes stayed: %v", err)
	}
}

// testClock has no clock given: the store has one that goes with ours, and in
// microseconds.
func testClock(t *testing.T, p place) {
	s := open(t, p, store.Options{})
	id, err := s.AddIdentity(t.Context(), transfer.Identity{Owner: "ann", Name: "a"})
	if off := time.Since(id.Created); err != nil || off < -time.Minute || off > time.Minute {
		t.Errorf("created %v from now, %v", off, err)
	}
}
