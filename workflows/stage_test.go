package workflows

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// archived has the walk find six files online, and four that take two hours to
// come from an archive.
func (w *world) archived() {
	w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
		res := found("", chunk("0001-0001", 6))
		res.Found.Files, res.Found.Bytes = 10, 10e6
		res.Offline = &activities.OfflineList{Key: "offline/walk", Files: 4, Bytes: 4e6}
		return res, nil
	}
	begun := w.env.Now()
	came := false
	w.stage = func(n int, in activities.StageInput) (activities.StageResult, error) {
		res := activities.StageResult{Cursor: fmt.Sprintf("state-%d", n), Files: 4, Bytes: 4e6, Next: 10 * time.Minute}
		switch {
		case in.Abandon || came:
			return activities.StageResult{Cursor: res.Cursor, Next: 10 * time.Minute}, nil
		case w.env.Now().Sub(begun) >= 2*time.Hour:
			came = true
			c := chunk("stage0001-0001", 4)
			c.Staged = true
			return activities.StageResult{Cursor: res.Cursor, Chunks: []transfer.Chunk{c}, Next: 10 * time.Minute}, nil
		}
		return res, nil
	}
}

const recursive = `{"source": "gsiftp://a.example.org/from/", "destination": "gsiftp://b.example.org/to/", "recursive": true}`

// Files in an archive wait for hours, and the task says so; all others are
// copied meanwhile, and each is copied once.
func TestTheArchiveIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.archived()
	w.at(30*time.Minute, func() {
		task := w.status()
		if o := task.Outlook; o.Prospect != transfer.Waiting || o.For != transfer.ForArchive || !strings.Contains(o.Text, "4 files") || o.Since.IsZero() {
			t.Errorf("the outlook is %+v", o)
		}
		if p := task.Progress; p.FilesDone != 6 || p.FilesOffline != 4 {
			t.Errorf("%+v", p)
		}
	})
	task, err := w.transfer(recursive)
	if err != nil || task.Status != transfer.Succeeded || task.Progress.FilesDone != 10 || task.Progress.FilesOffline != 0 {
		t.Fatalf("%+v, %v", task.Progress, err)
	}
	if len(w.copied) != 2 {
		t.Errorf("%d copies", len(w.copied))
	}
	last := w.stages[len(w.stages)-1]
	if len(w.stages) < 10 || len(w.stages) > 20 || len(last.Done) != 1 || last.Done[0] != "sheets/stage0001-0001" {
		t.Errorf("%d steps; the last releases %v", len(w.stages), last.Done)
	}
	for n, in := range w.stages {
		if (n == 0) != (len(in.Lists) == 1) || n > 0 && in.Cursor != fmt.Sprintf("state-%d", n) {
			t.Errorf("step %d has %+v", n+1, in)
		}
	}
}

// A file that is found archived when it is read goes to those that wait.
func TestCopiesSetAside(t *testing.T) {
	w := newWorld(t)
	w.archived()
	w.walk = func(int, activities.WalkInput) (activities.WalkResult, error) {
		return found("", chunk("0001-0001", 10)), nil
	}
	w.copy = func(n int, in activities.CopyInput) (activities.CopyResult, error) {
		res := complete(in)
		if n == 1 {
			res.Files, res.Bytes, res.Checksummed = 6, 6e6, 6e6
			res.Offline = &activities.OfflineList{Key: "offline/copy", Files: 4, Bytes: 4e6}
		}
		return res, nil
	}
	task, err := w.transfer(recursive)
	if err != nil || task.Progress.FilesDone != 10 || task.Progress.FilesFailed != 0 || len(w.copied) != 2 {
		t.Errorf("%+v, %v; %d copies", task.Progress, err, len(w.copied))
	}
}

// Who waits for an archive can be paused, and cancelled: then nothing is
// needed from it any more.
func TestWaitingForAnArchiveIsStopped(t *testing.T) {
	w := newWorld(t)
	w.archived()
	during := 0
	w.at(20*time.Minute, func() { w.update(TellPause, true) })
	w.at(30*time.Minute, func() { during = len(w.stages) })
	w.at(60*time.Minute, func() {
		if n := len(w.stages); n != during {
			t.Errorf("%d steps in a pause", n-during)
		}
		w.update(TellResume, true)
	})
	w.at(90*time.Minute, func() {
		if n := len(w.stages); n <= during {
			t.Error("no step after the pause")
		}
		w.update(TellCancel, true)
	})
	if _, err := w.transfer(recursive); err == nil {
		t.Fatal("it was not cancelled")
	}
	if last := w.stages[len(w.stages)-1]; !last.Abandon || last.Cursor == "" {
		t.Errorf("the last step is %+v", last)
	}
}

// An archive that is down holds up what waits for it, and files that it gives
// up are told of.
func TestArchivesInTrouble(t *testing.T) {
	w := newWorld(t)
	w.archived()
	answers := w.stage
	w.stage = func(n int, in activities.StageInput) (activities.StageResult, error) {
		if n == 2 {
			return activities.StageResult{}, errorOf(fault.Transient, "the archive is down")
		}
		res, err := answers(n, in)
		if len(res.Chunks) > 0 {
			res.Chunks[0].Files, res.NFailed = 3, 1
			res.Failed = []activities.FailedFile{{Path: "/from/torn", Kind: fault.Unsupported, Message: "the tape is torn", AtSource: true}}
		}
		return res, err
	}
	task, err := w.transfer(recursive)
	if err == nil || task.Progress.FilesFailed != 1 || task.Progress.FilesDone != 9 || task.Fatal == nil || !strings.Contains(task.Fatal.Message, "torn") {
		t.Errorf("%+v, %v, %+v", task.Progress, err, task.Fatal)
	}
	if w.stages[2].Cursor != "state-1" {
		t.Errorf("after the fault: %+v", w.stages[2])
	}
}
