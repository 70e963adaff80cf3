package check

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

const mib = 1 << 20

// What the abilities mean; the README has a table of them by the same
// names.
const (
	noRanges   = "no ranges: a file that is interrupted begins again, and one session writes all of it"
	noSums     = "no checksum from the server: verification reads each file again"
	noTimes    = "times cannot be set: --sync mtime copies files again that are newer at the source than their copy, and --preserve-time keeps none"
	noModes    = "permissions are not kept"
	noLinks    = "--symlinks keep lists symbolic links as errors"
	noStraight = "data goes through a worker"
)

// abilities looks at what only some storages can do: by trying it where
// something may be written, and else as it is declared.
func (v *visit) abilities() {
	v.look("checksums at the server", "verification fails files that are right", v.checksums)
	v.look("written in ranges", noRanges, v.ranges)
	v.look("straight to another server", "transfers between such servers fall back to a relay, after they have failed", v.straight)
	v.look("times", noTimes, v.times)
	v.look("modes", noModes, v.modes)
	v.look("links", noLinks, v.links)
	if v.dir == "" && v.caps.NoEmptyDirs { // or writing has looked
		v.look("empty folders", "", func(context.Context) answer { return noEmptyFolders() })
	}
	v.look("free space", "", v.free)
}

// declared is the answer of a look at an ability that is there and would have
// to be written to be tried.
func declared(means string) answer {
	return untried("declared; --write tries it", means)
}

func (v *visit) checksums(ctx context.Context) answer {
	c, ok := v.Storage.(endpoints.Checksummer)
	if !ok || len(v.caps.Checksums) == 0 {
		return cannot("none: read back", noSums)
	}
	seen, means := strings.Join(v.caps.Checksums, ", "), "files are verified without being read back"
	path, algs, data := "", v.caps.Checksums, noise(300_000)
	switch {
	case v.dir != "":
		path = v.in("sums")
		if err := v.put(ctx, "sums", data); err != nil {
			return failed(err)
		}
	case v.small != nil:
		// Of somebody's file one is enough.
		path, algs = v.small.path, algs[:1]
		var err error
		if data, err = v.readAll(ctx, path, 0, -1); err != nil {
			return failed(err)
		}
		seen += "; tried: " + algs[0]
	default:
		return untried(seen+"; there is no file of up to 1 MiB to try it with", means)
	}
	for _, alg := range algs {
		got, err := c.Checksum(ctx, path, alg, 0, -1, nil)
		switch {
		case v.dir == "" && fault.Is(err, fault.Unsupported):
			return cannot(err.Error(), "it has none of files that others stored: verification reads these again")
		case err != nil:
			return failed(err)
		case got == digest(alg, data):
		case v.dir == "" && v.differs(ctx, path, data):
			return untried(path+" is being changed", means)
		default:
			return wrong("%s of %s is said to be %s, and is %s", alg, path, got, digest(alg, data))
		}
	}
	return works(seen, means)
}

// differs says whether a file has other bytes by now.
func (v *visit) differs(ctx context.Context, path string, data []byte) bool {
	now, err := v.readAll(ctx, path, 0, -1)
	return err != nil || !bytes.Equal(now, data)
}

func (v *visit) ranges(ctx context.Context) answer {
	parts := v.caps.Parts
	switch {
	case v.caps.Ranges && v.dir == "":
		return declared("a file goes on where it was interrupted, and several sessions write one large file")
	case v.caps.Ranges:
		return v.outOfOrder(ctx)
	case parts.Most > 0 && v.dir == "":
		return declared(partsMean(parts))
	case parts.Most > 0:
		return v.asParts(ctx)
	}
	return cannot("no", noRanges)
}

func partsMean(p endpoints.Parts) string {
	return fmt.Sprintf("as parts of %d MiB and more: a file goes on at its last part, and several sessions write one large file", p.Least/mib)
}

