package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// keyring opens storage with credentials: the one of an endpoint that has none
// is missing.
type keyring struct {
	endpoints.Opener
	mu   sync.Mutex
	keys map[string]Login
	open int // storages
}

func (k *keyring) with(endpoint, fingerprint string, left time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[endpoint] = Login{Fingerprint: fingerprint, Expires: time.Now().Add(left)}
}

func (k *keyring) Open(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[rec.Name]
	if !ok {
		return nil, fault.New(fault.Credential, "open", rec.Name, "nothing is activated")
	}
	s, err := k.Opener.Open(ctx, rec, owner, credential)
	if err != nil {
		return nil, err
	}
	k.open++
	return &keyed{s, key, k}, nil
}

type keyed struct {
	endpoints.Storage
	key  Login
	ring *keyring
}

func (s *keyed) Expires() time.Time  { return s.key.Expires }
func (s *keyed) Fingerprint() string { return s.key.Fingerprint }
func (s *keyed) Close() error {
	s.ring.mu.Lock()
	defer s.ring.mu.Unlock()
	s.ring.open--
	return s.Storage.Close()
}

func (w *world) keyring() *keyring {
	return &keyring{Opener: w.opener, keys: map[string]Login{}}
}

func TestProbeTellsLogins(t *testing.T) {
	w := newWorld(t)
	k := w.keyring()
	d := w.worker("x")
	d.Endpoints = k
	k.with("src", "s1", time.Hour)
	_, err := d.Probe(t.Context(), ProbeInput{Ends: w.ends()})
	if f := FaultOf(err); f.Kind != fault.Credential || f.Domain != "dst" || f.Fingerprint != "" {
		t.Errorf("with none: %+v", f)
	}
	k.with("dst", "d1", 29*time.Second)
	_, err = d.Probe(t.Context(), ProbeInput{Ends: w.ends()})
	if f := FaultOf(err); f.Kind != fault.Credential || f.Domain != "dst" || f.Fingerprint != "d1" || !strings.Contains(f.Message, "too soon") {
		t.Errorf("with too little: %+v", f)
	}
	k.with("dst", "d2", time.Hour)
	res, err := d.Probe(t.Context(), ProbeInput{Ends: w.ends()})
	if err != nil {
		t.Fatal(err)
	}
	if s, d := res.Source, res.Destination; s.Domain != "src" || s.Fingerprint != "s1" || d.Fingerprint != "d2" || time.Until(d.Expires) < 50*time.Minute {
		t.Errorf("probe: %+v", res)
	}
	if k.open != 0 {
		t.Errorf("%d storages are open", k.open)
	}
}

// TestCopyEndsBeforeItsCredential: at its ledger, with nothing of it in use
// afterwards; the next copy goes on with the next credential.
func TestCopyEndsBeforeItsCredential(t *testing.T) { synctest.Test(t, testCopyEndsBeforeItsCredential) }

func testCopyEndsBeforeItsCredential(t *testing.T) {
	w := newWorld(t)
	want := map[string]int{}
	for i := range 40 {
		name := fmt.Sprintf("/f%02d", i)
		want[name] = 20 << 10
		put(t, w.src, "/from"+name, content(uint64(i), want[name]))
	}
	req := w.request(func(r *transfer.Request) { r.Tuning.Concurrency = 1; r.Route = transfer.RouteRelay })
	wk := w.walk(req, defaultWalkSizes)
	in := w.copyInput(wk, wk.Chunks[0], req)
	in.Options.Route = transfer.RouteRelay
	k := w.keyring()
	d := w.worker("x")
	d.Endpoints, d.life = k, lifeSpans{least: 300 * time.Millisecond, margin: 200 * time.Millisecond}

	k.with("src", "s1", 200*time.Millisecond)
	k.with("dst", "d1", time.Hour)
	res, err := d.copy(t.Context(), in, nil)
	if err != nil || res.Blocked == nil || res.Blocked.Kind != fault.Credential || res.Blocked.Fingerprint != "s1" || res.Files != 0 {
		t.Fatalf("with too little: %+v, %v", res, err)
	}

	k.with("src", "s2", 700*time.Millisecond)
	end := k.keys["src"].Expires
	late := 0
	w.src.Faults().Hook(func(_ ctxType, op memory.Op, _ string, _ int64) error {
		if op != memory.Read {
			return nil
		}
		if time.Now().After(end) {
			late++
		}
		time.Sleep(40 * time.Millisecond) // a slow server
		return nil
	})
	res, err = d.copy(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b := res.Blocked; b == nil || b.Kind != fault.Credential || b.Domain != "src" || b.Fingerprint != "s2" || !strings.Contains(b.Message, "expired") {
		t.Fatalf("copy: %+v", res)
	}
	if res.Complete || res.Yielded || res.Files == 0 || res.Late || res.SourceCredential == nil || res.SourceCredential.Fingerprint != "s2" {
		t.Errorf("copy: %+v", res)
	}
	if late > 0 || time.Now().After(end) || k.open != 0 {
		t.Errorf("%d reads after the end, over %s before it, %d storages open", late, time.Until(end), k.open)
	}
	w.src.Faults().Clear()
	k.with("src", "s3", time.Hour)
	if again, err := d.copy(t.Context(), in, nil); err != nil || !again.Complete || again.Files != int64(len(want)) {
		t.Errorf("afterwards: %+v, %v", again, err)
	}
	sameTree(t, tree(t, w.dst, "/to"), tree(t, w.src, "/from"))
	w.noStrays()
}

func TestFaultsNameTheirCredential(t *testing.T) {
	inner := fault.New(fault.Credential, "log in to", "a", "no")
	f := toFault(ofDomain(inner, endpoints.CredentialError{Domain: "d", Fingerprint: "f"}), "", time.Time{})
	if f.Domain != "d" || f.Fingerprint != "f" || f.Path != "a" || f.Message != inner.Error() {
		t.Errorf("fault: %+v", f)
	}
	known := ofDomain(inner, endpoints.CredentialError{Domain: "d", Configured: true})
	if again := ofDomain(known, endpoints.CredentialError{Domain: "other"}); !errors.Is(again, inner) || toFault(again, "", time.Time{}).Domain != "d" {
		t.Errorf("again: %v", again)
	}
	if f := toFault(known, "", time.Time{}); f.Reason != transfer.ReasonConfigured {
		t.Errorf("of one that is configured: %+v", f)
	}
	if other := fault.New(fault.Transient, "x", "y", "z"); ofDomain(other, endpoints.CredentialError{}) != other {
		t.Error("it is none of a credential")
	}
}
