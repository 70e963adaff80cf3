package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
)

// until reads replies up to one that is not preliminary.
func (c *script) until() gridftp.Reply {
	c.t.Helper()
	r := c.reply()
	for r.Preliminary() {
		r = c.reply()
	}
	return r
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func TestPipelinedCommandsAreAnsweredInOrder(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	var lines []string
	for i := range 500 {
		lines = append(lines, fmt.Sprintf("MKD d%d", i), fmt.Sprintf("SIZE n%d", i))
	}
	c.send(lines...)
	for i := range 500 {
		c.expect(fmt.Sprintf(`257 "/d%d"`, i))
		if r := c.expect("550"); !strings.Contains(r.Text(), fmt.Sprintf("stat /n%d;", i)) {
			t.Fatalf("reply %d is %v", i, r)
		}
	}
}

// elsewhere is an address that is not the client's, as another server has.
var elsewhere = netip.MustParseAddr("127.0.0.2")

// TestARefusedFileNeverTakesTheNextOnesBytes is the server's part of what keeps
// files apart in pipelined third-party transfers: the destination refuses one
// of many, the source knows nothing of that and sends on.
func TestARefusedFileNeverTakesTheNextOnesBytes(t *testing.T) {
	const files = 6
	all := newIdentities(t)
	for refused := range files {
		t.Run(fmt.Sprint("the destination refuses number ", refused), func(t *testing.T) {
			w := newWorld(t)
			c := w.login()
			c.do("MODE E", "200")
			if err := os.Mkdir(filepath.Join(w.root, fmt.Sprint("f", refused)), 0o755); err != nil {
				t.Fatal(err)
			}
			out := data.NewActive(data.Network{}, elsewhere, c.sender().Addr())
			defer out.Close()
			var lines []string
			for i := range files {
				lines = append(lines, fmt.Sprint("STOR f", i))
			}
			c.send(lines...)
			go func() {
				for i := range files {
					source := data.NewStreamSource(strings.NewReader(fmt.Sprint("content of f", i)), 0)
					if _, err := out.Send(context.Background(), source, data.Config{}, data.SendOptions{}); err != nil {
						return
					}
				}
			}()
			for i := range files {
				r := c.until()
				if i < refused != r.Positive() {
					t.Errorf("number %d was answered %v", i, r)
				}
				if i < refused {
					w.want(fmt.Sprint("f", i), fmt.Sprint("content of f", i))
				} else if b, err := os.ReadFile(filepath.Join(w.root, fmt.Sprint("f", i))); err == nil && len(b) > 0 {
					t.Errorf("f%d was refused and holds %q", i, b)
				}
			}
			c.sender()
			c.do("NOOP", "200") // the session goes on
		})
		t.Run(fmt.Sprint("the source refuses number ", refused), func(t *testing.T) {
			w := all.world(t)
			for i := range files {
				if i != refused {
					w.write(fmt.Sprint("f", i), fmt.Sprint("content of f", i))
				}
			}
			c := w.secure(gsi.ClientConfig{}) // others may have data sent to themselves only
			c.do("MODE E", "200")
			c.do("DCAU N", "200")
			in := c.activeAt(elsewhere)
			var lines []string
			for i := range files {
				lines = append(lines, fmt.Sprint("RETR f", i))
			}
			c.send(lines...)
			for i := range files {
				var sink collector
				var config data.Config
				if i >= refused { // nothing comes, which only time tells
					config = data.Config{Connect: 300 * time.Millisecond, Stall: 300 * time.Millisecond}
				}
				_, err := in.Receive(t.Context(), &sink, config, data.ReceiveOptions{})
				if (err == nil) != (i < refused) {
					t.Errorf("number %d arrived with %v, as %q", i, err, sink.b)
				}
				if i < refused && string(sink.b) != fmt.Sprint("content of f", i) {
					t.Errorf("number %d arrived as %q", i, sink.b)
				}
				if len(sink.b) > 0 && i >= refused {
					t.Errorf("the place of number %d was taken by %q", i, sink.b)
				}
				r := c.reply()
				for r.Preliminary() {
					r = c.reply()
				}
				if r.Positive() != (i < refused) {
					t.Errorf("number %d was answered %v", i, r)
				}
			}
		})
	}
}

// TestTheClientsOwnChannelOutlivesARefusal shows the other case: a client that
// is itself the other end knows what was refused, and goes on.
func TestTheClientsOwnChannelOutlivesARefusal(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.do("MODE E", "200")
	c.do("MKD d", "257")
	out := c.sender()
	for i, name := range []string{"a", "d", "b"} {
		c.send("STOR " + name)
		r := c.reply()
		if name == "d" {
			if r.Code != 550 {
				t.Errorf("the server said %v", r)
			}
			continue
		}
		if want := []int{150, 0, 125}[i]; r.Code != want {
			t.Fatalf("the server said %v, want %d", r, want)
		}
		if _, err := out.Send(t.Context(), data.NewStreamSource(strings.NewReader(name), 0), data.Config{}, data.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		c.expect("111")
		c.expect("226")
		w.want(name, name)
	}
}

func TestAFullPipelineIsRefused(t *testing.T) {
	w := newWorld(t, func(c *server.Config) { c.Limits.Pipeline = 10 })
	w.write("f", "x")
	w.dir.hold = make(chan struct{})
	c := w.login()
	c.send(append([]string{"CKSM MD5 0 -1 f"}, strings.Split(strings.Repeat("NOOP ", 30), " ")[:30]...)...)
	full := 0
	for range 31 {
		if r := c.reply(); r.String() == "500 Pipeline queue full." {
			if full++; full == 20 { // the refusals come before the answers
				close(w.dir.hold)
			}
		} else if !r.Positive() {
			t.Errorf("the server said %v", r)
		}
	}
	if full < 20 || full > 21 { // the checksum may take one of the places
		t.Errorf("%d of 31 commands were refused, with room for 10", full)
	}
	// An ABOR that found no room stops what runs, and nothing after it.
	w.dir.hold = make(chan struct{})
	c.send(append([]string{"CKSM MD5 0 -1 f"}, append(strings.Split(strings.Repeat("NOOP ", 30), " ")[:30], "ABOR")...)...)
	full = 0
	for range 32 {
		if r := c.reply(); r.String() == "500 Pipeline queue full." {
			if full++; full == 20 { // ABOR may have come before the checksum began
				close(w.dir.hold)
			}
		}
	}
	c.put("STOR g", "x")
}

func TestAbort(t *testing.T) {
	w := newWorld(t)
	w.write("f", "x")
	c := w.login()
	conn := c.passive()
	c.send("STOR g")
	if _, err := io.WriteString(conn, "partial"); err != nil {
		t.Fatal(err)
	}
	c.expect("150")
	c.send("STOR h", "\xff\xf4\xff\xf2ABOR", "NOOP")
	c.expect("426")
	c.expect("425") // its data channel went with the other
	c.expect("226 Abort successful")
	c.expect("200")
	if _, err := os.Stat(filepath.Join(w.root, "h")); err == nil {
		t.Error("a STOR that waited behind the one that was aborted made a file")
	}
	w.dir.hold = make(chan struct{})
	c.send("CKSM MD5 0 -1 f", "ABOR")
	c.expect("426")
	c.expect("226")
}

func TestAClientThatGoesEndsItsTransfer(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	conn := c.passive()
	c.send("STOR f")
	if _, err := io.WriteString(conn, "partial"); err != nil {
		t.Fatal(err)
	}
	c.expect("150")
	c.conn.Close()
	eventually(t, "an entry in the transfer log", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.transfers) == 1 && w.transfers[0].Code == 426
	})
	if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the data connection stays open")
	}
}

