package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A memory is a file in memory.
type memory struct {
	mu sync.Mutex
	b  []byte
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := off + int64(len(p)); end > int64(len(m.b)) {
		m.b = append(m.b, make([]byte, end-int64(len(m.b)))...)
	}
	copy(m.b[off:], p)
	return len(p), nil
}

func source(b []byte) data.Source {
	return data.NewFileSource(bytes.NewReader(b), data.Range{Off: 0, End: int64(len(b))})
}

// TestGetPutMatrix puts files and gets them back under every valid combination
// of mode, authentication and protection.
func TestGetPutMatrix(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	for _, delegation := range []gridftp.Delegation{gridftp.DelegateAuto, gridftp.DelegateAlways} {
		c := w.dial(s, func(c *gridftp.Config) { c.Delegation = delegation })
		for _, o := range []gridftp.TransferOptions{
			{Auth: gridftp.AuthNone, Prot: gsi.Clear},
			{Auth: gridftp.AuthSelf, Prot: gsi.Clear},
			{Auth: gridftp.AuthSelf, Prot: gsi.Safe},
			{Auth: gridftp.AuthSelf, Prot: gsi.Private},
		} {
			for mode, parallelism := range map[gridftp.Mode]int{gridftp.Stream: 1, gridftp.ExtendedBlock: 3} {
				name := fmt.Sprintf("DCAU %s PROT %c MODE %c delegation %q", o.Auth, o.Prot, mode, delegation)
				t.Run(name, func(t *testing.T) {
					o := o
					o.Mode, o.Parallelism = mode, parallelism
					for i, size := range []int{0, 1, 70_000, 3_000_000} {
						path := s.Path(fmt.Sprintf("%s %d", name, i))
						whole := content(i, size)
						n, err := c.Put(bounded(t), gridftp.Transfer{Path: path, Source: source(whole), Size: int64(size)}, o)
						if err != nil || n != int64(size) {
							t.Fatalf("put %d bytes: %d, %v", size, n, err)
						}
						want(t, path, whole)
						var got memory
						n, err = c.Get(bounded(t), gridftp.Transfer{Path: path, Sink: &got}, o)
						if err != nil || n != int64(size) || !bytes.Equal(got.b, whole) {
							t.Fatalf("got %d of %d bytes, %v", n, size, err)
						}
					}
				})
			}
		}
	}
}

// TestGetPutParts moves parts of files in both modes, and what is missing.
func TestGetPutParts(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	c := w.dial(s)
	whole := content(1, 1_000_000)
	write(t, s, "whole", whole)
	for mode, parallelism := range map[gridftp.Mode]int{gridftp.Stream: 1, gridftp.ExtendedBlock: 2} {
		t.Run(string(mode), func(t *testing.T) {
			o := gridftp.TransferOptions{Mode: mode, Parallelism: parallelism}
			part := gridftp.Range{Off: 300_000, End: 800_000}
			var got memory
			n, err := c.Get(bounded(t), gridftp.Transfer{Path: s.Path("whole"), Sink: &got, Part: &part}, o)
			if err != nil || n != part.Len() || !bytes.Equal(got.b[part.Off:], whole[part.Off:part.End]) {
				t.Errorf("part: %d bytes, %v", n, err)
			}
			got = memory{}
			n, err = c.Get(bounded(t), gridftp.Transfer{Path: s.Path("whole"), Sink: &got, Have: gridftp.NewRangeSet(gridftp.Range{End: 600_000})}, o)
			if err != nil || n != 400_000 || !bytes.Equal(got.b[600_000:], whole[600_000:]) {
				t.Errorf("rest: %d bytes, %v", n, err)
			}
			name := "part " + string(mode)
			write(t, s, name, bytes.Repeat([]byte("x"), 1_000_000))
			n, err = c.Put(bounded(t), gridftp.Transfer{Path: s.Path(name), Part: &part, Size: part.Len(),
				Source: data.NewFileSource(bytes.NewReader(whole), data.Range(part))}, o)
			if err != nil || n != part.Len() {
				t.Errorf("put part: %d bytes, %v", n, err)
			}
			wanted := bytes.Repeat([]byte("x"), 1_000_000)
			copy(wanted[part.Off:part.End], whole[part.Off:part.End])
			want(t, s.Path(name), wanted)
		})
	}
	if c.Err() != nil {
		t.Error(c.Err())
	}
}

