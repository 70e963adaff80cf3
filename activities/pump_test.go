package activities

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// However many senders there are, what they hold between reading and writing
// is bounded for all of them together; and every byte arrives.
func TestRelaysShareBoundedMemory(t *testing.T) {
	w := newWorld(t)
	w.parts = defaultParts
	in := w.chunkOf("0001-0001", 24, 5<<20+77, transfer.Tuning{Concurrency: 12, Parallelism: 1, Pipelining: 1})
	in.Options.Verify = transfer.VerifyChecksum
	d := w.worker("copier")
	d.blocks.limit = 8
	res, err := d.copy(t.Context(), in, nil)
	if err != nil || !res.Complete || res.Files != 24 || res.Unverified != 0 {
		t.Fatalf("copy: %+v, %v", res, err)
	}
	if d.blocks.peak > 8 || d.blocks.peak < leastBlocks || d.blocks.lent != 0 {
		t.Errorf("%d blocks were lent at once, %d still are", d.blocks.peak, d.blocks.lent)
	}
	for name, want := range tree(t, w.src, "/data") {
		if got, ok := get(t, w.dst, name); !ok || string(got) != want {
			t.Errorf("%s has %d bytes that are not those of its source", name, len(got))
		}
	}
}

func TestBlocksAreWaitedFor(t *testing.T) {
	b := &blocks{limit: 4}
	one, err := b.take(t.Context(), relayAhead)
	if err != nil || len(one) != leastBlocks {
		t.Fatalf("%d blocks, %v", len(one), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.take(ctx, 2); err == nil {
		t.Error("more were lent than there are")
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			got, err := b.take(t.Context(), 2)
			if err != nil || len(got) != 2 {
				t.Errorf("%d blocks, %v", len(got), err)
			}
			b.give(got)
		})
	}
	b.give(one)
	wg.Wait()
	if b.lent != 0 || b.peak > 4 {
		t.Errorf("%d lent, %d at most", b.lent, b.peak)
	}
	// Who needs more than there may ever be gets it alone.
	b.limit = 1
	if got, err := b.take(t.Context(), 5); err != nil || len(got) != leastBlocks {
		t.Errorf("%d blocks, %v", len(got), err)
	}
}

// What a source says only after the last byte counts.
func TestRelayHearsTheLastWord(t *testing.T) {
	for name, size := range map[string]int{"small": 1000, "large": 3<<20 + 5} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			in := w.chunkOf("0001-0001", 1, size, transfer.Tuning{Concurrency: 1})
			var mu sync.Mutex
			failed := 0
			w.src.Faults().Hook(func(_ ctxType, op memory.Op, _ string, off int64) error {
				mu.Lock()
				defer mu.Unlock()
				if op == memory.Read && off == int64(size) && failed == 0 {
					failed++
					return fault.New(fault.Transient, "read", "/data", "426 the disk was torn out")
				}
				return nil
			})
			res, err := w.worker("copier").copy(t.Context(), in, nil)
			if err != nil || !res.Complete || res.Files != 1 || res.NFaults == 0 || !strings.Contains(res.Faults[0].Message, "torn out") {
				t.Errorf("copy: %+v, %v", res, err)
			}
		})
	}
}

