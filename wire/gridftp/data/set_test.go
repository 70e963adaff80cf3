package data

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// memory is a file to receive into.
type memory struct {
	mu    sync.Mutex
	bytes []byte
	wrote []Range
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := int(off) + len(p); end > len(m.bytes) {
		m.bytes = append(m.bytes, make([]byte, end-len(m.bytes))...)
	}
	copy(m.bytes[off:], p)
	m.wrote = append(m.wrote, Range{off, off + int64(len(p))})
	return len(p), nil
}

// pair returns a Set that listens and one that dials it.
func pair(t testing.TB) (passive, active *Set) {
	t.Helper()
	l, err := Network{}.Listen(t.Context(), loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	passive = NewPassive(l)
	active = NewActive(Network{}, loopback, l.Addr())
	t.Cleanup(func() { passive.Close(); active.Close() })
	return passive, active
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func tempFile(t testing.TB, content []byte) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// move sends one file in extended block mode and returns what arrived.
func move(t testing.TB, passive, active *Set, source Source, config Config, o SendOptions) []byte {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := active.Send(t.Context(), source, config, o)
		sent <- err
	}()
	var sink memory
	n, err := passive.Receive(t.Context(), &sink, config, ReceiveOptions{})
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	var written int64
	for _, r := range sink.wrote {
		written += r.End - r.Off
	}
	if written != n {
		t.Errorf("received %d bytes, wrote %d", n, written)
	}
	return sink.bytes
}

func securities(t testing.TB) map[string]Config {
	ca := gsitest.NewCA(t)
	user := ca.Proxy(ca.User("ada"))
	configs := map[string]Config{"DCAU N": {}}
	for _, prot := range []gsi.Protection{gsi.Clear, gsi.Safe, gsi.Private} {
		for name, version := range map[string]gsi.Version{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
			configs[fmt.Sprintf("DCAU A PROT %c TLS %s", prot, name)] = Config{Security: &gsi.DataConfig{
				Credential: user, Trust: ca.Trust(), Prot: prot, MinVersion: version, MaxVersion: version,
			}}
		}
	}
	return configs
}

func TestExtendedBlockMode(t *testing.T) {
	content := randomBytes(3<<20 + 17)
	for name, config := range securities(t) {
		t.Run(name, func(t *testing.T) {
			passive, active := pair(t)
			for _, size := range []int{0, 1, 1000, 256 << 10, len(content)} {
				for _, parallelism := range []int{1, 4} {
					want := content[:size]
					o := SendOptions{Parallelism: parallelism}
					file := NewFileSource(tempFile(t, want), Range{0, int64(size)})
					if got := move(t, passive, active, file, config, o); !bytes.Equal(got, want) {
						t.Errorf("%d bytes of a file over %d: something else arrived", size, parallelism)
					}
					stream := NewStreamSource(iotest.HalfReader(bytes.NewReader(want)), 0)
					if got := move(t, passive, active, stream, config, o); !bytes.Equal(got, want) {
						t.Errorf("%d bytes of a stream over %d: something else arrived", size, parallelism)
					}
				}
			}
			if active.Connected() != 4 || passive.Connected() != 4 {
				t.Errorf("%d and %d connections are open, want the four that were used kept", active.Connected(), passive.Connected())
			}
			o := SendOptions{Close: true}
			if got := move(t, passive, active, NewFileSource(bytes.NewReader(content), Range{0, 5}), config, o); !bytes.Equal(got, content[:5]) {
				t.Errorf("closing: %q arrived", got)
			}
			if active.Connected() != 0 || passive.Connected() != 0 {
				t.Errorf("%d and %d connections are open after CLOSE", active.Connected(), passive.Connected())
			}
		})
	}
}

func TestStreamMode(t *testing.T) {
	content := randomBytes(2<<20 + 5)
	for name, config := range securities(t) {
		t.Run(name, func(t *testing.T) {
			passive, active := pair(t)
			for _, size := range []int{0, 1, len(content)} {
				want := content[:size]
				for _, ways := range [][2]*Set{{active, passive}, {passive, active}} {
					sent := make(chan error, 1)
					source := NewFileSource(tempFile(t, want), Range{0, int64(size)})
					go func() {
						_, err := ways[0].SendStream(t.Context(), source, config, nil)
						sent <- err
					}()
					var sink memory
					n, err := ways[1].ReceiveStream(t.Context(), &sink, 0, config, ReceiveOptions{})
					if err := errors.Join(err, <-sent); err != nil {
						t.Fatal(err)
					}
					if n != int64(size) || !bytes.Equal(sink.bytes, want) {
						t.Errorf("%d bytes: something else arrived", size)
					}
				}
			}
		})
	}
}

func TestOnlyTheRangesAskedFor(t *testing.T) {
	content := randomBytes(1 << 20)
	passive, active := pair(t)
	ranges := []Range{{10, 20}, {30, 30}, {300_000, 900_000}}
	for name, r := range map[string]io.ReaderAt{"file": tempFile(t, content), "memory": bytes.NewReader(content)} {
		got := move(t, passive, active, NewFileSource(r, ranges...), Config{}, SendOptions{Parallelism: 3, Block: 100_000})
		want := make([]byte, 900_000)
		for _, rg := range ranges {
			copy(want[rg.Off:rg.End], content[rg.Off:rg.End])
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: something other than the ranges arrived", name)
		}
	}
}

func TestReceivingIntoAStream(t *testing.T) {
	content := randomBytes(5 << 20)
	passive, active := pair(t)
	sent := make(chan error, 1)
	go func() {
		_, err := active.Send(t.Context(), NewFileSource(tempFile(t, content), Range{0, int64(len(content))}), Config{}, SendOptions{Parallelism: 4})
		sent <- err
	}()
	var out bytes.Buffer
	ordered := NewOrdered(&out, 0, 8<<20)
	_, err := passive.Receive(t.Context(), ordered, Config{}, ReceiveOptions{})
	if err := errors.Join(err, ordered.Close(), <-sent); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), content) {
		t.Error("the stream is not the file")
	}
}

