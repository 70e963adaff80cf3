package gridftp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLostInMidPipeline: when a control connection is lost, at either side and
// in whatever way, the run ends at once, says which side it was, blames no
// file, and calls none done that both sides did not confirm.
func TestLostInMidPipeline(t *testing.T) {
	const n, lostAt = 12, 5
	good := func(verb string) string {
		if verb == "STOR" {
			return stored(10)
		}
		return "125 on\n226 done"
	}
	for how, lose := range map[string]func(s *fakeSession) string{
		"closed": func(s *fakeSession) string { s.Close(); return "-" },
		"reset": func(s *fakeSession) string {
			_ = s.Conn.(*net.TCPConn).SetLinger(0)
			s.Close()
			return "-"
		},
		"in the middle of a reply": func(s *fakeSession) string {
			s.say("226-done")
			s.Close()
			return "-"
		},
		"said 421":     func(*fakeSession) string { return "421 shutting down" },
		"said nothing": func(s *fakeSession) string { s.say("no reply at all"); return "-" },
	} {
		for _, side := range []Side{SourceSide, DestSide} {
			inTime, start, limit := bubble, newPiped, blameGrace+5*time.Second
			if how == "reset" { // which pipes are not
				inTime, start, limit = func(test func(*testing.T)) func(*testing.T) { return test }, newFake, time.Minute
			}
			t.Run(fmt.Sprint(how, "/", side), inTime(func(t *testing.T) {
				script := func(own Side) func(*fakeSession, string, string) string {
					i := -1
					return func(s *fakeSession, verb, _ string) string {
						if verb != "RETR" && verb != "STOR" {
							return ""
						}
						if i++; own == side && i >= lostAt {
							return lose(s)
						}
						if i > lostAt {
							return "-" // the other end waits for the data channel
						}
						return good(verb)
					}
				}
				src, dst := start(t, script(SourceSide)), start(t, script(DestSide))
				a, b := src.dial(), dst.dial()
				var proven, suspect int
				begin := time.Now()
				err := ThirdParty(bounded(t), a, b, Options{Window: n}, handOut(files(n)), Observer{Done: func(o Outcome) {
					if o.Suspect {
						suspect++
					} else {
						proven++
					}
				}})
				var failure *PipelineError
				if !errors.As(err, &failure) || failure.Side != side {
					t.Fatalf("got %v", err)
				}
				// 421 is an answer to one file, and so blames it.
				if blames := how == "said 421"; (failure.Index == lostAt) != blames || !blames && failure.Index != -1 {
					t.Errorf("blamed file %d: %v", failure.Index, err)
				}
				if proven > lostAt || proven != failure.Done || proven+suspect != n || len(failure.Suspect) != suspect {
					t.Errorf("%d proven and %d suspect of %d; the error says %d and %d", proven, suspect, n, failure.Done, len(failure.Suspect))
				}
				if a.Err() == nil || b.Err() == nil {
					t.Error("a session outlived the run")
				}
				if took := time.Since(begin); took > limit {
					t.Errorf("it took %v", took)
				}
			}))
		}
	}
}

// TestLostWhileSending: a server that no longer takes commands ends the run,
// too, though the reply it owes never comes.
func TestLostWhileSending(t *testing.T) { synctest.Test(t, testLostWhileSending) }

func testLostWhileSending(t *testing.T) {
	src := newPiped(t, answers(map[string]string{"RETR": "125 on\n226 done"}))
	dst := newPiped(t, answers(map[string]string{"STOR": "-"}))
	a, b := src.dial(), dst.dial()
	b.ctl.conn = &deafConn{Conn: b.ctl.conn}
	err := ThirdParty(bounded(t), a, b, Options{}, handOut(files(3)), Observer{})
	var prepare *SideError
	if !errors.As(err, &prepare) || prepare.Side != DestSide || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	b = dst.dial()
	b.ctl.conn = &deafConn{Conn: b.ctl.conn, takes: 2} // MODE, PASV
	a = src.dial()
	err = ThirdParty(bounded(t), a, b, Options{}, handOut(files(3)), Observer{})
	var failure *PipelineError
	if !errors.As(err, &failure) || failure.Side != DestSide || failure.Index != -1 || failure.Done != 0 || len(failure.Suspect) != 3 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %+v", failure)
	}
	if a.Err() == nil || b.Err() == nil {
		t.Error("a session outlived the run")
	}
}

