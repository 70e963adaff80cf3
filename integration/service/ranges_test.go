package service_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// TestInRanges copies one file in ranges. Where its history is recorded, what
// they make is found wrong once, and all of it is copied again: then a minute
// passes before the task may end, which is too long for every day.
func TestInRanges(t *testing.T) {
	s := newSite(t)
	s.put("/data/small")
	data := make([]byte, 5<<20+99)
	rand.NewChaCha8([32]byte{1}).Read(data)
	write(t, s.src, "/data/large", data)
	var once sync.Once
	s.dst.Faults().Hook(func(_ context.Context, op memory.Op, path string, _ int64) (err error) {
		if *update && op == memory.Checksum && transfer.IsTempName(path[len("/data/"):]) {
			once.Do(func() { err = fault.New(fault.Integrity, "verify", path, "a bit has flipped") })
		}
		return err
	})
	id := s.submit(transfer.Request{
		Source: "src:/data", Destination: "dst:/data", Recursive: true, Tuning: transfer.Policy{RangeSize: 1 << 20},
	})
	task := s.wait(id, transfer.Succeeded)
	if p := task.Progress; p.FilesDone != 2 || p.BytesDone != p.Bytes || p.Files != 2 {
		t.Errorf("progress = %+v", p)
	}
	s.same("/data")
	h := s.history(id, "")
	// The small file; six ranges, and what joins them.
	copies := 1 + 7
	if *update {
		copies += 7
	}
	if n := scheduled(h, "Copy"); n != copies {
		t.Errorf("%d copies, want %d", n, copies)
	}
	s.keep("ranges", h)
}
