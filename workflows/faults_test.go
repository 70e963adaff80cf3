package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestTransferAnswersFaultsByKind(t *testing.T) {
	refused := func(k fault.Kind, source bool) activities.CopyResult {
		return activities.CopyResult{Files: 3, Bytes: 3e6, NFailed: 1, Failed: []activities.FailedFile{{
			Path: "/data/secret", Kind: k, Message: "550 no", AtSource: source}}}
	}
	for name, test := range map[string]struct {
		request string
		copy    func(n int, in activities.CopyInput) (activities.CopyResult, error)
		copies  int // of the chunk that fares so
		fails   fault.Kind
		failed  int64 // files
		least   time.Duration
	}{
		"transient, then well": {
			copy: func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Schedule <= 3 {
					return blocked(0, fault.Transient, "connection refused"), nil
				}
				return complete(in), nil
			}, copies: 4, least: 7 * time.Second,
		},
		"no session at all, then well": {
			copy: func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Schedule <= 2 {
					return activities.CopyResult{}, errorOf(fault.Transient, "no route to host")
				}
				return complete(in), nil
			}, copies: 3, least: 3 * time.Second,
		},
		"permission at the source": {
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return refused(fault.Permission, true), nil
			},
			copies: 5, fails: fault.Permission, failed: 1, least: 5 * time.Second,
		},
		"permission at the source, skipped": {
			request: `"on_error":"skip"`,
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return refused(fault.Permission, true), nil
			},
			copies: 1, failed: 1,
		},
		"not found, then there": {
			copy: func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Schedule < 3 {
					return refused(fault.NotFound, true), nil
				}
				return complete(in), nil
			}, copies: 3,
		},
		"fail fast": {
			request: `"on_error":"fail"`,
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return refused(fault.NotFound, true), nil
			},
			copies: 1, fails: fault.NotFound, failed: 1,
		},
		"integrity three times more": {
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return refused(fault.Integrity, false), nil
			},
			copies: 4, fails: fault.Integrity, failed: 1,
		},
		"a bug, ten times": {
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return activities.CopyResult{}, errorOf(fault.Internal, "nil map")
			},
			copies: 10, fails: fault.Internal,
		},
		"full, to fail on": {
			request: `"fail_on_quota":true`,
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return blocked(1, fault.NoSpace, "disk full"), nil
			},
			copies: 1, fails: fault.NoSpace,
		},
		"full, then not": {
			copy: func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Schedule < 3 {
					return blocked(1, fault.NoSpace, "disk full"), nil
				}
				return complete(in), nil
			}, copies: 3, least: 2 * time.Minute,
		},
		"too many faults, though all would pass": {
			request: `"max_faults":2`,
			copy: func(int, activities.CopyInput) (activities.CopyResult, error) {
				return blocked(1, fault.Transient, "connection reset"), nil
			},
			copies: 3, fails: fault.Transient,
		},
		"as many faults as allowed": {
			request: `"max_faults":2`,
			copy: func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Schedule < 3 {
					return blocked(1, fault.Transient, "connection reset"), nil
				}
				return complete(in), nil
			}, copies: 3,
		},
		"a worker that stops": {
			copy: func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Schedule == 1 {
					return activities.CopyResult{Files: 2, Bytes: 2e6, Yielded: true}, nil
				}
				return complete(in), nil
			}, copies: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
				return found("", chunk("0-0", 4), chunk("0-1", 4), chunk("0-2", 4)), nil
			}
			w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
				if in.Chunk.ID != "0-0" {
					return complete(in), nil
				}
				return test.copy(n, in)
			}
			more := []string{`"notify":"ada@example.org"`}
			if test.request != "" {
				more = append(more, test.request)
			}
			began := w.env.Now()
			task, err := w.transfer(tree(more...))
			if (err != nil) != (test.fails != "") {
				t.Fatalf("err = %v", err)
			}
			if test.fails != "" && (task.Fatal == nil || task.Fatal.Kind != test.fails || task.Status != transfer.Failed) {
				t.Errorf("task = %+v", task)
			}
			copies := 0
			for _, c := range w.copied {
				if c.Chunk.ID == "0-0" {
					copies++
				}
			}
			if copies != test.copies {
				t.Errorf("%d copies, want %d", copies, test.copies)
			}
			if task.Progress.FilesFailed != test.failed {
				t.Errorf("%d files failed, want %d", task.Progress.FilesFailed, test.failed)
			}
			if d := task.Completed.Sub(began); d < test.least {
				t.Errorf("it took %s, less than %s", d, test.least)
			}
			if test.fails == fault.Permission && task.Progress.FilesDone != 11 {
				t.Errorf("%d files done: everything else comes first", task.Progress.FilesDone)
			}
			// Once at the end; a full disk is told once in between.
			mails := 1
			if name == "full, then not" {
				mails = 2
			}
			if len(w.mails) != mails {
				t.Errorf("%d mails, want %d", len(w.mails), mails)
			}
		})
	}
}