func TestLimits(t *testing.T) {
	t.Run("before the login", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.PreAuth = 50 * time.Millisecond })
		c := w.dial()
		c.expect("421")
		c.closed()
	})
	t.Run("idle", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.Idle = 50 * time.Millisecond })
		c := w.dial() // a login may take a busy machine longer
		c.expect("421 Idle Timeout")
		c.closed()
	})
	t.Run("sessions", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.Sessions = 2 })
		first := w.dial()
		w.dial()
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "421 Too many connections") {
			t.Errorf("the third was told %q, %v", b, err)
		}
		first.do("QUIT", "221")
		first.closed()
		eventually(t, "a free place", func() bool {
			conn, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			greeting, err := bufio.NewReader(conn).ReadString('\n')
			return err == nil && strings.HasPrefix(greeting, "220 ")
		})
	})
	t.Run("line", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.Line = 100 })
		c := w.dial()
		c.do("USER "+strings.Repeat("x", 90), "331")
		c.send("USER " + strings.Repeat("x", 1000))
		c.expect("500")
		c.closed()
	})
	t.Run("passwords", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) {
			c.Anonymous = false
			c.Password = func(user, password string) bool { return user == "ada" && password == "ferry" }
		})
		c := w.dial()
		for range 3 {
			c.do("USER ada", "331")
			c.do("PASS wrong", "530")
		}
		c.closed()
		c = w.dial()
		c.do("USER anonymous", "331")
		c.do("PASS x", "530")
		c.do("USER ada", "331")
		c.do("PASS ferry", "230")
	})
	t.Run("connections", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.DataConns = 2 })
		c := w.login()
		c.do("MODE E", "200")
		out := c.sender()
		c.send("STOR f")
		go func() {
			_, _ = out.Send(context.Background(), data.NewStreamSource(strings.NewReader("x"), 0), data.Config{}, data.SendOptions{Parallelism: 5})
		}()
		if r := c.until(); r.Code != 426 || !strings.Contains(r.Text(), "too many data connections") {
			t.Errorf("the server said %v", r)
		}
	})
	t.Run("a data connection that nobody makes", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.Connect = 50 * time.Millisecond })
		c := w.login()
		r := c.do("PASV", "227")
		c.send("STOR f")
		addr, err := gridftp.ParsePassive(r)
		if err != nil {
			t.Fatal(err)
		}
		if r := c.until(); r.Code != 425 || !strings.Contains(r.Text(), "accept on "+addr.String()) {
			t.Errorf("the server said %v", r)
		}
	})
	t.Run("a transfer that stands still", func(t *testing.T) {
		w := newWorld(t, func(c *server.Config) { c.Limits.Stall = 100 * time.Millisecond })
		c := w.login()
		c.passive()
		c.send("STOR f")
		if r := c.until(); r.Code != 426 || !strings.Contains(r.Text(), "nothing moved") {
			t.Errorf("the server said %v", r)
		}
	})
}

