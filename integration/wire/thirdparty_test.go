package wire_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// move runs a third-party transfer that must succeed, and returns what it
// reported.
func move(t testing.TB, src, dst *gridftp.Client, o gridftp.Options, files ...gridftp.File) []gridftp.Outcome {
	t.Helper()
	var out []gridftp.Outcome
	err := gridftp.ThirdParty(bounded(t), src, dst, o, list(files), gridftp.Observer{Done: func(o gridftp.Outcome) { out = append(out, o) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(files) {
		t.Fatalf("%d of %d files were reported", len(out), len(files))
	}
	for i, o := range out {
		if o.Suspect || o.Err != nil || o.Key != files[i].Key || o.Index != i {
			t.Errorf("outcome %d is %+v", i, o)
		}
	}
	return out
}

// mixed makes files of several sizes in a folder of a and returns how to move
// them to b.
func mixed(t testing.TB, a, b *globus.Server, dir string, sizes ...int) []gridftp.File {
	t.Helper()
	if len(sizes) == 0 {
		sizes = []int{0, 1, 1000, 300_000, 5 << 20, 0, 17}
	}
	must(t, os.MkdirAll(b.Path(dir), 0o755))
	var files []gridftp.File
	for i, size := range sizes {
		name := fmt.Sprintf("%s/file %d", dir, i)
		write(t, a, name, content(i, size))
		files = append(files, gridftp.File{Source: a.Path(name), Dest: b.Path(name), Size: int64(size), Key: i})
	}
	return files
}

func wantMoved(t testing.TB, files []gridftp.File) {
	t.Helper()
	for i, f := range files {
		want(t, f.Dest, content(i, int(f.Size)))
	}
}

// TestThirdPartyMatrix moves files under every valid combination of login,
// authentication and protection of the data channel, and mode.
func TestThirdPartyMatrix(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	type login struct {
		tls        gsi.Version
		delegation gridftp.Delegation
	}
	var logins = map[string]login{
		"TLS 1.2, DCSC":       {0x303, gridftp.DelegateAuto},
		"TLS 1.3, DCSC":       {0x304, gridftp.DelegateAuto},
		"TLS 1.2, delegation": {0x303, gridftp.DelegateAlways},
		"TLS 1.3, delegation": {0x304, gridftp.DelegateAlways},
	}
	for name, login := range logins {
		edit := func(c *gridftp.Config) {
			c.MinTLS, c.MaxTLS, c.Delegation = login.tls, login.tls, login.delegation
		}
		for _, o := range []gridftp.Options{
			{Auth: gridftp.AuthNone},
			{Auth: gridftp.AuthSelf, Prot: gsi.Clear},
			{Auth: gridftp.AuthSelf, Prot: gsi.Safe},
			{Auth: gridftp.AuthSelf, Prot: gsi.Private},
		} {
			for _, mode := range []gridftp.Mode{gridftp.ExtendedBlock, gridftp.Stream} {
				o := o
				o.Mode = mode
				if o.Prot == 0 {
					o.Prot = gsi.Clear
				}
				t.Run(fmt.Sprintf("%s/DCAU %s PROT %c MODE %c", name, o.Auth, o.Prot, mode), func(t *testing.T) {
					if mode == gridftp.ExtendedBlock {
						o.Parallelism = 3
					}
					src, dst := w.dial(a, edit), w.dial(b, edit)
					if got, wanted := src.TLSVersion(), login.tls; got != wanted {
						t.Errorf("TLS version %#x, want %#x", got, wanted)
					}
					if src.Delegated() != (login.delegation == gridftp.DelegateAlways) {
						t.Errorf("delegated: %v", src.Delegated())
					}
					files := mixed(t, a, b, t.Name())
					move(t, src, dst, o, files...)
					wantMoved(t, files)
				})
			}
		}
	}
}

// TestMixedDelegation moves files between a session that left a proxy and one
// that relies on DCSC, and between two users.
func TestMixedDelegation(t *testing.T) {
	w := newWorld(t)
	bob := w.ca.Proxy(w.ca.User("Bob"))
	a := w.server()
	b := globus.NewServer(t, globus.Options{CA: w.ca, Identities: []string{bob.Identity(), w.user.Identity()}})
	always := func(c *gridftp.Config) { c.Delegation = gridftp.DelegateAlways }
	never := func(c *gridftp.Config) { c.Delegation = gridftp.DelegateNever }
	asBob := func(c *gridftp.Config) { c.Credential = bob }
	for name, edits := range map[string][2][]func(*gridftp.Config){
		"the source delegated":         {{always}, {never}},
		"the destination delegated":    {{never}, {always}},
		"two users, DCSC":              {{}, {asBob}},
		"two users, delegated":         {{always}, {always, asBob}},
		"two users, source delegated":  {{always}, {asBob}},
		"another's session, delegated": {{always}, {always}},
	} {
		t.Run(name, func(t *testing.T) {
			files := mixed(t, a, b, name)
			move(t, w.dial(a, edits[0]...), w.dial(b, edits[1]...), gridftp.Options{Auth: gridftp.AuthSelf}, files...)
			wantMoved(t, files)
		})
	}
}

// TestWindows moves more files than the window holds, for windows up to where
// the server's own queue would overflow, twice over the same data channels.
func TestWindows(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	src, dst := w.dial(a), w.dial(b)
	for _, window := range []int{1, 2, 10, 100, 300, 1000} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			sizes := make([]int, min(window+window/2+5, 700))
			for i := range sizes {
				sizes[i] = i % 50
			}
			files := mixed(t, a, b, t.Name(), sizes...)
			for i, o := range move(t, src, dst, gridftp.Options{Window: window}, files...) {
				if o.Bytes != int64(sizes[i]) {
					t.Errorf("file %d: %d bytes were counted, want %d", i, o.Bytes, sizes[i])
				}
			}
			wantMoved(t, files)
		})
	}
}

