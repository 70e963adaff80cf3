package durability

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// TestTemporalKilled kills the Temporal server, which has all it knows in a
// file, in the middle of a transfer. Whether it is away for less than the
// heartbeat's timeout or for more, the task goes on.
func TestTemporalKilled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		away time.Duration
	}{{"briefly", 0}, {"past the heartbeat", heartbeat + 10*time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := onSlowLine(t)
			o.src.Root = original(t, tree.Spec{Seed: 4, Files: 200, Bytes: 20*mib + largeSize(), Large: []int64{largeSize()}, Odd: true, Deep: 5})
			s := newSite(t, o)
			s.worker("only")
			id := s.submit(transfer.Request{PreserveTime: true})
			s.half()
			s.temporal.Kill()
			_, n := s.temp(large)
			t.Logf("killed with %d of %d MiB of the large file there", n/mib, largeSize()/mib)
			if n == 0 || n == largeSize() {
				t.Errorf("it was not in mid-transfer")
			}
			down := time.Now()
			catch(t, "time passing", func() bool { return time.Since(down) >= c.away })
			s.temporal.Restart()
			task := s.wait(id, lossLimit, transfer.Succeeded)
			t.Logf("%d files, %d faults, %v after it was submitted", task.Progress.FilesDone, task.Progress.Faults, task.Completed.Sub(task.Requested).Round(time.Second))
			s.same()
			s.again(resendLimit)
		})
	}
}
