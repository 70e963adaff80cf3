package activities

import (
	"context"
	"slices"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// refusedJob is a directory or item that one end did not let us at. As with
// files, that is tried again after everything else, a few times: whoever sets
// modes right should not find the tree given up meanwhile.
type refusedJob struct {
	Dir       pendingDir `json:"dir,omitzero"`
	Item      int        `json:"item"` // -1: Dir
	Tries     int        `json:"tries"`
	NotBefore time.Time  `json:"not_before,omitzero"` // by the server's clock
}

// maxRefused bounds what is kept to be tried again; a tree with more of it is
// not one where somebody has mistyped a mode.
const maxRefused = 1000

// postpone keeps a job that was refused for later. It is false for one that is
// given up. The caller holds mu.
func (w *walk) postpone(j job, err error) bool {
	if fault.KindOf(err) != fault.Permission || w.in.Plan || len(w.f.Refused) >= maxRefused {
		return false
	}
	answer := transfer.AnswerTo(transfer.Trouble{
		Kind: fault.Permission, Attempt: j.tries + 1, OnError: w.in.Request.OnError,
	})
	if answer.Action != transfer.Again {
		return false
	}
	if w.sizes.delay > 0 {
		answer.Delay = w.sizes.delay
	}
	w.faults.add(toFault(err, j.path(w.in.Request), time.Now().UTC()))
	w.f.Refused = append(w.f.Refused, refusedJob{
		Dir: j.dir, Item: j.item, Tries: j.tries + 1, NotBefore: w.clock.now().Add(answer.Delay),
	})
	return true
}

// takeRefused returns a refused job whose time has come. Where there is none it
// is false, after the step was ended for the sake of what it has found, or after
// a wait. The caller holds mu, and nobody is at anything.
func (w *walk) takeRefused(ctx context.Context) (job, bool) {
	if w.f.Files+len(w.files) > 0 {
		// Those who copy need not wait.
		if err := w.cut(ctx); err != nil {
			w.fatal = err
		}
		w.stop = true
		w.changed.Broadcast()
		return job{}, false
	}
	first := 0
	for i, r := range w.f.Refused {
		if r.NotBefore.Before(w.f.Refused[first].NotBefore) {
			first = i
		}
	}
	r := w.f.Refused[first]
	if wait := r.NotBefore.Sub(w.clock.now()); wait > 0 {
		wake := time.AfterFunc(wait, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changed.Broadcast()
		})
		defer wake.Stop()
		w.changed.Wait()
		return job{}, false
	}
	w.f.Refused = slices.Delete(w.f.Refused, first, first+1)
	w.active++
	return job{dir: r.Dir, item: r.Item, tries: r.Tries}, true
}