// TestPipelinedChecksums has both servers compute every file's checksum in the
// pipeline, and a refusal to compute one does no harm.
func TestPipelinedChecksums(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	files := mixed(t, a, b, "sums")
	for i, o := range move(t, w.dial(a), w.dial(b), gridftp.Options{Checksum: "MD5", Parallelism: 2}, files...) {
		sum := md5.Sum(content(i, int(files[i].Size)))
		if wanted := hex.EncodeToString(sum[:]); o.SourceSum != wanted || o.DestSum != wanted || o.SumErr != nil {
			t.Errorf("file %d: sums %s and %s (%v), want %s", i, o.SourceSum, o.DestSum, o.SumErr, wanted)
		}
	}
	for _, o := range move(t, w.dial(a), w.dial(b), gridftp.Options{Checksum: "CRC32"}, files...) {
		if o.SumErr == nil || o.SourceSum != "" {
			t.Errorf("a checksum that no server has: %+v", o)
		}
	}
	wantMoved(t, files)
}

// TestRestartAndParts moves what a destination lacks, and parts of a file.
func TestRestartAndParts(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	const size = 3_000_000
	whole := content(1, size)
	write(t, a, "whole", whole)

	t.Run("ranges", func(t *testing.T) {
		// The destination has two pieces right and rubbish in between, which
		// must be written over; the pieces must not be.
		have := gridftp.NewRangeSet(gridftp.Range{Off: 0, End: 1_000_000}, gridftp.Range{Off: 1_500_000, End: 2_000_000})
		old := make([]byte, 2_000_000)
		for _, r := range have {
			copy(old[r.Off:r.End], whole[r.Off:r.End])
		}
		write(t, b, "ranges", old)
		src, dst := w.dial(a), w.dial(b)
		// A file before and after: REST must count for its own file alone.
		out := move(t, src, dst, gridftp.Options{Parallelism: 2},
			gridftp.File{Source: a.Path("whole"), Dest: b.Path("before"), Size: size},
			gridftp.File{Source: a.Path("whole"), Dest: b.Path("ranges"), Size: size, Have: have},
			gridftp.File{Source: a.Path("whole"), Dest: b.Path("after"), Size: size})
		for _, name := range []string{"before", "ranges", "after"} {
			want(t, b.Path(name), whole)
		}
		if out[1].Bytes != have.Missing(size).Bytes() {
			t.Errorf("%d bytes were moved, want %d", out[1].Bytes, have.Missing(size).Bytes())
		}
	})
	t.Run("offset in stream mode", func(t *testing.T) {
		write(t, b, "offset", whole[:1_000_000])
		move(t, w.dial(a), w.dial(b), gridftp.Options{Mode: gridftp.Stream},
			gridftp.File{Source: a.Path("whole"), Dest: b.Path("offset"), Size: size, Have: gridftp.NewRangeSet(gridftp.Range{End: 1_000_000})})
		want(t, b.Path("offset"), whole)
	})
	t.Run("parts", func(t *testing.T) {
		var files []gridftp.File
		for off := int64(0); off < size; off += 700_000 {
			files = append(files, gridftp.File{Source: a.Path("whole"), Dest: b.Path("parts"), Size: size, Part: &gridftp.Range{Off: off, End: min(size, off+700_000)}})
		}
		for i, o := range move(t, w.dial(a), w.dial(b), gridftp.Options{Parallelism: 2, Checksum: "MD5"}, files...) {
			part := *files[i].Part
			sum := md5.Sum(whole[part.Off:part.End])
			if o.Bytes != part.Len() || o.DestSum != hex.EncodeToString(sum[:]) || o.SourceSum != o.DestSum {
				t.Errorf("part %v: %+v", part, o)
			}
		}
		want(t, b.Path("parts"), whole)
	})
}