// TestTransferCountsFaultsOfLogins: what a probe got over is counted once, and
// handed to no copy.
func TestTransferCountsFaultsOfLogins(t *testing.T) {
	w := newWorld(t)
	w.probe = func(int) (activities.ProbeResult, error) {
		p := probed("")
		p.Faults = []transfer.Fault{{Kind: fault.Transient, Message: "421 later", Count: 2}}
		return p, nil
	}
	w.copy = func(_ int, in activities.CopyInput) (activities.CopyResult, error) {
		if len(in.Probe.Faults) > 0 {
			t.Errorf("a copy was given %v", in.Probe.Faults)
		}
		return complete(in), nil
	}
	task, err := w.transfer(tree())
	if err != nil || task.Progress.Faults != 2 || count(w.events(), transfer.EventFault) != 1 {
		t.Errorf("%d faults, events %v, %v", task.Progress.Faults, w.events(), err)
	}
}

func TestTransferWaitsForACredential(t *testing.T) {
	w := newWorld(t)
	renewed := time.Time{}
	w.probe = func(n int) (activities.ProbeResult, error) {
		if renewed.IsZero() {
			return activities.ProbeResult{}, errorOf(fault.Credential, "the proxy has expired")
		}
		return probed(""), nil
	}
	w.at(150*time.Second, func() {
		if s := w.status(); s.Status != transfer.Inactive || !strings.Contains(s.Verdict, "the proxy has expired") {
			t.Errorf("status = %+v", s)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.probes) != 3 { // at once, after 60 s, after 120 s
			t.Errorf("%d looks", len(w.probes))
		}
		renewed = w.env.Now()
		w.env.SignalWorkflow(TellCredentialRenewed, nil)
	})
	task, err := w.transfer(tree(`"notify":"ada@example.org"`))
	if err != nil {
		t.Fatal(err)
	}
	if d := task.Completed.Sub(renewed); d > 10*time.Second {
		t.Errorf("it went on %s after the renewal", d)
	}
	got := w.events()
	if count(got, transfer.EventInactive) != 1 || count(got, transfer.EventActivated) != 1 || task.Progress.Faults != 1 {
		t.Errorf("events = %v, %d faults", got, task.Progress.Faults)
	}
	if len(w.mails) != 2 || w.mails[0].Task.Status != transfer.Inactive || w.mails[1].Task.Status != transfer.Succeeded {
		t.Errorf("mails = %+v", w.mails)
	}
}

func TestTransferSuspendsAllCopiesForACredential(t *testing.T) {
	w := newWorld(t)
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		if n == 1 {
			return blocked(1, fault.Credential, "certificate expired"), nil
		}
		return complete(in), nil
	}
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if len(w.probes) != 2 || task.Progress.FilesDone != 8 || len(w.finishes) != 1 {
		t.Errorf("%d probes, %d finishes, task = %+v", len(w.probes), len(w.finishes), task)
	}
}

func TestTransferFallsBackToRelay(t *testing.T) {
	block := func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		if in.Options.Route == transfer.RouteThirdParty {
			res := blocked(0, fault.Transient, "no data connection from 10.1.0.2 to 10.2.0.2:50001")
			res.BlockedData = true
			return res, nil
		}
		return complete(in), nil
	}
	w := newWorld(t)
	w.copy = block
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if task.Route.Path != transfer.RouteRelay || w.probes[len(w.probes)-1].Rule != transfer.RouteRelay || task.Progress.FilesDone != 8 {
		t.Errorf("task = %+v", task)
	}
	named := false
	for _, r := range w.records {
		for _, e := range r.Events {
			named = named || e.Code == transfer.EventRoute && strings.Contains(e.Description, "10.2.0.2:50001")
		}
	}
	if !named {
		t.Error("no event says which channel was blocked")
	}

	w = newWorld(t)
	w.copy = block
	w.at(time.Hour, func() { w.env.CancelWorkflow() })
	if task, err := w.transfer(tree(`"route":"third-party"`)); err == nil || task.Route.Path != transfer.RouteThirdParty {
		t.Errorf("with the route fixed: task = %+v, err = %v", task, err)
	}
}

func TestTransferFinish(t *testing.T) {
	w := newWorld(t)
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		res := complete(in)
		res.Late = n == 1
		return res, nil
	}
	w.finish = func(n int, in activities.FinishInput) (activities.FinishResult, error) {
		switch n {
		case 1:
			return activities.FinishResult{Wait: time.Minute, Cursor: "c"}, nil
		case 2:
			return activities.FinishResult{Verified: 3, Redo: []transfer.Chunk{chunk("redo-0", 1)}}, nil
		}
		return activities.FinishResult{Verified: 1}, nil
	}
	task, err := w.transfer(tree())
	if err != nil {
		t.Fatal(err)
	}
	if len(w.finishes) != 3 || w.finishes[1].Cursor != "c" || w.finishes[2].Cursor != "" {
		t.Errorf("finishes = %+v", w.finishes)
	}
	if n := len(w.copied); n != 3 || w.copied[2].Chunk.ID != "redo-0" {
		t.Errorf("%d copies", n)
	}
	if p := task.Progress; p.FilesDone != p.Files || p.BytesDone != p.Bytes {
		t.Errorf("what was done twice counts twice: %+v", p)
	}
	if d := task.Completed.Sub(task.Requested); d < time.Minute {
		t.Errorf("it did not wait for the horizon: %s", d)
	}
}
