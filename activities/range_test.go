package activities

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// rangedSize is a file of five ranges, the last of them a short one.
const rangedSize = 4<<20 + 12345

// ranged is a world with one file that is copied in ranges.
type ranged struct {
	*world
	req  transfer.Request
	wk   walked
	file transfer.Chunk

	copied int // ranges, each of them to its end
}

func newRanged(t *testing.T, route transfer.RouteRule, opts ...func(src, dst *memory.Options)) *ranged {
	t.Helper()
	r := &ranged{world: newWorld(t, opts...)}
	r.parts = partSizes{from: 64 << 10, share: 64, min: 64 << 10, max: 64 << 10}
	put(t, r.src, "/from/big", content(7, rangedSize))
	r.req = r.request(func(q *transfer.Request) { q.Route = route; q.Tuning.RangeSize = 1 << 20 })
	r.wk = r.walk(r.req, defaultWalkSizes)
	if len(r.wk.Chunks) != 1 || r.wk.Chunks[0].Ranged == nil || r.wk.Chunks[0].Ranged.Count != 5 {
		t.Fatalf("chunks: %+v", r.wk.Chunks)
	}
	r.file = r.wk.Chunks[0]
	return r
}

func (r *ranged) input(c transfer.Chunk) CopyInput { return r.copyInput(r.wk, c, r.req) }

// run copies the file as a workflow does: its ranges at once, and then the
// file itself; all of it again as often as that is the answer.
func (r *ranged) run() CopyResult {
	r.t.Helper()
	for range 10 {
		in := r.input(r.file)
		in.Upset = r.ranges(rand.Perm(r.file.Ranged.Count)...)
		res := r.attempt(in)
		if res.Again == nil {
			return res
		}
		r.file.Ranged, r.file.Bytes = res.Again, res.Again.Size
	}
	r.t.Fatal("the file is copied for ever")
	return CopyResult{}
}

// ranges copies those with these numbers from 0, and returns what one of them
// met that is the whole file's.
func (r *ranged) ranges(numbers ...int) (upset *FailedFile) {
	r.t.Helper()
	var mu sync.Mutex
	parallel(len(numbers), 3, func(n int) {
		res := r.attempt(r.input(r.file.InRange(numbers[n] + 1)))
		mu.Lock()
		defer mu.Unlock()
		switch {
		case res.Upset != nil:
			upset = res.Upset
		case res.Complete && res.Files == 0 && res.Bytes == r.file.InRange(numbers[n]+1).Bytes:
			r.copied++
		default:
			r.t.Errorf("range %d: %+v", numbers[n]+1, res)
		}
	})
	return upset
}

// attempt copies a chunk, a few times when it is told to go on.
func (r *ranged) attempt(in CopyInput) CopyResult {
	r.t.Helper()
	for n := 1; ; n++ {
		in.Schedule = n
		res, err := r.worker("copier").copy(r.ctx(), in, nil)
		if err != nil {
			r.t.Error(err)
			return res
		}
		if res.Complete || res.Blocked != nil || res.Upset != nil || res.Again != nil || n == 5 {
			return res
		}
	}
}

// arrived fails unless the file is at the destination, counted once, and
// nothing else.
func (r *ranged) arrived(res CopyResult) {
	r.t.Helper()
	if !res.Complete || res.Files != 1 || res.Bytes != 0 || res.NFailed != 0 || res.Checksummed != r.file.Ranged.Size {
		r.t.Errorf("the join: %+v", res)
	}
	r.finish(r.wk, r.req, false)
	sameTree(r.t, tree(r.t, r.dst, "/to"), tree(r.t, r.src, "/from"))
	r.noStrays()
	results := r.results()
	if got := results["/to/big"]; len(results) != 1 || got.Status != statusCopied || got.Size != r.file.Ranged.Size || got.Checksum == "" {
		r.t.Errorf("results: %+v", results)
	}
}

func TestRangesInAnyOrder(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		r := newRanged(t, route)
		res := r.run()
		r.arrived(res)
		if r.copied != 5 || res.Late {
			t.Errorf("%d ranges were copied, late: %v", r.copied, res.Late)
		}
	})
}

