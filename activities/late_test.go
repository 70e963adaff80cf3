package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// ownDisk has a directory of this host in place of the destination, where some
// calls fail once.
type ownDisk struct {
	*memory.Opener
	dir         string
	write, drop error // of the first call
}

func (o *ownDisk) Open(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	if rec.Name != "dst" {
		return o.Opener.Open(ctx, rec, owner, credential)
	}
	s, err := posix.Open(posix.Options{Mounts: map[string]string{"/": o.dir}, NoSync: true})
	return &frailDisk{s, o}, err
}

type frailDisk struct {
	*posix.Storage
	o *ownDisk
}

func (d *frailDisk) Create(ctx context.Context, path string, opts endpoints.CreateOptions) (endpoints.Writer, error) {
	w, err := d.Storage.Create(ctx, path, opts)
	return &frailWriter{w, d.o}, err
}

type frailWriter struct {
	endpoints.Writer
	o *ownDisk
}

func (w *frailWriter) Write(b []byte) (n int, err error) {
	if err, w.o.write = w.o.write, nil; err != nil {
		return 0, err
	}
	return w.Writer.Write(b)
}

func (w *frailWriter) Abort() (err error) {
	err, w.o.drop = w.o.drop, nil
	return errors.Join(w.Writer.Abort(), err)
}

// After a fault of the source's nothing is under way on the worker's own disk,
// and the end of the task waits for nobody; after any other fault something may
// be, and elsewhere after this one, too.
func TestLateOnOwnDisk(t *testing.T) {
	gone := fault.New(fault.Transient, "move", "/", "gone")
	for name, c := range map[string]struct {
		op          memory.Op // of the source
		write, drop error
		elsewhere   bool
		late        bool
	}{
		"opened":              {op: memory.Open},
		"read":                {op: memory.Read},
		"read, and not ended": {op: memory.Read, drop: gone, late: true},
		"written":             {write: gone, late: true},
		"opened, elsewhere":   {op: memory.Open, elsewhere: true, late: true},
		"read, elsewhere":     {op: memory.Read, elsewhere: true, late: true},
	} {
		for _, parts := range []bool{false, true} {
			for _, verify := range []transfer.Verify{transfer.VerifyChecksum, transfer.VerifyNone} {
				t.Run(fmt.Sprintf("%s, in parts %v, verify %s", name, parts, verify), bubble(func(t *testing.T) {
					w := newWorld(t)
					size := 1000
					if parts {
						size, w.parts = 8*partBytes, partSizes{from: 64 << 10, share: 64, min: partBytes, max: partBytes}
					}
					in := w.chunkOf("0001-0001", 1, size, transfer.Tuning{Concurrency: 1})
					in.Options.Verify = verify
					if c.op != "" {
						w.src.Faults().Fail(c.op, "/data/0001-0001-0000", 1, gone)
					}
					d, dir := w.worker("copier"), t.TempDir()
					if !c.elsewhere {
						d.Endpoints = &ownDisk{Opener: w.opener, dir: dir, write: c.write, drop: c.drop}
					}
					res, err := d.copy(t.Context(), in, nil)
					if err != nil || !res.Complete || res.Files != 1 || res.NFaults == 0 {
						t.Fatalf("%+v, %v", res, err)
					}
					if res.Late != c.late {
						t.Errorf("late is %v", res.Late)
					}
					got, _ := get(t, w.dst, "/0001-0001-0000")
					if !c.elsewhere {
						if got, err = os.ReadFile(filepath.Join(dir, "0001-0001-0000")); err != nil {
							t.Fatal(err)
						}
					}
					if !equal(got, content(0, size)) {
						t.Error("other bytes arrived")
					}
				}))
			}
		}
	}
}