// Between two directories holes stay holes, and every way of moving bytes moves
// the same.
func TestCopyPosixWithHoles(t *testing.T) {
	for _, verify := range []transfer.Verify{transfer.VerifyChecksum, transfer.VerifySize, transfer.VerifyNone} {
		t.Run("verify "+string(verify), func(t *testing.T) {
			f := folders{t.TempDir(), t.TempDir()}
			sizes := map[string]int64{"small": 1000, "edge": relaySmall, "over": relaySmall + 1, "parts": 70<<20 + 3, "holes": 90 << 20, "hole": 65 << 20}
			if err := os.Mkdir(filepath.Join(f.src, "from"), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, size := range sizes {
				file, err := os.Create(filepath.Join(f.src, "from", name))
				if err != nil {
					t.Fatal(err)
				}
				switch name {
				case "holes":
					_, err = file.WriteAt(content(1, 100_001), 40<<20+5)
				case "hole":
				default:
					_, err = file.Write(content(uint64(size), int(size)))
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := file.Truncate(size); err != nil {
					t.Fatal(err)
				}
				if err := file.Close(); err != nil {
					t.Fatal(err)
				}
			}
			w := newWorld(t)
			d := w.worker("posix")
			d.Endpoints, d.parts = f, partSizes{}
			req := w.request(func(r *transfer.Request) { r.Verify = verify })
			probe := w.probe(d, req)
			walk, err := d.walkStep(t.Context(), WalkInput{Task: testTask, Ends: w.ends(), Request: req, Probe: probe}, defaultWalkSizes)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range walk.Chunks {
				res, err := d.Copy(t.Context(), CopyInput{Task: testTask, Ends: w.ends(), Probe: probe, Chunk: c, Options: NewCopyOptions(req, probe.Route.Path)})
				if err != nil || !res.Complete || res.NFailed != 0 || verify == transfer.VerifyChecksum && res.Unverified != 0 {
					t.Fatalf("copy: %+v, %v", res, err)
				}
			}
			for name := range sizes {
				a, err := os.ReadFile(filepath.Join(f.src, "from", name))
				if err != nil {
					t.Fatal(err)
				}
				if b, err := os.ReadFile(filepath.Join(f.dst, "to", name)); err != nil || !bytes.Equal(a, b) {
					t.Errorf("%s: %d bytes that are not the %d of the source, %v", name, len(b), len(a), err)
				}
				if strings.HasPrefix(name, "hole") {
					if taken := allocated(t, filepath.Join(f.dst, "to", name)); taken > 1<<20 {
						t.Errorf("%s takes %d bytes", name, taken)
					}
				}
			}
		})
	}
}

// A destination that hangs does not keep a relay that was told to stop, nor the
// memory it holds.
func TestRelayIsStopped(t *testing.T) { synctest.Test(t, testRelayIsStopped) }

func testRelayIsStopped(t *testing.T) {
	w := newWorld(t)
	w.parts = defaultParts
	in := w.chunkOf("0001-0001", 1, 6<<20, transfer.Tuning{Concurrency: 1})
	ctx, cancel := context.WithCancel(t.Context())
	w.dst.Faults().Hook(func(ctx ctxType, op memory.Op, _ string, off int64) error {
		if op != memory.Write || off < 2<<20 {
			return nil
		}
		cancel()
		<-ctx.Done()
		return fault.Wrap(fault.Canceled, "write", "/", ctx.Err())
	})
	d := w.worker("copier")
	begun := time.Now()
	if res, err := d.copy(ctx, in, nil); err != nil || !res.Yielded || res.Files != 0 {
		t.Errorf("copy: %+v, %v", res, err)
	}
	if took := time.Since(begun); took > drainGrace+20*time.Second {
		t.Errorf("it took %v", took)
	}
	if d.blocks.lent != 0 {
		t.Errorf("%d blocks are still lent", d.blocks.lent)
	}
}

// allocated is how many bytes a file takes on its disk.
func allocated(t *testing.T, name string) int64 {
	t.Helper()
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Blocks * 512
}

// What is read back beside the writing is all of the file, or nothing.
func TestReadBack(t *testing.T) {
	f := folders{t.TempDir(), t.TempDir()}
	data := content(3, 3<<20+7)
	if err := os.WriteFile(filepath.Join(f.dst, "file"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	dst, err := f.Open(t.Context(), endpoints.Record{Root: f.dst}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	size := int64(len(data))
	want := fmt.Sprintf("%x", sha256.Sum256(data))
	for name, test := range map[string]struct {
		parts []endpoints.Range
		want  string
	}{
		"all":            {[]endpoints.Range{{End: 1 << 20}, {Off: 1 << 20, End: 3 << 20}, {Off: 3 << 20, End: size}}, want},
		"without an end": {[]endpoints.Range{{End: 1 << 20}}, ""},
		"with a gap":     {[]endpoints.Range{{End: 1 << 20}, {Off: 2 << 20, End: size}}, ""},
		"out of order":   {[]endpoints.Range{{Off: 1 << 20, End: size}, {End: 1 << 20}}, ""},
		"beyond the end": {[]endpoints.Range{{End: size + 1}}, ""},
	} {
		r := &relay{c: &copier{d: &Data{}, ends: &pair{dst: &place{Storage: dst}}}, f: transfer.File{Size: size}, path: "/file", alg: "sha256"}
		b := r.readBack(t.Context())
		for _, part := range test.parts {
			b.add(part)
		}
		if got := b.sum(); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		b.stop()
	}
	r := &relay{c: &copier{d: &Data{}, ends: &pair{dst: &place{Storage: dst}}}, f: transfer.File{Size: size}, path: "/file", alg: "sha256"}
	b := r.readBack(t.Context())
	b.stop()
	for range 2 * unread {
		b.add(endpoints.Range{End: 1})
	}
}