func TestRangesReplaceAFile(t *testing.T) {
	r := newRanged(t, transfer.RouteThirdParty)
	put(t, r.dst, "/to/big", []byte("an older version"))
	r.ranges(4, 3, 2, 1, 0)
	if old, _ := get(t, r.dst, "/to/big"); string(old) != "an older version" {
		t.Error("the old file was touched before the new one was whole")
	}
	r.arrived(r.attempt(r.input(r.file)))
}

// TestRangesKilledAnywhere kills workers at every step that they take outside
// themselves, of ranges and of the join; others go on at their ledgers.
func TestRangesKilledAnywhere(t *testing.T) {
	stride := int64(23)
	if soaking() {
		stride = 1
	}
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		for _, what := range []string{"range", "join"} {
			for killAt := int64(1); ; killAt += stride {
				r := newRanged(t, route)
				in := r.input(r.file.InRange(3))
				if what == "join" {
					r.ranges(0, 1, 2, 3, 4)
					in = r.input(r.file)
				}
				p := r.process(killAt)
				d := r.gated("victim")
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = d.copy(p.context(t.Context()), in, nil)
				}()
				reached := true
				select {
				case <-p.dead:
				case <-ended:
					reached = false
				}
				if what == "join" {
					r.arrived(r.attempt(in))
				} else {
					r.arrived(r.run())
				}
				if r.file.Ranged.Generation != 1 {
					t.Errorf("the file was copied %d times", r.file.Ranged.Generation)
				}
				if t.Failed() {
					t.Fatalf("%s killed at step %d", what, killAt)
				}
				if !reached {
					t.Logf("%s: %d steps", what, killAt)
					break
				}
				if what == "join" && stride > 3 {
					killAt -= stride - 3 // it has fewer steps
				}
			}
		}
	})
}

// TestRangeResumes counts what is sent again after a kill.
func TestRangeResumes(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		r := newRanged(t, route)
		p := r.process(0)
		d := r.gated("victim")
		r.dst.Faults().Hook(func(ctx ctxType, op memory.Op, name string, off int64) error {
			if op == memory.Write && off >= 1<<20+512<<10 && ctx.Value(processKey{}) == p {
				p.kill()
			}
			return passes(ctx, string(op))
		})
		go d.copy(p.context(t.Context()), r.input(r.file.InRange(2)), nil)
		<-p.dead
		var mu sync.Mutex
		parts := 0
		r.src.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
			mu.Lock()
			defer mu.Unlock()
			if op == memory.Open && name == "/from/big" {
				parts++
			}
			return nil
		})
		r.dst.Faults().Hook(nil)
		res := r.attempt(r.input(r.file.InRange(2)))
		if !res.Complete || !res.Late {
			t.Errorf("the successor: %+v", res)
		}
		if most := 8 + 4; parts > most {
			t.Errorf("%d parts of 64 KiB were read after the kill, at most %d should have been", parts, most)
		}
		r.ranges(0, 2, 3, 4)
		join := r.attempt(r.input(r.file))
		if !join.Late {
			t.Error("the file is not to be verified again, although a dead attempt may still write to it")
		}
		r.arrived(join)
	})
}

// TestRangesOfAChangedSource changes the source between two ranges: nothing of
// the generation counts, whatever size the file has become.
func TestRangesOfAChangedSource(t *testing.T) {
	for _, size := range []int{rangedSize, rangedSize * 2, 100, 0} {
		for _, after := range []string{"some ranges", "all ranges"} {
			t.Run(fmt.Sprintf("%d after %s", size, after), func(t *testing.T) {
				routes(t, func(t *testing.T, route transfer.RouteRule) {
					r := newRanged(t, route)
					r.ranges(0, 2)
					if after == "all ranges" {
						r.ranges(1, 3, 4)
					}
					time.Sleep(time.Millisecond) // the disk's clock has to move
					put(t, r.src, "/from/big", content(8, size))
					res := r.run()
					r.arrived(res)
					if r.file.Ranged.Generation != 2 || !res.Late {
						t.Errorf("generation %d, late: %v", r.file.Ranged.Generation, res.Late)
					}
				})
			})
		}
	}
}

