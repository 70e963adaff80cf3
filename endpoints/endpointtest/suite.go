// Package endpointtest is the suite that every storage driver runs. It holds
// a driver to the letter of package endpoints: what each call does, which kind
// of error it gives, and what it makes of odd names, ranges, huge directories,
// many callers at once and cancelled contexts. Abilities are tested when the
// storage has them.
package endpointtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Opener opens a storage for one test and names an empty directory in it:
// "" for the root, else a path. The Opener sees to it that both go away. Where
// no directory may be empty (Caps.NoEmptyDirs), it names one that is not there.
type Opener func(t *testing.T) (s endpoints.Storage, dir string)

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		run  func(*place)
	}{
		{"Caps", testCaps},
		{"EmptyFile", testEmptyFile},
		{"WriteAndRead", testWriteAndRead},
		{"ReadRanges", testReadRanges},
		{"Overwrite", testOverwrite},
		{"WriteRanges", testWriteRanges},
		{"Exclusive", testExclusive},
		{"Abort", testAbort},
		{"Missing", testMissing},
		{"WrongSort", testWrongSort},
		{"Mkdir", testMkdir},
		{"Rename", testRename},
		{"Remove", testRemove},
		{"List", testList},
		{"ListPages", testListPages},
		{"OddNames", testOddNames},
		{"InvalidPaths", testInvalidPaths},
		{"Canceled", testCanceled},
		{"CanceledMidway", testCanceledMidway},
		{"Concurrent", testConcurrent},
		{"Close", testClose},
		{"Checksums", testChecksums},
		{"Times", testTimes},
		{"Modes", testModes},
		{"Links", testLinks},
		{"Free", testFree},
		{"Check", testCheck},
		{"ThirdParty", func(p *place) { testThirdParty(p, open) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := open(t)
			// A driver that hangs must fail the test that it hangs in.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c.run(&place{T: t, Storage: s, ctx: ctx, dir: strings.TrimSuffix(dir, "/")})
		})
	}
}

// place is a storage with the helpers that tests of it want.
type place struct {
	*testing.T
	endpoints.Storage
	ctx context.Context
	dir string
}

func (p *place) path(name string) string { return p.dir + "/" + name }

func (p *place) ok(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// wantKind fails unless err is a *fault.Error of one of the kinds.
func (p *place) wantKind(what string, err error, kinds ...fault.Kind) {
	p.Helper()
	var fe *fault.Error
	if !errors.As(err, &fe) {
		p.Errorf("%s: got %v, want a *fault.Error of kind %v", what, err, kinds)
		return
	}
	for _, k := range kinds {
		if fe.Kind == k {
			return
		}
	}
	p.Errorf("%s: got %s (%v), want %v", what, fe.Kind, err, kinds)
}

func (p *place) put(name string, data []byte) {
	p.Helper()
	p.ok(p.write(name, data, endpoints.CreateOptions{Size: int64(len(data))}))
}

func (p *place) write(name string, data []byte, opts endpoints.CreateOptions) error {
	w, err := p.Create(p.ctx, p.path(name), opts)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func (p *place) read(name string, offset, length int64) ([]byte, error) {
	r, err := p.Open(p.ctx, p.path(name), offset, length)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

func (p *place) wantContent(name string, want []byte) {
	p.Helper()
	got, err := p.read(name, 0, -1)
	p.ok(err)
	if !bytes.Equal(got, want) {
		p.Errorf("%q holds %s, want %s", name, describe(got), describe(want))
	}
}

func (p *place) mkdir(name string) {
	p.Helper()
	p.ok(p.Mkdir(p.ctx, p.path(name)))
}

// rmdir removes a directory that has become empty, which may be to be gone.
func (p *place) rmdir(name string) {
	p.Helper()
	err := p.Remove(p.ctx, p.path(name))
	if p.Caps().NoEmptyDirs {
		p.wantKind("remove a directory that went with what was in it", err, fault.NotFound)
		return
	}
	p.ok(err)
}

// list lists a directory. One that may not be empty is gone when it is.
func (p *place) list(name string) map[string]endpoints.Entry {
	p.Helper()
	path := p.dir
	if name != "" {
		path = p.path(name)
	}
	if path == "" {
		path = "/"
	}
	got := map[string]endpoints.Entry{}
	err := p.List(p.ctx, path, func(page []endpoints.Entry) error {
		for _, e := range page {
			if _, twice := got[e.Name]; twice {
				p.Errorf("%q is listed twice", e.Name)
			}
			got[e.Name] = e
		}
		return nil
	})
	if !p.Caps().NoEmptyDirs || !fault.Is(err, fault.NotFound) {
		p.ok(err)
	}
	return got
}

// noise returns n bytes that hold no pattern a driver could get right by luck.
func noise(n int, seed uint64) []byte {
	rnd := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func describe(b []byte) string {
	if len(b) <= 32 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%d bytes beginning with %q", len(b), b[:16])
}
