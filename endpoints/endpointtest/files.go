package endpointtest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func testCaps(p *place) {
	caps := p.Caps()
	if caps.Kind == "" {
		p.Error("a driver has a name")
	}
	if caps.StreamOnly && caps.Ranges {
		p.Error("a storage that takes streams only takes no ranges")
	}
	for _, alg := range caps.Checksums {
		if endpoints.NewHash(alg) == nil {
			p.Errorf("checksum %q is not one of endpoints.Algorithms: nobody could compare it", alg)
		}
	}
	if !slices.IsSortedFunc(caps.Checksums, func(a, b string) int {
		return slices.Index(endpoints.Algorithms(), a) - slices.Index(endpoints.Algorithms(), b)
	}) {
		p.Errorf("checksums %v are not sorted by strength", caps.Checksums)
	}
	for ability, c := range map[string]struct{ claimed, has bool }{
		"Checksummer": {len(caps.Checksums) > 0, is[endpoints.Checksummer](p.Storage)},
		"TimeSetter":  {caps.Times, is[endpoints.TimeSetter](p.Storage)},
		"ModeSetter":  {caps.Modes, is[endpoints.ModeSetter](p.Storage)},
		"Linker":      {caps.Links, is[endpoints.Linker](p.Storage)},
	} {
		if c.claimed && !c.has {
			p.Errorf("Caps claims what needs a %s, and it is none", ability)
		}
	}
}

func is[T any](s endpoints.Storage) bool {
	_, ok := s.(T)
	return ok
}

func testEmptyFile(p *place) {
	p.put("empty", nil)
	p.wantContent("empty", nil)
	e, err := p.Stat(p.ctx, p.path("empty"))
	p.ok(err)
	if e.Type != endpoints.File || e.Size != 0 {
		p.Errorf("stat of an empty file: %+v", e)
	}
	if got, err := p.read("empty", 10, 5); err != nil || len(got) != 0 {
		p.Errorf("reading behind the end: %q, %v", got, err)
	}
}

func testWriteAndRead(p *place) {
	for _, size := range []int{1, 511, 65536, 3<<20 + 7} {
		data := noise(size, 1)
		p.put("f", data)
		p.wantContent("f", data)
		e, err := p.Stat(p.ctx, p.path("f"))
		p.ok(err)
		if e.Name != p.path("f") || e.Type != endpoints.File || e.Size != int64(size) {
			p.Errorf("stat after writing %d bytes: %+v", size, e)
		}
		if !e.ModTime.IsZero() {
			// The other machine's clock is not ours, but it is no clock of another day.
			if d := time.Since(e.ModTime).Abs(); d > 24*time.Hour {
				p.Errorf("a file just written is %v old", d)
			}
			if e.ModTime.Location() != time.UTC {
				p.Errorf("the modification time is in %v, not in UTC", e.ModTime.Location())
			}
		}
	}
	// A size that was only a guess, and many small writes.
	w, err := p.Create(p.ctx, p.path("g"), endpoints.CreateOptions{Size: -1})
	p.ok(err)
	var want []byte
	for i := range 300 {
		piece := noise(i, 2)
		want = append(want, piece...)
		n, err := w.Write(piece)
		if p.ok(err); n != len(piece) {
			p.Fatalf("wrote %d of %d bytes without an error", n, len(piece))
		}
	}
	p.ok(w.Commit())
	p.wantContent("g", want)
}

func testReadRanges(p *place) {
	data := noise(200_000, 3)
	p.put("f", data)
	size := int64(len(data))
	for _, r := range []struct{ off, length, end int64 }{
		{0, -1, size}, {0, size, size}, {0, 0, 0}, {0, 1, 1},
		{1, 1, 2}, {65535, 2, 65537}, {size - 1, 1, size}, {size - 1, -1, size},
		{100, size, size}, {size, -1, size}, {size, 10, size}, {99_999, 50_001, 150_000},
	} {
		got, err := p.read("f", r.off, r.length)
		p.ok(err)
		if !bytes.Equal(got, data[r.off:r.end]) {
			p.Errorf("read %d from %d: got %s, want %s", r.length, r.off, describe(got), describe(data[r.off:r.end]))
		}
	}
	if got, err := p.read("f", size+1000, -1); err != nil || len(got) != 0 {
		p.Errorf("reading from behind the end: %d bytes, %v", len(got), err)
	}
	// A reader that is closed early must leave the storage usable.
	for range 3 {
		r, err := p.Open(p.ctx, p.path("f"), 0, -1)
		p.ok(err)
		_, err = io.ReadFull(r, make([]byte, 1000))
		p.ok(err)
		_ = r.Close() // it may complain of what was not read
	}
	p.wantContent("f", data)
	for _, bad := range [][2]int64{{-1, 5}, {0, -2}} {
		_, err := p.read("f", bad[0], bad[1])
		p.wantKind("open with a bad range", err, fault.Invalid)
	}
}

func testOverwrite(p *place) {
	p.put("f", noise(5000, 4))
	p.put("f", []byte("short"))
	p.wantContent("f", []byte("short"))
	p.put("f", nil)
	p.wantContent("f", nil)
}