func TestReaders(t *testing.T) {
	for name, edit := range map[string]func(*server.Config){
		"anonymous": func(c *server.Config) { c.AnonymousWrites = false },
		"everybody": func(c *server.Config) { c.ReadOnly = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, edit)
			w.write("f", "hello")
			c := w.login()
			for _, line := range []string{
				"STOR f", "APPE f", "ESTO A 0 f", "DELE f", "MKD d", "RMD d", "RNFR f", "RNTO g", "MFMT 20200101000000 f",
				"SITE CHMOD 777 f", "SITE UTIME 20200101000000 f", "SITE RDEL f", "SITE SYMLINKFROM f", "SITE SYMLINKTO g",
			} {
				c.do(line, "550 GlobusError: v=1 c=PERMISSION_DENIED")
			}
			if got := c.fetch("RETR f"); got != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestShutdownLetsTransfersFinish(t *testing.T) {
	w := newWorld(t)
	busy, idle := w.login(), w.login()
	conn := busy.passive()
	busy.send("STOR f", "NOOP")
	if _, err := io.WriteString(conn, "first "); err != nil {
		t.Fatal(err)
	}
	busy.expect("150")
	done := make(chan error, 1)
	go func() { done <- w.server.Shutdown(context.Background()) }()
	idle.expect("421 The server is shutting down.")
	idle.closed()
	if c, err := net.Dial("tcp", w.addr); err == nil {
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if b, _ := io.ReadAll(c); strings.HasPrefix(string(b), "220") {
			t.Error("a session was accepted after Shutdown")
		}
		c.Close()
	}
	if _, err := io.WriteString(conn, "second"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	busy.expect("226")
	busy.expect("421") // and not the NOOP that waited
	busy.closed()
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.want("f", "first second")
}

func TestShutdownThatTakesTooLongEndsTransfers(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.passive()
	c.send("STOR f")
	c.expect("150")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := w.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown ended with %v", err)
	}
	c.expect("426")
}

func TestChecksumSignsOfLife(t *testing.T) {
	w := newWorld(t)
	w.dir.hold = make(chan struct{})
	w.write("f", "x")
	c := w.login()
	c.do("OPTS CKSM markers=1;", "200")
	c.send("CKSM MD5 0 -1 f")
	c.expect("113 Status Marker")
	close(w.dir.hold)
	if r := c.until(); r.Code != 213 {
		t.Errorf("the server said %v", r)
	}
	c.do("OPTS CKSM markers=soon;", "501")
}

func TestConfigurationsThatCannotServe(t *testing.T) {
	d, _ := newDir(t)
	for _, test := range []struct {
		config server.Config
		want   string
	}{
		{server.Config{}, "nothing to serve"},
		{server.Config{Files: d}, "nobody could log in"},
	} {
		if _, err := server.New(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}
