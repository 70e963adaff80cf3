package mover_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/transfer"
)

// pairs remembers one pair.
type pairs struct {
	mu    sync.Mutex
	known []transfer.Known
	keep  time.Duration
}

func (p *pairs) Known(_ context.Context, source, destination string) ([]transfer.Known, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if source != "a#x" || destination != "gsiftp://b:2811" {
		return nil, nil
	}
	return slices.Clone(p.known), nil
}

func (p *pairs) PutKnown(_ context.Context, source, destination string, k transfer.Known, keep time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known, p.keep = append(p.known, k), keep
	return nil
}

func TestPairs(t *testing.T) {
	s := newSite(t, api.Peer{DN: moverDN}, nil)
	c, ctx := s.client(""), t.Context()
	k := transfer.Known{Grain: transfer.GrainTiny, Concurrency: 3, Rate: 2e6, Files: 2000, Measured: time.Now().UTC().Round(0)}
	if err := c.PutKnown(ctx, "a#x", "gsiftp://b:2811", k, 1000*time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Known(ctx, "a#x", "gsiftp://b:2811"); err != nil || !slices.Equal(got, []transfer.Known{k}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Known(ctx, "gsiftp://b:2811", "a#x"); err != nil || len(got) != 0 {
		t.Errorf("the way back: %+v, %v", got, err)
	}
	if s.pairs.keep > 31*24*time.Hour {
		t.Errorf("kept for %v", s.pairs.keep)
	}

	user := newSite(t, api.Peer{User: "ann", Local: true}, nil).client(taskID)
	_, err := user.Known(ctx, "a#x", "gsiftp://b:2811")
	wantKind(t, "a user who asks", err, fault.Permission)
	wantKind(t, "a user who tells", user.PutKnown(ctx, "a#x", "gsiftp://b:2811", k, time.Hour), fault.Permission)
}