// A deafConn fails all writes but the first few.
type deafConn struct {
	net.Conn
	takes int
}

func (c *deafConn) Write(b []byte) (int, error) {
	if c.takes == 0 {
		return 0, io.ErrClosedPipe
	}
	c.takes--
	return c.Conn.Write(b)
}

// marker is a performance marker of one stripe.
func marker(bytes int) string {
	return fmt.Sprintf("112-Perf Marker\n Stripe Index: 0\n Stripe Bytes Transferred: %d\n Total Stripe Count: 1\n112 End", bytes)
}

// TestGrowth: markers that count no more bytes than the ones before are no sign
// of life; those that count more are, for as long as they do.
func TestGrowth(t *testing.T) { synctest.Test(t, testGrowth) }

func testGrowth(t *testing.T) {
	const stall = 200 * time.Millisecond
	src := newPiped(t, answers(map[string]string{"RETR": "150 on"}))
	tick := func(markers func(i int) string, n int) *fakeServer {
		return newPiped(t, func(s *fakeSession, verb, _ string) string {
			if verb != "STOR" {
				return ""
			}
			go func() { // the session goes on listening meanwhile
				ticker := time.NewTicker(stall / 8)
				defer ticker.Stop()
				for i := range n {
					s.say(markers(i))
					select {
					case <-ticker.C:
					case <-t.Context().Done():
						return
					}
				}
				s.say("226 done")
			}()
			return "150 opening"
		})
	}
	var stalled *StallError
	begin := time.Now()
	_, err := moveAll(t, src, tick(func(int) string { return marker(7) }, 400), Options{Stall: stall}, files(1))
	if !errors.As(err, &stalled) || stalled.First || time.Since(begin) > 5*time.Second {
		t.Errorf("markers that do not grow: %v after %v", err, time.Since(begin))
	}
	_, err = moveAll(t, src, tick(func(int) string { return marker(0) }, 400), Options{FirstByte: stall, Stall: time.Minute}, files(1))
	if !errors.As(err, &stalled) || !stalled.First {
		t.Errorf("markers of nothing: %v", err)
	}
	var failure *PipelineError
	if !errors.As(err, &failure) || failure.Side != "" || failure.Index != 0 {
		t.Errorf("a stall is blamed on file %d at the %q", failure.Index, failure.Side)
	}
	src = newPiped(t, answers(map[string]string{"RETR": "150 on\n226 done"}))
	big := []File{{Source: "/s", Dest: "/d", Size: 31}}
	if _, err = moveAll(t, src, tick(func(i int) string { return marker(i + 1) }, 31), Options{Stall: stall}, big); err != nil {
		t.Errorf("slow growth for longer than the limit: %v", err)
	}
}

// TestBlameCounts: a file whose count is wrong is blamed before the loss that
// follows it.
func TestBlameCounts(t *testing.T) {
	src := newFake(t, answers(map[string]string{"RETR": "125 on\n226 done"}))
	i := -1
	dst := newFake(t, func(s *fakeSession, verb, _ string) string {
		if verb != "STOR" {
			return ""
		}
		switch i++; {
		case i == 2:
			return stored(11)
		case i > 2:
			// Not before the source was asked for all: what it is not asked
			// for any more, nothing can be known of.
			for strings.Count(strings.Join(src.heardLines(), "\n"), "RETR") < 6 {
				time.Sleep(time.Millisecond)
			}
			s.Close()
			return "-"
		}
		return stored(10)
	})
	_, err := moveAll(t, src, dst, Options{Window: 10}, files(6))
	var failure *PipelineError
	var wrong *CountError
	if !errors.As(err, &failure) || !errors.As(err, &wrong) || failure.Index != 2 || failure.Side != DestSide || failure.Done != 2 || !strings.Contains(err.Error(), "/d2") {
		t.Errorf("got %v", err)
	}
}