// TestPipelinedGetPut sends commands ahead, with files that the server refuses
// in between: every other file gets through, and the session stays.
func TestPipelinedGetPut(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	const n = 120
	refused := func(i int) bool { return i%7 == 0 || i == n-1 }
	for mode, parallelism := range map[gridftp.Mode]int{gridftp.Stream: 1, gridftp.ExtendedBlock: 2} {
		t.Run(string(mode), func(t *testing.T) {
			c := w.dial(s)
			o := gridftp.TransferOptions{Mode: mode, Parallelism: parallelism, Window: 30}
			must(t, os.MkdirAll(s.Path(string(mode)), 0o755))
			path := func(i int) string {
				if refused(i) {
					return s.Path(fmt.Sprintf("%c/none/f%d", mode, i))
				}
				return s.Path(fmt.Sprintf("%c/f%d", mode, i))
			}
			check := func(what string) func(gridftp.Transferred) {
				at := 0
				return func(r gridftp.Transferred) {
					if r.Key != at {
						t.Fatalf("%s: file %d was reported in place of %d", what, r.Key, at)
					}
					at++
					var refusal *gridftp.ReplyError
					if errors.As(r.Err, &refusal) != refused(r.Key) || r.Err != nil && !refused(r.Key) {
						t.Fatalf("%s: file %d: %v", what, r.Key, r.Err)
					}
					if r.Err == nil && r.Bytes != int64(r.Key*10) {
						t.Errorf("%s: file %d: %d bytes", what, r.Key, r.Bytes)
					}
				}
			}
			i := 0
			must(t, c.PutAll(bounded(t), o, func(context.Context) (gridftp.Transfer, bool) {
				i++
				return gridftp.Transfer{Path: path(i - 1), Source: source(content(i-1, (i-1)*10)), Key: i - 1}, i <= n
			}, check("put")))
			i = 0
			sinks := make([]memory, n)
			must(t, c.GetAll(bounded(t), o, func(context.Context) (gridftp.Transfer, bool) {
				i++
				if i > n {
					return gridftp.Transfer{}, false
				}
				return gridftp.Transfer{Path: path(i - 1), Sink: &sinks[i-1], Key: i - 1}, true
			}, check("get")))
			for i := range n {
				if !refused(i) && !bytes.Equal(sinks[i].b, content(i, i*10)) {
					t.Errorf("file %d came back as %d bytes %.40q", i, len(sinks[i].b), sinks[i].b)
				}
			}
			must(t, c.Noop(bounded(t)))
		})
	}
}

// TestStreams reads and writes files as streams.
func TestStreams(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	c := w.dial(s)
	whole := content(1, 2_000_000)
	for _, o := range []gridftp.TransferOptions{{}, {Parallelism: 4}} {
		f, err := c.Create(bounded(t), s.Path("f"), nil, int64(len(whole)), o)
		must(t, err)
		_, err = io.Copy(f, bytes.NewReader(whole))
		must(t, err)
		must(t, f.Commit())
		must(t, f.Abort())
		want(t, s.Path("f"), whole)
		for _, r := range []struct{ off, length, end int64 }{{0, -1, 2_000_000}, {1_500_000, -1, 2_000_000}, {10, 20, 30}, {1_999_990, 100, 2_000_000}} {
			in, err := c.Open(bounded(t), s.Path("f"), r.off, r.length, o)
			must(t, err)
			got, err := io.ReadAll(in)
			if err != nil || !bytes.Equal(got, whole[r.off:r.end]) {
				t.Errorf("%+v: %d bytes, %v", r, len(got), err)
			}
			must(t, in.Close())
		}
		_, err = c.Open(bounded(t), "a\nb", 0, -1, o)
		if err == nil {
			t.Error("a name with a line end was accepted")
		}
		in, err := c.Open(bounded(t), s.Path("none"), 0, -1, o)
		must(t, err)
		_, err = io.ReadAll(in)
		var refusal *gridftp.ReplyError
		if !errors.As(err, &refusal) || !refusal.NotFound() {
			t.Errorf("a missing file gave %v", err)
		}
		must(t, in.Close())
		f, err = c.Create(bounded(t), s.Path("none/f"), nil, -1, o)
		must(t, err)
		_, err = io.Copy(f, bytes.NewReader(whole))
		if err = errors.Join(err, f.Commit()); !errors.As(err, &refusal) || !refusal.NotFound() {
			t.Errorf("a missing folder gave %v", err)
		}
	}
	must(t, c.Noop(bounded(t)))

	in, err := c.Open(bounded(t), s.Path("f"), 0, -1, gridftp.TransferOptions{})
	must(t, err)
	must(t, in.Close()) // before its end
	if c.Err() != nil {
		return
	}
	// The server had sent everything already; what was not read is nobody's.
	in, err = c.Open(bounded(t), s.Path("f"), 10, 20, gridftp.TransferOptions{})
	must(t, err)
	got, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(got, whole[10:30]) {
		t.Errorf("after an unread file: %q, %v", got, err)
	}
	must(t, in.Close())
}

// TestRefusedPut puts a file where there is a directory, and then another
// elsewhere: on the second one's name there must not be the first one's bytes,
// though a sender does not wait for the server's word to begin.
func TestRefusedPut(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	for _, o := range []gridftp.TransferOptions{{Auth: gridftp.AuthNone}, {Auth: gridftp.AuthSelf}} {
		o.Mode = gridftp.ExtendedBlock
		c := w.dial(s)
		for i := range 20 {
			wrong, right := content(2*i, 5000), content(2*i+1, 5000)
			dir := s.Path(fmt.Sprintf("DCAU %s dir %d", o.Auth, i))
			must(t, os.Mkdir(dir, 0o755))
			var refusal *gridftp.ReplyError
			if _, err := c.Put(bounded(t), gridftp.Transfer{Path: dir, Source: source(wrong), Size: 5000}, o); !errors.As(err, &refusal) {
				t.Fatalf("a file was put over a directory: %v", err)
			}
			if c.Err() != nil {
				c = w.dial(s)
			}
			path := s.Path(fmt.Sprintf("DCAU %s file %d", o.Auth, i))
			if _, err := c.Put(bounded(t), gridftp.Transfer{Path: path, Source: source(right), Size: 5000}, o); err != nil {
				t.Fatal(err)
			}
			want(t, path, right)
		}
	}
}
