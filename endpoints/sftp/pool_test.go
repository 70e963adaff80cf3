package sftp

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Owners come and go, and their keys are renewed: what is kept of them goes when
// the last storage is closed and the last connection has ended, whichever is later.
func TestPoolsAreForgotten(t *testing.T) {
	d := New(Config{})
	known := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.pools)
	}
	stays := d.pool(&Storage{}, Identity{Owner: "ada"})
	for i := range 100 {
		id := Identity{Owner: "bob", Fingerprint: fmt.Sprint(i)}
		p := d.pool(&Storage{}, id)
		if d.pool(&Storage{}, id) != p {
			t.Fatal("one owner with one identity has two pools at one place")
		}
		d.leave(p)
		p.mu.Lock()
		p.conns = append(p.conns, newConn(p))
		p.mu.Unlock()
		d.leave(p)
	}
	if n := known(); n != 101 {
		t.Errorf("%d pools are known while their connections are open, not 101", n)
	}
	d.mu.Lock()
	pools := make([]*pool, 0, len(d.pools))
	for _, p := range d.pools {
		pools = append(pools, p)
	}
	d.mu.Unlock()
	for _, p := range pools {
		p.reap()
	}
	if n := known(); n != 1 {
		t.Errorf("%d pools are known, not the one that is in use", n)
	}
	d.leave(stays)
	// One that cannot be opened leaves, too.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Open(ctx, endpoints.Record{Name: "lab#ssh", Servers: []string{"h"}, User: "eve"}, Identity{Owner: "eve", KnownHosts: []string{"/dev/null"}}); !fault.Is(err, fault.Canceled) {
		t.Errorf("opened in no time: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); known() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d pools are known after all", known())
		}
	}
}
