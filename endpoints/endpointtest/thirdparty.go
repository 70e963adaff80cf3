package endpointtest

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func testThirdParty(p *place, open Opener) {
	src, ok := p.Storage.(endpoints.ThirdParty)
	if !ok {
		p.Skip("the storage makes no third-party transfers")
	}
	other, dir := open(p.T)
	dst := &place{T: p.T, Storage: other, ctx: p.ctx, dir: dir}
	if err := src.Reaches(other); err != nil {
		p.wantKind("Reaches", err, fault.Unsupported)
		p.Skipf("two of these do not reach each other: %v", err)
	}
	run := &thirdParty{place: p, src: src, dst: dst}
	for _, pp := range []int{1, 7, 40} {
		run.many(pp)
	}
	run.ranges()
	for _, at := range []int{0, 3, 19} {
		run.refusedAtSource(at)
		run.refusedAtDestination(at)
	}
	run.canceled()
}

type thirdParty struct {
	*place
	src endpoints.ThirdParty
	dst *place
	n   int // of runs, for names
}

// send runs files and checks what every run promises.
func (t *thirdParty) send(ctx context.Context, opts endpoints.SendOptions, files []endpoints.Send) ([]endpoints.Sent, error) {
	t.Helper()
	var mu sync.Mutex
	taken := 0
	var ended []endpoints.Sent
	err := t.src.Send(ctx, t.dst.Storage, opts, func() (endpoints.Send, bool) {
		mu.Lock()
		defer mu.Unlock()
		if taken == len(files) {
			return endpoints.Send{}, false
		}
		taken++
		return files[taken-1], true
	}, func(s endpoints.Sent) {
		mu.Lock()
		defer mu.Unlock()
		if ahead := taken - len(ended); ahead > opts.Pipelining+1 {
			t.Errorf("%d files taken ahead with a window of %d", ahead, opts.Pipelining)
		}
		ended = append(ended, s)
	}, func(endpoints.SendProgress) {})
	if len(ended) != taken {
		t.Errorf("%d files were taken and %d were told of", taken, len(ended))
	}
	for i, s := range ended {
		if s.Key != files[i].Key {
			t.Errorf("file %d was told of at place %d", s.Key, i)
		}
		if err == nil && (s.Err != nil || s.Suspect) {
			t.Errorf("Send ended well, and %s did not: %v", s.Source, s.Err)
		}
	}
	if err == nil && taken != len(files) {
		t.Errorf("Send ended well with %d of %d files", taken, len(files))
	}
	return ended, err
}

// files makes n source files of mixed sizes.
func (t *thirdParty) files(n int) ([]endpoints.Send, [][]byte) {
	t.Helper()
	t.n++
	t.mkdir(fmt.Sprintf("src%d", t.n))
	t.dst.mkdir(fmt.Sprintf("dst%d", t.n))
	var files []endpoints.Send
	var content [][]byte
	for i := range n {
		size := []int{0, 1, 1000, 70_000, 300_000}[i%5]
		data := noise(size, uint64(i+1))
		name := fmt.Sprintf("%d/f %d", t.n, i)
		t.put("src"+name, data)
		files = append(files, endpoints.Send{Source: t.path("src" + name), Dest: t.dst.path("dst" + name), Size: int64(size), Key: i})
		content = append(content, data)
	}
	return files, content
}

// name is a destination path as the place's helpers take it.
func (t *thirdParty) name(f endpoints.Send) string { return f.Dest[len(t.dst.dir)+1:] }

func (t *thirdParty) many(pp int) {
	t.Helper()
	files, content := t.files(25)
	opts := endpoints.SendOptions{Parallelism: 2, Pipelining: pp}
	if algs := t.Caps().Checksums; len(algs) > 0 {
		opts.Checksum = algs[0]
	}
	ended, err := t.send(t.ctx, opts, files)
	t.ok(err)
	for i, s := range ended {
		t.dst.wantContent(t.name(s.Send), content[i])
		if s.Bytes != int64(len(content[i])) {
			t.Errorf("%s: %d bytes moved, want %d", s.Source, s.Bytes, len(content[i]))
		}
		if opts.Checksum == "" {
			continue
		}
		h := endpoints.NewHash(opts.Checksum)
		h.Write(content[i])
		if want := hex.EncodeToString(h.Sum(nil)); s.SourceSum != want || s.DestSum != want {
			t.Errorf("%s: checksums %q and %q, want %q", s.Source, s.SourceSum, s.DestSum, want)
		}
	}
}

