package endpointtest

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func testChecksums(p *place) {
	c, ok := p.Storage.(endpoints.Checksummer)
	if !ok {
		p.Skip("the storage computes no checksums")
	}
	_, err := c.Checksum(p.ctx, p.path("f"), "crc7", 0, -1, nil)
	p.wantKind("an algorithm that is not offered", err, fault.Unsupported)
	if len(p.Caps().Checksums) == 0 {
		p.Skip("the storage computes no checksums")
	}
	data := noise(300_000, 8)
	p.put("f", data)
	p.put("empty", nil)
	for _, alg := range p.Caps().Checksums {
		for _, r := range []struct{ off, length, end int64 }{{0, -1, 300_000}, {0, 300_000, 300_000}, {1000, 2000, 3000}, {299_999, -1, 300_000}} {
			got, err := c.Checksum(p.ctx, p.path("f"), alg, r.off, r.length, func() {})
			p.ok(err)
			h := endpoints.NewHash(alg)
			h.Write(data[r.off:r.end])
			if want := hex.EncodeToString(h.Sum(nil)); got != want {
				p.Errorf("%s of [%d,%d): got %s, want %s", alg, r.off, r.end, got, want)
			}
		}
		got, err := c.Checksum(p.ctx, p.path("empty"), alg, 0, -1, nil)
		p.ok(err)
		if want := hex.EncodeToString(endpoints.NewHash(alg).Sum(nil)); got != want {
			p.Errorf("%s of an empty file: got %s, want %s", alg, got, want)
		}
		_, err = c.Checksum(p.ctx, p.path("gone"), alg, 0, -1, nil)
		p.wantKind("checksum of a missing file", err, fault.NotFound)
	}
	ctx, cancel := cancelable(p)
	cancel()
	_, err = c.Checksum(ctx, p.path("f"), p.Caps().Checksums[0], 0, -1, nil)
	p.wantKind("checksum when cancelled", err, fault.Canceled)
}

func testTimes(p *place) {
	s, ok := p.Storage.(endpoints.TimeSetter)
	if !ok || !p.Caps().Times {
		p.Skip("the storage sets no times")
	}
	p.put("f", []byte("x"))
	p.mkdir("d")
	p.put("d/x", nil)
	for _, want := range []time.Time{
		time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC),
		time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("far", 13*3600)),
		time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC),
	} {
		p.ok(s.SetModTime(p.ctx, p.path("f"), want))
		e, err := p.Stat(p.ctx, p.path("f"))
		p.ok(err)
		if !e.ModTime.Equal(want) {
			p.Errorf("set %v, stat says %v", want, e.ModTime)
		}
		if l := p.list("")["f"]; !l.ModTime.IsZero() && !l.ModTime.Equal(want) {
			p.Errorf("set %v, the listing says %v", want, l.ModTime)
		}
	}
	want := time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := s.SetModTime(p.ctx, p.path("d"), want); fault.Is(err, fault.Unsupported) {
		p.Logf("not of directories: %v", err)
	} else if err != nil {
		p.Error(err)
	} else if e, err := p.Stat(p.ctx, p.path("d")); err != nil || !e.ModTime.Equal(want) {
		p.Errorf("time of a directory: %v, %v; want %v", e.ModTime, err, want)
	}
	p.wantKind("set the time of a missing file", s.SetModTime(p.ctx, p.path("gone"), want), fault.NotFound)
}

func testModes(p *place) {
	s, ok := p.Storage.(endpoints.ModeSetter)
	if !ok || !p.Caps().Modes {
		p.Skip("the storage sets no modes")
	}
	p.put("f", []byte("x"))
	for _, want := range []uint32{0o600, 0o644, 0o755, 0o444, 0o640} {
		p.ok(s.SetMode(p.ctx, p.path("f"), want))
		e, err := p.Stat(p.ctx, p.path("f"))
		p.ok(err)
		if e.Mode != want {
			p.Errorf("set %o, stat says %o", want, e.Mode)
		}
	}
	p.wantKind("set the mode of a missing file", s.SetMode(p.ctx, p.path("gone"), 0o600), fault.NotFound)
}

func testLinks(p *place) {
	s, ok := p.Storage.(endpoints.Linker)
	if !ok || !p.Caps().Links {
		p.Skip("the storage makes no symbolic links")
	}
	p.put("f", []byte("target"))
	p.mkdir("d")
	p.put("d/x", []byte("inside"))
	links := map[string]string{"to file": "f", "to-dir": "d", "dangling": "nowhere", "odd": "a -> b;"}
	resolves := p.Caps().ResolvesLinks
	if resolves {
		delete(links, "dangling")
		delete(links, "odd")
	}
	for name, target := range links {
		p.ok(s.Symlink(p.ctx, target, p.path(name)))
	}
	listed := p.list("")
	for name, target := range links {
		if resolves {
			target = p.path(target)
		}
		e, err := p.Stat(p.ctx, p.path(name))
		p.ok(err)
		if e.Type != endpoints.Link || e.Target != target || e.Size != 0 {
			p.Errorf("stat of a link to %q: %+v", target, e)
		}
		if l := listed[name]; l.Type != endpoints.Link || l.Target != target {
			p.Errorf("listing of a link to %q: %+v", target, l)
		}
	}
	p.wantContent("to file", []byte("target"))
	p.wantContent("to-dir/x", []byte("inside"))
	if !resolves {
		_, err := p.read("dangling", 0, -1)
		p.wantKind("open a dangling link", err, fault.NotFound)
	}
	p.wantKind("a link over a file", s.Symlink(p.ctx, "d", p.path("f")), fault.Exists)
	for name := range links {
		p.ok(p.Remove(p.ctx, p.path(name)))
	}
	p.wantContent("f", []byte("target"))
	p.wantContent("d/x", []byte("inside"))
	if left := p.list(""); len(left) != 2 || slices.Contains([]endpoints.Type{left["f"].Type, left["d"].Type}, endpoints.Link) {
		p.Errorf("left: %v", left)
	}
}

func testFree(p *place) {
	s, ok := p.Storage.(endpoints.SpaceReporter)
	if !ok {
		p.Skip("the storage reports no free space")
	}
	path := p.dir
	if path == "" {
		path = "/"
	}
	n, err := s.Free(p.ctx, path)
	p.ok(err)
	if n <= 0 {
		p.Errorf("%d bytes are free", n)
	}
}
