package mover_test

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/gateway/mover"
	"github.com/gridferry/gridferry/transfer"
)

// kept is what a store has of servers and rations.
type kept struct {
	down  []endpoints.Down
	drawn []endpoints.Draw
}

func (k *kept) Condition(context.Context) (endpoints.Condition, error) {
	return endpoints.Condition{Drains: []endpoints.Drain{{Name: fullName, Reason: "a new disk"}}, Down: k.down}, nil
}

func (k *kept) PutDown(_ context.Context, d endpoints.Down, _ time.Duration) error {
	k.down = append(k.down, d)
	return nil
}

func (k *kept) Take(_ context.Context, d endpoints.Draw) (time.Duration, error) {
	k.drawn = append(k.drawn, d)
	return time.Second, nil
}

// limited has an endpoint with limits.
type limited struct{}

func (limited) Resolve(context.Context, string) (endpoints.Record, error) {
	return endpoints.Record{Name: fullName, Kind: "gridftp", Limits: endpoints.Limits{Rate: 1e6}}, nil
}

// TestServersAndRations: a worker without a store hears what is drained, and
// keeps to limits; only movers are believed about servers and limits.
func TestServersAndRations(t *testing.T) {
	for _, c := range []struct {
		peer  api.Peer
		task  transfer.TaskID
		mover bool
	}{{api.Peer{DN: moverDN}, "", true}, {api.Peer{User: "ann", Local: true}, taskID, false}} {
		store := &kept{}
		h := mover.NewHandler(mover.Config{
			Blobs: blob.NewMemory(), Endpoints: limited{}, Conditions: store, Rations: store,
			Tasks: &tasks{known: map[transfer.TaskID]mover.Task{taskID: {Key: taskID, Owner: "ann", Endpoints: []string{fullName}}}},
			Mover: func(dn string) bool { return dn == moverDN },
		})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(api.WithPeer(r.Context(), c.peer)))
		}))
		t.Cleanup(server.Close)
		client := mover.NewClient(sender{server}, c.task)

		found, err := client.Condition(t.Context())
		if err != nil || len(found.Drains) != 1 || found.Drains[0].Reason != "a new disk" {
			t.Errorf("%s hears %+v: %v", c.peer.Name(), found, err)
		}
		err = client.PutDown(t.Context(), endpoints.Down{Server: "a.example:2811", Why: "refused"}, time.Minute)
		if err != nil || (len(store.down) == 1) != c.mover {
			t.Errorf("%s says a server is down, and %d are: %v", c.peer.Name(), len(store.down), err)
		}
		draw := endpoints.Draw{Endpoint: fullName, What: endpoints.RateBytes, N: 500, PerSec: 1e12, Patience: time.Minute}
		wait, err := client.Take(t.Context(), draw)
		if err != nil || wait != time.Second || len(store.drawn) != 1 {
			t.Fatalf("%s draws %+v: %s, %v", c.peer.Name(), store.drawn, wait, err)
		}
		if got := store.drawn[0]; got.N != 500 || (got.PerSec == 1e12) != c.mover || got.Patience != time.Minute {
			t.Errorf("%s draws %+v", c.peer.Name(), got)
		}
		if c.mover {
			continue
		}
		for _, n := range []int64{100e6, math.MaxInt64} { // of a rate of 1 MB/s
			draw.N = n
			_, err = client.Take(t.Context(), draw)
			wantKind(t, "a draw of what grows back after minutes", err, fault.Invalid)
		}
		draw.N, draw.Endpoint = 500, "elsewhere"
		_, err = client.Take(t.Context(), draw)
		wantKind(t, "no end of the task", err, fault.Permission)
		draw.Endpoint, draw.What = fullName, endpoints.RateLogins // of which the record knows no limit
		if wait, err := client.Take(t.Context(), draw); err != nil || wait != 0 {
			t.Errorf("an unlimited draw waits %s: %v", wait, err)
		}
	}
}
