package mover_test

import (
	"bytes"
	"context"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/service/store/storetest"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// listener is the handler behind a real one, and clients of both kinds.
func listener(t testing.TB) (overTLS, overSocket, stranger *mover.Client) {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	ca := gsitest.NewCA(t)
	host, far := ca.Host("localhost"), ca.User("mover.example.org")
	trust := func() (*gsi.Trust, error) { return ca.Trust(), nil }
	shows := func(c *gsi.Credential) func() (*gsi.Credential, error) {
		return func() (*gsi.Credential, error) { return c, nil }
	}
	socket := filepath.Join(t.TempDir(), "s")
	server := api.New(api.Config{Socket: socket, Listen: "127.0.0.1:0", Host: shows(host), Trust: trust})
	server.Handle(mover.Prefix, mover.NewHandler(mover.Config{
		Blobs: blob.NewMemory(), Leases: storetest.NewMemory(nil), Endpoints: records{},
		Tasks: &tasks{known: map[transfer.TaskID]mover.Task{taskID: {Key: taskID, Owner: me.Username}}},
		Mover: func(dn string) bool { return dn == far.Identity() },
	}))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	client := func(service string, c *gsi.Credential, task transfer.TaskID) *mover.Client {
		ac, err := api.NewClient(service, api.ClientConfig{Credential: shows(c), Trust: trust})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ac.Close)
		return mover.NewClient(ac, task)
	}
	address := "https://" + server.Addr().String()
	return client(address, far, ""), client("unix:"+socket, nil, taskID), client(address, ca.User("Eve"), taskID)
}

func TestListener(t *testing.T) {
	far, local, stranger := listener(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // 32 MiB
	for what, c := range map[string]*mover.Client{"mutual TLS": far, "the socket": local} {
		key := activities.TaskPrefix(taskID) + "big"
		if err := c.Put(t.Context(), key, big); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got, err := c.Get(t.Context(), key); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%s: got %d bytes, %v", what, len(got), err)
		}
		l, err := c.Acquire(t.Context(), activities.LeaseRequest{Task: taskID, Chunk: "1", TTL: time.Minute})
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wantKind(t, "renew over "+what, c.Renew(t.Context(), l), "")
	}
	_, err := stranger.ID(t.Context())
	wantKind(t, "a stranger", err, fault.Permission)
}

// A copy renews its lease and stores its ledger every few seconds, and a worker
// has some tens of them.
func BenchmarkRenew(b *testing.B) {
	far, local, _ := listener(b)
	for what, c := range map[string]*mover.Client{"TLS": far, "socket": local} {
		b.Run(what, func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				l, err := c.Acquire(b.Context(), activities.LeaseRequest{Task: taskID, Chunk: "1", TTL: time.Minute})
				for pb.Next() && err == nil {
					if err = c.Renew(b.Context(), l); fault.Is(err, fault.Canceled) {
						err = nil // another goroutine's now
					}
				}
				if err != nil {
					b.Error(err)
				}
			})
		})
	}
}