func testWriteRanges(p *place) {
	_, err := p.Create(p.ctx, p.path("f"), endpoints.CreateOptions{Size: 1, Offset: -1})
	p.wantKind("create at a negative offset", err, fault.Invalid)
	if !p.Caps().Ranges {
		_, err := p.Create(p.ctx, p.path("f"), endpoints.CreateOptions{Size: 1, Offset: 10})
		p.wantKind("create at an offset without Caps.Ranges", err, fault.Unsupported)
		p.Skip("the storage takes no ranges")
	}
	data := noise(1_000_000, 5)
	p.put("f", data[:10])
	type piece struct{ off, end int }
	var pieces []piece
	for off := 0; off < len(data); off += 130_000 {
		pieces = append(pieces, piece{off, min(off+130_000, len(data))})
	}
	rand.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	for _, c := range pieces {
		p.ok(p.write("f", data[c.off:c.end], endpoints.CreateOptions{Size: int64(c.end - c.off), Offset: int64(c.off), Update: true}))
	}
	p.wantContent("f", data)

	p.ok(p.write("f", []byte("begin"), endpoints.CreateOptions{Size: 5, Update: true}))
	p.ok(p.write("f", []byte("middle"), endpoints.CreateOptions{Size: 6, Offset: 500_000}))
	copy(data, "begin")
	copy(data[500_000:], "middle")
	p.wantContent("f", data)

	p.ok(p.write("new", []byte("late"), endpoints.CreateOptions{Size: 4, Offset: 10, Update: true}))
	p.wantContent("new", append(make([]byte, 10), "late"...))

	// One writer, many goroutines.
	w, err := p.Create(p.ctx, p.path("at"), endpoints.CreateOptions{Size: int64(len(data))})
	p.ok(err)
	if at, ok := w.(io.WriterAt); ok {
		var wg sync.WaitGroup
		for _, c := range pieces {
			wg.Go(func() {
				if n, err := at.WriteAt(data[c.off:c.end], int64(c.off)); err != nil || n != c.end-c.off {
					p.Errorf("wrote %d of %d bytes at %d: %v", n, c.end-c.off, c.off, err)
				}
			})
		}
		wg.Wait()
		p.ok(w.Commit())
		p.wantContent("at", data)
	} else {
		p.ok(w.Abort())
	}

	// Several writers of one file at once.
	var wg sync.WaitGroup
	errs := make([]error, len(pieces))
	for i, c := range pieces {
		wg.Go(func() {
			errs[i] = p.write("f", data[c.off:c.end], endpoints.CreateOptions{Size: int64(c.end - c.off), Offset: int64(c.off), Update: true})
		})
	}
	wg.Wait()
	for _, err := range errs {
		p.ok(err)
	}
	p.wantContent("f", data)
}

func testExclusive(p *place) {
	opts := endpoints.CreateOptions{Size: 3, Exclusive: true}
	p.ok(p.write("f", []byte("one"), opts))
	p.wantKind("exclusive create of a name that is taken", p.write("f", []byte("two"), opts), fault.Exists)
	p.wantContent("f", []byte("one"))
	p.mkdir("d")
	p.put("d/x", nil)
	p.wantKind("exclusive create of a directory's name", p.write("d", []byte("two"), opts), fault.Exists)
}

func testAbort(p *place) {
	w, err := p.Create(p.ctx, p.path("f"), endpoints.CreateOptions{Size: 1 << 20})
	p.ok(err)
	_, err = w.Write(noise(100_000, 6))
	p.ok(err)
	p.ok(w.Abort())
	if _, err := w.Write([]byte("x")); err == nil {
		p.Error("writing after Abort succeeded")
	}
	if err := p.Remove(p.ctx, p.path("f")); err != nil && !fault.Is(err, fault.NotFound) {
		p.Errorf("removing what was aborted: %v", err)
	}

	w, err = p.Create(p.ctx, p.path("g"), endpoints.CreateOptions{Size: 4})
	p.ok(err)
	_, err = w.Write([]byte("done"))
	p.ok(err)
	p.ok(w.Commit())
	p.ok(w.Abort())
	p.wantContent("g", []byte("done"))
}

func testCanceledMidway(p *place) {
	data := noise(8<<20, 7)
	p.put("f", data)
	ctx, cancel := cancelable(p)
	defer cancel()
	r, err := p.Open(ctx, p.path("f"), 0, -1)
	p.ok(err)
	_, err = io.ReadFull(r, make([]byte, 1000))
	p.ok(err)
	cancel()
	// What was received before may still be handed out; the end may not be.
	_, err = io.Copy(io.Discard, r)
	p.wantKind("reading on after cancelling", err, fault.Canceled)
	_ = r.Close()

	ctx, cancel = cancelable(p)
	defer cancel()
	w, err := p.Create(ctx, p.path("g"), endpoints.CreateOptions{Size: int64(len(data))})
	p.ok(err)
	_, err = w.Write(data[:1000])
	p.ok(err)
	cancel()
	for err == nil && len(data) > 0 {
		n := min(len(data), 64<<10)
		_, err = w.Write(data[:n])
		data = data[n:]
	}
	if err == nil {
		err = w.Commit()
	}
	p.wantKind("writing on after cancelling", err, fault.Canceled)
	p.ok(w.Abort())

	// The sessions below are not poisoned for others.
	p.put("h", []byte("after"))
	p.wantContent("h", []byte("after"))
}
