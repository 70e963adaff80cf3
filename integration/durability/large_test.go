package durability

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// large is one file of which much can be sent twice, alone in its tree.
const large = "large/volume-00.h5"

func largeSize() int64 { return size(512*mib, 1<<30) }

func oneLarge() tree.Spec {
	return tree.Spec{Seed: 1, Files: 1, Bytes: largeSize(), Large: []int64{largeSize()}}
}

// half returns when half of the large file is at the destination.
func (s *site) half() {
	s.t.Helper()
	catch(s.t, "half of the file", func() bool {
		_, n := s.temp(large)
		return n >= largeSize()/2
	})
}

// slow is a line, in bytes a second, that leaves the workers time to hear of
// what a person wants: that comes with a heartbeat, every five seconds.
const slow = 24 * mib

// onSlowLine are two servers with such a line between them.
func onSlowLine(t *testing.T) siteOptions {
	net := harness.NewNetwork(t)
	from, to := net.Host("from"), net.Host("to")
	from.Limit(slow)
	return siteOptions{
		src: globus.Options{Address: from.Address, Namespace: from.Namespace},
		dst: globus.Options{Address: to.Address, Namespace: to.Namespace},
	}
}

// atHalf starts a worker and the transfer of one large file, and returns when
// half of it is there.
func atHalf(t *testing.T, route transfer.RouteRule, o siteOptions) (*site, *harness.Process, transfer.TaskID) {
	t.Helper()
	if o.src.Root == "" {
		o.src.Root = original(t, oneLarge())
	}
	s := newSite(t, o)
	if o.src.Namespace == "" { // a slow line is slow enough
		defer hurry()()
	}
	worker := s.worker("first")
	id := s.submit(transfer.Request{Route: route})
	s.half()
	return s, worker, id
}

// again reports how much of the large file was sent more than once. A send that
// is cut short is in the log with less than went, and what arrived of it is found
// right and not sent again: so this is too low by up to a part, and may be less
// than nothing. That every byte arrived is for same to say.
func (s *site) again(limit int64) {
	s.t.Helper()
	again := s.sent(large) - largeSize()
	s.t.Logf("%.1f MiB of %d MiB were sent again", float64(again)/mib, largeSize()/mib)
	if again > limit {
		s.t.Errorf("%d bytes were sent again, which is more than %d", again, limit)
	}
	if again < -resendLimit {
		s.t.Errorf("the source has sent %d bytes too few for the file to be complete", -again)
	}
}

func routes() []transfer.RouteRule {
	return []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay}
}

// TestLargeFileKilled kills the worker in the middle of one large file: little
// of it is sent again.
func TestLargeFileKilled(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			s, worker, id := atHalf(t, route, siteOptions{})
			worker.Kill()
			_, n := s.temp(large)
			t.Logf("killed at %d MiB", n/mib)
			s.worker("second")
			s.wait(id, lossLimit, transfer.Succeeded)
			s.same()
			s.again(resendLimit)
		})
	}
}

// TestLargeFileFrozen stops the worker (SIGSTOP) in the middle of one large
// file until another one has ended the task. Then the source changes and the
// first one goes on: it may have the file open at both ends.
func TestLargeFileFrozen(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			was := original(t, oneLarge())
			var o siteOptions
			o.src.Root = copyOf(t, was)
			s, first, id := atHalf(t, route, o)
			release := s.lockStore() // see begin
			first.Freeze()
			release()
			_, n := s.temp(large)
			t.Logf("stopped at %d MiB", n/mib)
			s.worker("second")
			s.wait(id, lossLimit, transfer.Succeeded)
			must(t, overwrite(s.src.Path(large), largeSize()))
			first.Thaw()
			if err := first.Terminate(2 * time.Minute); err != nil {
				t.Errorf("the first worker ended with %v", err)
			}
			s.src.Root = was
			s.same()
		})
	}
}

// TestLargeFileDrained ends the worker as an operator does (SIGTERM): it stops
// at its ledger, and the next one goes on there, at once.
func TestLargeFileDrained(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			s, worker, id := atHalf(t, route, siteOptions{})
			stopped := time.Now()
			if err := worker.Terminate(time.Minute); err != nil {
				t.Errorf("the worker ended with %v", err)
			}
			path, n := s.temp(large)
			t.Logf("drained within %v, at %d MiB", time.Since(stopped).Round(time.Millisecond), n/mib)
			if path == "" || n == largeSize() {
				t.Errorf("the file was finished rather than left")
			}
			s.worker("second")
			s.wait(id, time.Minute, transfer.Succeeded)
			s.same()
			s.again(resendLimit)
			if n := s.retried(id); n > 0 {
				t.Errorf("%d activities were tried again: the worker did not hand back what it had", n)
			}
		})
	}
}

// TestPaused pauses a task and resumes it.
func TestPaused(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			s, _, id := atHalf(t, route, onSlowLine(t))
			must(t, s.service.Pause(t.Context(), id))
			harness.Eventually(t, time.Minute, func() error { return s.paused(id) })
			path, n := s.temp(large)
			t.Logf("paused at %d MiB", n/mib)
			if path == "" || n == largeSize() {
				t.Errorf("the file was finished rather than paused")
			}
			sent := s.sent(large)
			must(t, s.service.Resume(t.Context(), id))
			s.wait(id, time.Minute, transfer.Succeeded)
			if got := s.sent(large); got == sent {
				t.Errorf("nothing was sent after the pause")
			}
			s.same()
			s.again(resendLimit)
		})
	}
}

// TestCanceled cancels a task: what it had under way is removed.
func TestCanceled(t *testing.T) {
	t.Parallel()
	for _, route := range routes() {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			s, _, id := atHalf(t, route, onSlowLine(t))
			must(t, s.service.Cancel(t.Context(), id))
			s.wait(id, time.Minute, transfer.Failed)
			for _, path := range names(t, s.dst.Root) {
				if filepath.Base(path) != "large" { // the folder
					t.Errorf("left at the destination: %s", path)
				}
			}
		})
	}
}