// TestRangesJoinedWrong flips a byte of what the ranges wrote: all are copied
// again, three times more at most.
func TestRangesJoinedWrong(t *testing.T) {
	for _, times := range []int{1, 2, 100} {
		routes(t, func(t *testing.T, route transfer.RouteRule) {
			r := newRanged(t, route)
			var mu sync.Mutex
			flips := 0
			r.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, _ int64) error {
				mu.Lock()
				flip := op == memory.Checksum && flips < times
				if flip {
					flips++
				}
				mu.Unlock()
				if flip {
					b, _ := get(t, r.dst, name)
					b[len(b)/2] ^= 1
					put(t, r.dst, name, b)
				}
				return nil
			})
			res := r.run()
			r.dst.Faults().Hook(nil)
			if times < 3 {
				if r.file.Ranged.Generation != times+1 {
					t.Errorf("generation %d after %d flips", r.file.Ranged.Generation, times)
				}
				r.arrived(res)
				return
			}
			if !res.Complete || res.NFailed != 1 || res.Files != 0 || flips != 4 {
				t.Errorf("after %d flips: %+v", flips, res)
			}
			r.finish(r.wk, r.req, false)
			r.noStrays()
			if got := r.results()["/to/big"]; got.Status != statusFailed || got.Fault.Kind != fault.Integrity {
				t.Errorf("result: %+v", got)
			}
		})
	}
}

// TestRangesLateWrite lets a dead attempt write after the file was joined and
// its source has changed: that is found at the end of the task.
func TestRangesLateWrite(t *testing.T) {
	r := newRanged(t, transfer.RouteThirdParty)
	p := r.process(9)
	d := r.gated("victim")
	go d.copy(p.context(t.Context()), r.input(r.file.InRange(2)), nil)
	<-p.dead
	r.src.Faults().Hook(nil)
	r.dst.Faults().Hook(nil)
	res := r.run()
	if !res.Complete || !res.Late {
		t.Fatalf("the join: %+v", res)
	}
	b, _ := get(t, r.dst, "/to/big")
	copy(b[1<<20:], content(9, 1000))
	put(t, r.dst, "/to/big", b)
	put(t, r.dst, "/to/.big.gridferry-"+testTask.Short()+"-g1", []byte("turned up again"))
	fin := r.finish(r.wk, r.req, false)
	if len(fin.Redo) != 1 || fin.Redo[0].Ranged != nil {
		t.Errorf("finish: %+v", fin)
	}
	sameTree(t, tree(t, r.dst, "/to"), tree(t, r.src, "/from"))
	r.noStrays()
}

// TestRangesFullDestination: a range is blocked, goes on when there is room,
// and nothing is copied twice for it.
func TestRangesFullDestination(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		r := newRanged(t, route)
		r.ranges(0)
		r.dst.Faults().Fail(memory.Write, "", -1, fault.New(fault.NoSpace, "write", "/to", "the disk is full"))
		res, err := r.worker("copier").copy(r.ctx(), r.input(r.file.InRange(2)), nil)
		if err != nil || res.Blocked == nil || res.Blocked.Kind != fault.NoSpace || res.Upset != nil {
			t.Fatalf("copy on a full disk: %+v, %v", res, err)
		}
		r.dst.Faults().Clear()
		r.ranges(1, 2, 3, 4)
		r.arrived(r.attempt(r.input(r.file)))
	})
}

// TestRangesRefused: what one end refuses to a range is the whole file's.
func TestRangesRefused(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		for _, heals := range []bool{true, false} {
			r := newRanged(t, route)
			r.ranges(0, 1)
			n := -1
			if heals {
				n = 3
			}
			r.src.Faults().Fail(memory.Open, "/from/big", n, refuse(fault.Permission, "/from/big"))
			res := r.run()
			if heals {
				r.arrived(res)
				continue
			}
			if !res.Complete || res.NFailed != 1 || len(res.Failed) != 1 || res.Failed[0].Path != "/from/big" || !res.Failed[0].AtSource {
				t.Errorf("the file: %+v", res)
			}
			r.finish(r.wk, r.req, false)
			r.noStrays()
			if got := r.results()["/to/big"]; got.Status != statusFailed || len(r.results()) != 1 {
				t.Errorf("results: %+v", r.results())
			}
		}
	})
}