func TestProgressAddsUp(t *testing.T) {
	content := randomBytes(2 << 20)
	passive, active := pair(t)
	var mu sync.Mutex
	var sent, received int64
	count := func(total *int64) func(Range) {
		return func(r Range) {
			mu.Lock()
			defer mu.Unlock()
			*total += r.End - r.Off
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := active.Send(t.Context(), NewFileSource(tempFile(t, content), Range{0, int64(len(content))}), Config{}, SendOptions{Parallelism: 2, Progress: count(&sent)})
		done <- err
	}()
	_, err := passive.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{Progress: count(&received)})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	if want := int64(len(content)); sent != want || received != want {
		t.Errorf("heard of %d sent and %d received, want %d", sent, received, want)
	}
}

// scripted dials a passive Set and writes bytes of the test's choice.
func scripted(t *testing.T, passive *Set) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", passive.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, h Header, body string) {
	t.Helper()
	if _, err := c.Write(append(h.Append(nil), body...)); err != nil {
		t.Fatal(err)
	}
}

func TestReceiveFails(t *testing.T) {
	short := Config{Stall: 200 * time.Millisecond, MaxConns: 2}
	for name, test := range map[string]struct {
		config Config
		script func(t *testing.T, passive *Set)
		want   error
	}{
		"nobody comes": {Config{Connect: 200 * time.Millisecond}, func(*testing.T, *Set) {}, ErrNoConnection},
		"a block is cut": {Config{}, func(t *testing.T, s *Set) {
			c := scripted(t, s)
			send(t, c, Header{Count: 10}, "half")
			c.Close()
		}, ErrTruncated},
		"an end of data is missing": {Config{}, func(t *testing.T, s *Set) {
			c := scripted(t, s)
			send(t, c, Header{Count: 4}, "full")
			c.Close()
		}, ErrTruncated},
		"one of two never ends": {short, func(t *testing.T, s *Set) {
			send(t, scripted(t, s), Header{Flags: FlagEOD | FlagEOF, Offset: 2}, "")
		}, ErrStalled},
		"silence": {short, func(t *testing.T, s *Set) { scripted(t, s) }, ErrStalled},
		"more connections than allowed": {Config{MaxConns: 2}, func(t *testing.T, s *Set) {
			for range 3 {
				scripted(t, s)
			}
		}, ErrTooMany},
		"more ends of data than allowed": {Config{MaxConns: 2}, func(t *testing.T, s *Set) {
			send(t, scripted(t, s), Header{Flags: FlagEOD | FlagEOF, Offset: 3}, "")
		}, ErrTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			passive, _ := pair(t)
			test.script(t, passive)
			_, err := passive.Receive(t.Context(), &memory{}, test.config, ReceiveOptions{})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if !passive.Closed() {
				t.Error("the set is still open after a failure")
			}
		})
	}
}

func TestReceiveRefusesBytesBeyondTheLimit(t *testing.T) {
	passive, _ := pair(t)
	send(t, scripted(t, passive), Header{Count: 10, Offset: 95}, "0123456789")
	var protocol *ProtocolError
	if _, err := passive.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{MaxOffset: 100}); !errors.As(err, &protocol) {
		t.Fatalf("got %v, want a ProtocolError", err)
	}
}

func TestAHeaderMayComeInPieces(t *testing.T) {
	passive, _ := pair(t)
	c := scripted(t, passive)
	idle := scripted(t, passive)
	head := Header{Flags: FlagEOD | FlagEOF, Offset: 1}.Append(nil)
	if _, err := idle.Write(head[:7]); err != nil {
		t.Fatal(err)
	}
	send(t, c, Header{Count: 1}, "a")
	send(t, c, Header{Flags: FlagEOD | FlagEOF, Offset: 1}, "")
	if _, err := passive.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{}); err != nil {
		t.Fatal(err)
	}
	// What the second connection had begun belongs to the next file.
	if _, err := idle.Write(head[7:]); err != nil {
		t.Fatal(err)
	}
	if _, err := passive.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestACanceledContextEndsATransfer(t *testing.T) {
	passive, _ := pair(t)
	scripted(t, passive)
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(reason) })
	if _, err := passive.Receive(ctx, &memory{}, Config{}, ReceiveOptions{}); !errors.Is(err, reason) {
		t.Fatalf("got %v", err)
	}
}

