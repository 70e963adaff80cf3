package memory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
)

func TestSuite(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		s := memory.NewDisk(memory.Options{}).Open()
		if err := s.Mkdir(t.Context(), "/here"); err != nil {
			t.Fatal(err)
		}
		return s, "/here"
	})
}

func TestStreamOnlySuite(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return memory.NewDisk(memory.Options{StreamOnly: true, NoThirdParty: true}).Open(), ""
	})
}

func TestNoEmptyDirsSuite(t *testing.T) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		return memory.NewDisk(memory.Options{NoEmptyDirs: true}).Open(), "/here"
	})
}

func write(ctx context.Context, s endpoints.Storage, path string, n int) error {
	w, err := s.Create(ctx, path, endpoints.CreateOptions{Size: int64(n)})
	if err != nil {
		return err
	}
	if _, err := w.Write(make([]byte, n)); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func TestCapacity(t *testing.T) {
	s := memory.NewDisk(memory.Options{Capacity: 100}).Open()
	if err := write(t.Context(), s, "/a", 60); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), s, "/b", 60); !fault.Is(err, fault.NoSpace) {
		t.Errorf("writing more than fits: %v", err)
	}
	if err := s.Remove(t.Context(), "/a"); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), s, "/b", 60); err != nil {
		t.Errorf("after making room: %v", err)
	}
	if n, err := s.Free(t.Context(), "/"); n != 40 || err != nil {
		t.Errorf("free: %d, %v", n, err)
	}
}

func TestFaults(t *testing.T) {
	disk := memory.NewDisk(memory.Options{})
	s := disk.Open()
	busy := fault.New(fault.Busy, "store", "/a", "come back")
	disk.Faults().Fail(memory.Create, "/a", 2, busy)
	for range 2 {
		if err := write(t.Context(), s, "/a", 1); !fault.Is(err, fault.Busy) {
			t.Errorf("got %v, want the injected fault", err)
		}
	}
	if err := write(t.Context(), s, "/a", 1); err != nil {
		t.Errorf("the third time: %v", err)
	}
	var offsets []int64
	disk.Faults().Hook(func(_ context.Context, op memory.Op, path string, offset int64) error {
		if op == memory.Write && path == "/b" {
			offsets = append(offsets, offset)
		}
		return nil
	})
	if err := write(t.Context(), s, "/b", 1); err != nil || len(offsets) != 1 {
		t.Errorf("the hook saw %v: %v", offsets, err)
	}
}

func TestOpener(t *testing.T) {
	o := memory.NewOpener(map[string]*memory.Disk{"lab#dtn": memory.NewDisk(memory.Options{})}).
		WithRecord(endpoints.Record{Name: "lab#dtn", Kind: "memory", Limits: endpoints.Limits{Sessions: 3}})
	rec, err := o.Resolve(t.Context(), "lab#dtn")
	if err != nil || rec.Limits.Sessions != 3 {
		t.Fatalf("resolve: %+v, %v", rec, err)
	}
	s, err := o.Open(t.Context(), rec, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), s, "/a", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Resolve(t.Context(), "nowhere"); !fault.Is(err, fault.NotFound) {
		t.Errorf("resolve of an unknown name: %v", err)
	}
}