// TestRangesAbandoned removes what ranges have left, whatever became of them.
func TestRangesAbandoned(t *testing.T) {
	for _, what := range []string{"some ranges", "all ranges", "a killed range", "another generation", "joined"} {
		t.Run(what, func(t *testing.T) {
			r := newRanged(t, transfer.RouteThirdParty)
			r.ranges(0, 3)
			kept := false
			switch what {
			case "all ranges":
				r.ranges(1, 2, 4)
			case "a killed range":
				p := r.process(12)
				go r.gated("victim").copy(p.context(t.Context()), r.input(r.file.InRange(2)), nil)
				<-p.dead
				r.src.Faults().Hook(nil)
				r.dst.Faults().Hook(nil)
			case "another generation":
				time.Sleep(time.Millisecond)
				put(t, r.src, "/from/big", content(8, rangedSize))
				in := r.input(r.file)
				in.Upset = r.ranges(1)
				res := r.attempt(in)
				r.file.Ranged = res.Again
				r.ranges(2)
			case "joined":
				r.ranges(1, 2, 4)
				r.attempt(r.input(r.file))
				kept = true
			}
			fin := r.finish(r.wk, r.req, true)
			r.noStrays()
			if _, there := get(t, r.dst, "/to/big"); there != kept {
				t.Errorf("the file is there: %v", there)
			}
			if fin.Strays == 0 && !kept {
				t.Error("nothing was removed: the test misses what it is for")
			}
		})
	}
}

// TestRangesStopped: a range that is told to stop stops at its ledger.
func TestRangesStopped(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		r := newRanged(t, route)
		d := r.worker("drained")
		stopping := make(chan struct{})
		d.Stopping = stopping
		var once sync.Once
		r.dst.Faults().Hook(func(_ ctxType, op memory.Op, name string, off int64) error {
			if op == memory.Write && strings.Contains(name, "-g1") && off > 1<<20+200<<10 {
				once.Do(func() { close(stopping) })
				time.Sleep(50 * time.Millisecond) // there is more to write than the worker takes to hear of it
			}
			return nil
		})
		res, err := d.copy(r.ctx(), r.input(r.file.InRange(2)), nil)
		if err != nil || !res.Yielded || res.Complete || res.Late {
			t.Fatalf("the range that was stopped: %+v, %v", res, err)
		}
		res = r.run()
		r.arrived(res)
		if res.Late {
			t.Error("something is late, although everything ended cleanly")
		}
	})
}

func TestRangesAreNotForAll(t *testing.T) {
	for name, change := range map[string]func(r *transfer.Request, src, dst *memory.Options){
		"classic":       func(r *transfer.Request, _, _ *memory.Options) { r.Tuning.Name = transfer.PolicyClassic },
		"stream mode":   func(_ *transfer.Request, _, dst *memory.Options) { dst.StreamOnly = true },
		"never":         func(r *transfer.Request, _, _ *memory.Options) { r.Tuning.RangeSize = -1 },
		"not at once":   func(r *transfer.Request, _, _ *memory.Options) { r.Tuning.RangeSize = 0 },
		"stream source": func(_ *transfer.Request, src, _ *memory.Options) { src.StreamOnly = true },
	} {
		t.Run(name, func(t *testing.T) {
			var so, do memory.Options
			var req transfer.Request
			req.Tuning.RangeSize = 1 << 20
			change(&req, &so, &do)
			w := newWorld(t, func(src, dst *memory.Options) { *src, *dst = so, do })
			put(t, w.src, "/from/big", content(7, rangedSize))
			full := w.request(func(r *transfer.Request) { r.Tuning = req.Tuning })
			for _, c := range w.walk(full, defaultWalkSizes).Chunks {
				if c.Ranged != nil {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}