// TestIPv6 moves files where the destination, or both, are reached over IPv6.
func TestIPv6(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("needs IPv6 on the loopback interface:", err)
	} else {
		l.Close()
	}
	w := newWorld(t)
	four := w.server()
	six := globus.NewServer(t, globus.Options{CA: w.ca, Address: "::1"})
	other := globus.NewServer(t, globus.Options{CA: w.ca, Address: "::1"})
	for name, pair := range map[string][2]*globus.Server{"both": {six, other}, "the destination": {four, six}, "the source": {six, four}} {
		t.Run(name, func(t *testing.T) {
			files := mixed(t, pair[0], pair[1], name)
			move(t, w.dial(pair[0]), w.dial(pair[1]), gridftp.Options{}, files...)
			wantMoved(t, files)
		})
	}
}

// TestStriped uses SPAS and SPOR, with the one stripe that a plain server has.
func TestStriped(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	files := mixed(t, a, b, "striped")
	move(t, w.dial(a), w.dial(b), gridftp.Options{Striped: true, Parallelism: 2}, files...)
	wantMoved(t, files)
}

// TestOddNames moves files whose names look like something else.
func TestOddNames(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	var files []gridftp.File
	for i, name := range []string{" lead", "trail ", "two  spaces", "-dash", "semi;colon", "pct%41", "latin\xe4", "iac\xff\xff", "tab\t", `quote"`, `back\slash`, "uml\u00e4ut", "*", "~", "$HOME", strings.Repeat("x", 255)} {
		write(t, a, "odd/"+name, content(i, 100+i))
		files = append(files, gridftp.File{Source: a.Path("odd") + "/" + name, Dest: b.Path("odd") + "/" + name, Size: int64(100 + i)})
	}
	must(t, os.MkdirAll(b.Path("odd"), 0o755))
	move(t, w.dial(a), w.dial(b), gridftp.Options{}, files...)
	wantMoved(t, files)

	src, dst := w.dial(a), w.dial(b)
	err := gridftp.ThirdParty(bounded(t), src, dst, gridftp.Options{}, list([]gridftp.File{{Source: a.Path("x"), Dest: "/a\r\nDELE /b"}}), gridftp.Observer{})
	var bad *gridftp.NameError
	if !errors.As(err, &bad) {
		t.Errorf("a name with a line end gave %v", err)
	}
}

// TestChangedSize moves files that are shorter or longer than was expected.
func TestChangedSize(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	for name, size := range map[string]int64{"grown": 900, "shrunk": 1100, "emptied": 5} {
		t.Run(name, func(t *testing.T) {
			n := 1000
			if name == "emptied" {
				n = 0
			}
			files := mixed(t, a, b, name, 10, n, 10)
			files[1].Size = size
			err := gridftp.ThirdParty(bounded(t), w.dial(a), w.dial(b), gridftp.Options{}, list(files), gridftp.Observer{})
			var failure *gridftp.PipelineError
			var count *gridftp.CountError
			if !errors.As(err, &failure) || !errors.As(err, &count) {
				t.Fatalf("got %v", err)
			}
			if failure.Index != 1 || failure.Done != 1 || count.Have != int64(n) || count.Want != size {
				t.Errorf("got %+v, %+v", failure, count)
			}
		})
	}
}

// TestProgress sees markers of a transfer while it runs.
func TestProgress(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	const size = 6 << 30
	f, err := os.Create(a.Path("big")) // a hole: it costs nothing to read
	must(t, err)
	must(t, f.Truncate(size))
	must(t, f.Close())
	src, dst := w.dial(a), w.dial(b)
	ctx, cancel := context.WithCancel(bounded(t))
	var seen []gridftp.Progress
	err = gridftp.ThirdParty(ctx, src, dst, gridftp.Options{Parallelism: 2, Markers: time.Second},
		list([]gridftp.File{{Source: a.Path("big"), Dest: "/dev/null", Size: size}}),
		gridftp.Observer{Progress: func(p gridftp.Progress) {
			if seen = append(seen, p); len(seen) == 6 {
				cancel()
			}
		}})
	if !errors.Is(err, context.Canceled) && err != nil {
		t.Fatal(err)
	}
	if len(seen) < 3 {
		t.Fatalf("%d markers only", len(seen))
	}
	last := seen[len(seen)-1]
	if last.Bytes <= 0 || last.Bytes > size {
		t.Errorf("the last marker counts %d bytes", last.Bytes)
	}
	if last.Ranges.Bytes() <= 0 {
		t.Errorf("no restart markers came: %+v", seen)
	}
	if err != nil && (src.Err() == nil || dst.Err() == nil) {
		t.Error("cancelling left a session open")
	}
}

// TestInvalidPairs are refused here before the servers see them; beside each
// is what the Globus server says to it.
func TestInvalidPairs(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	src, dst := w.dial(a), w.dial(b)
	for name, o := range map[string]gridftp.Options{
		"protected without authentication": {Auth: gridftp.AuthNone, Prot: gsi.Private},
		"parallel streams":                 {Mode: gridftp.Stream, Parallelism: 2},
		"no such mode":                     {Mode: 'B'},
		"window":                           {Window: 1001},
	} {
		if err := gridftp.ThirdParty(bounded(t), src, dst, o, list(nil), gridftp.Observer{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if src.Err() != nil || dst.Err() != nil {
		t.Error("a refusal on our side cost a session")
	}
}