// outOfOrder writes a file from its end to its beginning, over what it holds.
func (v *visit) outOfOrder(ctx context.Context) answer {
	data := noise(1_000_000)
	if err := v.put(ctx, "ranges", data[:10]); err != nil {
		return failed(err)
	}
	const piece = 130_000
	for off := (len(data) - 1) / piece * piece; off >= 0; off -= piece {
		part := data[off:min(off+piece, len(data))]
		if err := v.write(ctx, v.in("ranges"), part, endpoints.CreateOptions{Size: int64(len(part)), Offset: int64(off), Update: true}); err != nil {
			return failed(err)
		}
	}
	if a, ok := v.holds(ctx, "ranges", data); !ok {
		return a
	}
	return works("in any order", "a file goes on where it was interrupted, and several sessions write one large file")
}

// asParts writes a file under a temporary name, its last part first, as copies
// to object stores do.
func (v *visit) asParts(ctx context.Context) answer {
	unit := v.caps.Parts.Least
	size := unit + 1000
	if size > v.o.Bytes {
		return declared(partsMean(v.caps.Parts))
	}
	data := noise(int(size))
	at := time.Now().UTC().Truncate(time.Second)
	becomes := &endpoints.Becoming{Path: v.in("parts"), Size: size, ModTime: at}
	temporary := v.in(".parts.gridferry-check")
	for _, r := range []endpoints.Range{{Off: unit, End: size}, {End: unit}} {
		opts := endpoints.CreateOptions{Size: r.Len(), Offset: r.Off, Update: true, ModTime: at, Becomes: becomes}
		if err := v.write(ctx, temporary, data[r.Off:r.End], opts); err != nil {
			return failed(err)
		}
	}
	if s, ok := v.Storage.(endpoints.TimeSetter); ok && v.caps.Times {
		if err := s.SetModTime(ctx, temporary, at); err != nil {
			return failed(err)
		}
	}
	if err := v.Rename(ctx, temporary, v.in("parts")); err != nil {
		return failed(err)
	}
	return v.sameAs(ctx, "parts", data, fmt.Sprintf("as parts of %d MiB and more", unit/mib), partsMean(v.caps.Parts))
}

func (v *visit) straight(ctx context.Context) answer {
	t, ok := v.Storage.(endpoints.ThirdParty)
	if !ok {
		return cannot("no", noStraight)
	}
	if err := t.Reaches(v.Storage); err != nil {
		return cannot(err.Error(), noStraight)
	}
	const means = "data does not go through a worker; whether two servers reach each other shows when they are tried"
	if v.dir == "" {
		return declared(means)
	}
	data := noise(300_000)
	if err := v.put(ctx, "from", data); err != nil {
		return failed(err)
	}
	file := &endpoints.Send{Source: v.in("from"), Dest: v.in("to"), Size: int64(len(data))}
	var ended endpoints.Sent
	err := t.Send(ctx, v.Storage, endpoints.SendOptions{Parallelism: 1, Pipelining: 1, Stall: lookTime / 2}, func() (endpoints.Send, bool) {
		if file == nil {
			return endpoints.Send{}, false
		}
		next := *file
		file = nil
		return next, true
	}, func(s endpoints.Sent) { ended = s }, nil)
	switch {
	case err != nil:
		return failed(err)
	case ended.Err != nil:
		return failed(ended.Err)
	}
	return v.sameAs(ctx, "to", data, "between this and itself", means)
}

func (v *visit) times(ctx context.Context) answer {
	s, ok := v.Storage.(endpoints.TimeSetter)
	if !ok || !v.caps.Times {
		return cannot("no", noTimes)
	}
	const means = "--preserve-time and --sync mtime work"
	if v.dir == "" {
		return declared(means)
	}
	if err := v.put(ctx, "times", []byte("x")); err != nil {
		return failed(err)
	}
	want := time.Date(2001, 2, 3, 4, 5, 6, 789_123_456, time.UTC)
	if err := s.SetModTime(ctx, v.in("times"), want); err != nil {
		return failed(err)
	}
	e, err := v.Stat(ctx, v.in("times"))
	if err != nil {
		return failed(err)
	}
	for unit, name := range map[time.Duration]string{1: "to the nanosecond", time.Microsecond: "to the microsecond", time.Millisecond: "to the millisecond"} {
		if e.ModTime.Equal(want.Truncate(unit)) {
			return works(name, means)
		}
	}
	if !e.ModTime.Truncate(time.Second).Equal(want.Truncate(time.Second)) {
		return wrong("set to %s, it is %s", want.Format(time.RFC3339), e.ModTime.Format(time.RFC3339))
	}
	return works("to the second", means+", by whole seconds")
}