func (t *thirdParty) ranges() {
	t.Helper()
	if !t.dst.Caps().Ranges {
		return
	}
	files, content := t.files(5)
	big, data := files[4], content[4]
	opts := endpoints.SendOptions{Parallelism: 1, Pipelining: 4}
	var parts []endpoints.Send
	for off := int64(0); off < big.Size; off += 77_777 {
		part := big
		part.Part = &endpoints.Range{Off: off, End: min(off+77_777, big.Size)}
		part.Key = len(parts)
		parts = append(parts, part)
	}
	_, err := t.send(t.ctx, opts, parts)
	t.ok(err)
	t.dst.wantContent(t.name(big), data)

	// What the destination holds is not sent again.
	half := append(slices.Clone(data[:100_000]), make([]byte, 50_000)...)
	half = append(half, data[150_000:160_000]...)
	t.dst.put(t.name(big), half)
	again := big
	again.Have = []endpoints.Range{{Off: 0, End: 100_000}, {Off: 150_000, End: 160_000}}
	again.Key = 0
	ended, err := t.send(t.ctx, opts, []endpoints.Send{again})
	t.ok(err)
	t.dst.wantContent(t.name(big), data)
	if len(ended) == 1 && ended[0].Bytes != big.Size-110_000 {
		t.Errorf("%d bytes were moved of %d that were missing", ended[0].Bytes, big.Size-110_000)
	}
}

// refusedAtSource takes away one of the files. Whatever is said to have
// arrived must hold its own bytes, and a name that is not known to be right
// must be called suspect (rule G1: a pipelining destination stores the next
// file under the refused one's name and answers 226).
func (t *thirdParty) refusedAtSource(at int) {
	t.Helper()
	files, content := t.files(20)
	t.ok(t.Remove(t.ctx, files[at].Source))
	ended, err := t.send(t.ctx, endpoints.SendOptions{Parallelism: 1, Pipelining: 8}, files)
	t.wantKind("a run with a missing source", err, fault.NotFound)
	t.proven(ended, content, at)
	if len(ended) > at && !ended[at].AtSource {
		t.Errorf("file %d: the error is not said to be the source's: %v", at, ended[at].Err)
	}
}

func (t *thirdParty) refusedAtDestination(at int) {
	t.Helper()
	files, content := t.files(20)
	t.dst.mkdir(t.name(files[at]))
	t.dst.put(t.name(files[at])+"/x", nil)
	ended, err := t.send(t.ctx, endpoints.SendOptions{Parallelism: 1, Pipelining: 8}, files)
	t.wantKind("a run with a taken name", err, fault.Exists)
	t.proven(ended, content, at)
	if len(ended) > at && ended[at].AtSource {
		t.Errorf("file %d: the error is said to be the source's: %v", at, ended[at].Err)
	}
}

func (t *thirdParty) proven(ended []endpoints.Sent, content [][]byte, at int) {
	t.Helper()
	if len(ended) <= at {
		t.Errorf("the run told of %d files and not of file %d, which was refused", len(ended), at)
		return
	}
	if ended[at].Err == nil {
		t.Errorf("file %d was refused, and its Err is nil", at)
	}
	for i, s := range ended {
		switch {
		case s.Err == nil && !s.Suspect:
			t.dst.wantContent(t.name(s.Send), content[i])
			if i > at {
				t.Errorf("file %d is called proven behind the refused file %d", i, at)
			}
		case i < at && s.Err != nil:
			t.Errorf("file %d before the refused file %d: %v", i, at, s.Err)
		}
	}
}

func (t *thirdParty) canceled() {
	t.Helper()
	files, content := t.files(20)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	taken := 0
	err := t.src.Send(ctx, t.dst.Storage, endpoints.SendOptions{Parallelism: 1, Pipelining: 2}, func() (endpoints.Send, bool) {
		if taken == 10 {
			cancel()
		}
		if taken == len(files) {
			return endpoints.Send{}, false
		}
		taken++
		return files[taken-1], true
	}, func(s endpoints.Sent) {
		if s.Err == nil && !s.Suspect {
			t.dst.wantContent(t.name(s.Send), content[s.Key])
		}
	}, nil)
	t.wantKind("a run that was cancelled", err, fault.Canceled)
	t.dst.put("after", []byte("x"))
	t.dst.wantContent("after", []byte("x"))
}