func TestCloseEndsATransfer(t *testing.T) {
	passive, _ := pair(t)
	scripted(t, passive)
	time.AfterFunc(10*time.Millisecond, func() { passive.Close() })
	if _, err := passive.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{}); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestASendingThatNobodyReadsStalls(t *testing.T) {
	l, err := Network{}.Listen(t.Context(), loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	active := NewActive(Network{}, loopback, l.Addr())
	endless := NewStreamSource(zeros{}, 0)
	if _, err := active.Send(t.Context(), endless, Config{Stall: 200 * time.Millisecond}, SendOptions{}); !errors.Is(err, ErrStalled) {
		t.Fatalf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAFileThatShrinksFailsItsSending(t *testing.T) {
	for name, source := range map[string]*FileSource{
		"by the kernel": NewFileSource(tempFile(t, make([]byte, 100_000)), Range{0, 200_000}),
		"by reading":    NewFileSource(bytes.NewReader(make([]byte, 100_000)), Range{0, 200_000}),
	} {
		t.Run(name, func(t *testing.T) {
			passive, active := pair(t)
			received := make(chan error, 1)
			go func() {
				_, err := passive.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{})
				received <- err
			}()
			_, err := active.Send(t.Context(), source, Config{}, SendOptions{})
			var sourceErr *SourceError
			if !errors.As(err, &sourceErr) || !errors.Is(err, ErrTruncatedFile) {
				t.Errorf("the sender got %v", err)
			}
			if err := <-received; err == nil {
				t.Error("the receiver took it for a whole file")
			}
		})
	}
}

func TestTheWrongWayRound(t *testing.T) {
	passive, active := pair(t)
	if _, err := passive.Send(t.Context(), NewFileSource(bytes.NewReader(nil)), Config{}, SendOptions{}); !errors.Is(err, ErrDirection) {
		t.Errorf("sending over a listener: got %v", err)
	}
	if _, err := active.Receive(t.Context(), &memory{}, Config{}, ReceiveOptions{}); !errors.Is(err, ErrDirection) {
		t.Errorf("receiving over a dialler: got %v", err)
	}
}

func TestAStrangerIsRefused(t *testing.T) {
	ca := gsitest.NewCA(t)
	config := func(name string) Config {
		return Config{Security: &gsi.DataConfig{Credential: ca.Proxy(ca.User(name)), Trust: ca.Trust(), Prot: gsi.Clear}}
	}
	passive, active := pair(t)
	sent := make(chan error, 1)
	go func() {
		_, err := active.Send(t.Context(), NewStreamSource(bytes.NewReader([]byte("x")), 0), config("mallory"), SendOptions{})
		sent <- err
	}()
	_, err := passive.Receive(t.Context(), &memory{}, config("ada"), ReceiveOptions{})
	sendErr := <-sent
	if err == nil || sendErr == nil {
		t.Fatalf("the receiver got %v, the sender %v: both should fail", err, sendErr)
	}
	// Whichever side refuses first tells the other by a TLS alert.
	var refused *gsi.TrustError
	if !errors.As(errors.Join(err, sendErr), &refused) || refused.Reason != gsi.ReasonIdentity {
		t.Fatalf("got %v and %v, want a refusal of the identity", err, sendErr)
	}
}

func TestOverIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("needs IPv6 on the loopback interface: %v", err)
	}
	l.Close()
	listener, err := Network{}.Listen(t.Context(), l.Addr().(*net.TCPAddr).AddrPort().Addr(), 0)
	if err != nil {
		t.Fatal(err)
	}
	passive := NewPassive(listener)
	active := NewActive(Network{}, listener.Addr().Addr(), listener.Addr())
	defer passive.Close()
	defer active.Close()
	if got := move(t, passive, active, NewStreamSource(bytes.NewReader([]byte("six")), 0), Config{}, SendOptions{}); string(got) != "six" {
		t.Errorf("got %q", got)
	}
}

func BenchmarkSmallFiles(b *testing.B) {
	passive, active := pair(b)
	content := tempFile(b, randomBytes(1024))
	for b.Loop() {
		move(b, passive, active, NewFileSource(content, Range{0, 1024}), Config{}, SendOptions{})
	}
}

func BenchmarkLargeFile(b *testing.B) {
	passive, active := pair(b)
	const size = 256 << 20
	source := tempFile(b, randomBytes(size))
	target, err := os.Create(filepath.Join(b.TempDir(), "out"))
	if err != nil {
		b.Fatal(err)
	}
	defer target.Close()
	b.SetBytes(size)
	for b.Loop() {
		go func() {
			_, _ = active.Send(b.Context(), NewFileSource(source, Range{0, size}), Config{}, SendOptions{Parallelism: 2})
		}()
		if _, err := passive.Receive(b.Context(), target, Config{}, ReceiveOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