func (v *visit) modes(ctx context.Context) answer {
	s, ok := v.Storage.(endpoints.ModeSetter)
	if !ok || !v.caps.Modes {
		return cannot("no", noModes)
	}
	const means = "permissions are kept"
	if v.dir == "" {
		return declared(means)
	}
	if err := v.put(ctx, "modes", []byte("x")); err != nil {
		return failed(err)
	}
	for _, want := range []uint32{0o600, 0o755, 0o640} {
		if err := s.SetMode(ctx, v.in("modes"), want); err != nil {
			return failed(err)
		}
		e, err := v.Stat(ctx, v.in("modes"))
		if err != nil {
			return failed(err)
		}
		if e.Mode != want {
			return wrong("set to %04o, it is %04o", want, e.Mode)
		}
	}
	return works("yes", means)
}

func (v *visit) links(ctx context.Context) answer {
	s, ok := v.Storage.(endpoints.Linker)
	if !ok || !v.caps.Links {
		return cannot("no", noLinks)
	}
	means := "--symlinks keep works"
	if v.caps.ResolvesLinks {
		means += ", but for links that lead nowhere; relative ones become absolute"
	}
	if v.dir == "" {
		return declared(means)
	}
	if err := v.put(ctx, "target", []byte("x")); err != nil {
		return failed(err)
	}
	if err := s.Symlink(ctx, "target", v.in("link")); err != nil {
		return failed(err)
	}
	e, err := v.Stat(ctx, v.in("link"))
	if err != nil {
		return failed(err)
	}
	want := "target"
	if v.caps.ResolvesLinks {
		want = v.in("target")
	}
	if e.Type != endpoints.Link || e.Target != want {
		return wrong("a link to %q is a %s to %q", want, e.Type, e.Target)
	}
	return v.sameAs(ctx, "link", []byte("x"), "symbolic", means)
}

func (v *visit) free(ctx context.Context) answer {
	s, ok := v.Storage.(endpoints.SpaceReporter)
	if !ok {
		return cannot("it does not tell", "that a disk is full shows when a file does not fit")
	}
	where := v.o.Path
	if v.dir != "" {
		where = v.dir
	}
	n, err := s.Free(ctx, where)
	if err != nil {
		return failed(err)
	}
	return works(transfer.FormatBytes(n), "")
}

// put writes a file into the new directory.
func (v *visit) put(ctx context.Context, name string, data []byte) error {
	return v.write(ctx, v.in(name), data, endpoints.CreateOptions{Size: int64(len(data))})
}

func (v *visit) write(ctx context.Context, path string, data []byte, opts endpoints.CreateOptions) error {
	if err := v.o.Pay(ctx, int64(len(data))); err != nil {
		return err
	}
	w, err := v.Create(ctx, path, opts)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		_ = w.Abort() // the directory goes as a whole
		return err
	}
	return w.Commit()
}

// holds compares what a file of the new directory has with what it should.
func (v *visit) holds(ctx context.Context, name string, want []byte) (answer, bool) {
	r, err := v.Open(ctx, v.in(name), 0, -1)
	if err != nil {
		return failed(err), false
	}
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
	if closed := r.Close(); err == nil && len(got) <= len(want) {
		err = closed
	}
	if err != nil {
		return failed(err), false
	}
	if !bytes.Equal(got, want) {
		return wrong("%s has other bytes than were written to it: %d, and %d were written", v.in(name), len(got), len(want)), false
	}
	return answer{}, true
}

// sameAs is the answer of a look that ends with a file that should have these
// bytes.
func (v *visit) sameAs(ctx context.Context, name string, want []byte, seen, means string) answer {
	if a, ok := v.holds(ctx, name, want); !ok {
		return a
	}
	return works(seen, means)
}

// noise returns n bytes that no server could get right by luck, or compress.
func noise(n int) []byte {
	rnd := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	_, _ = rnd.Read(b) // which never fails
	return b
}
