package webui

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/workers"
)

const files, doneFiles = 40, 30

// rate is how transfer.FormatRate writes one that is not zero.
var rate = regexp.MustCompile(`[1-9][0-9.]* ?[kMG]?i?B/s`)

func TestARunningTransferExplainsItself(t *testing.T) {
	harness.Need(t, "chromium")
	temporal := harness.NewTemporal(t, harness.TemporalOptions{UI: true})
	c := temporal.Client()
	source, destination := memory.NewDisk(memory.Options{}), memory.NewDisk(memory.Options{})
	fill(t, source)

	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	p, err := workers.Start(t.Context(), workers.Config{
		Client: c, Blobs: blob.NewMemory(), Leases: kept, Records: kept, Identity: "test", Sweep: -1,
		Endpoints: memory.NewOpener(map[string]*memory.Disk{"lab#instrument": source, "hpc#scratch": destination}),
		Log:       slog.New(slog.DiscardHandler),
	}, workers.Control, workers.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)

	// The destination takes some files and then holds the next one for as long
	// as the test likes. What a copy has done is shown when it ends, so it is
	// made to end by a pause.
	var taken atomic.Int64
	release := make(chan struct{})
	destination.Faults().Hook(func(ctx context.Context, op memory.Op, _ string, _ int64) error {
		if op != memory.Sent || taken.Add(1) <= doneFiles {
			return nil
		}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	svc := service.New(c, service.Options{})
	id, err := svc.Submit(t.Context(), "", transfer.Request{
		Label: "night 7", Source: "lab#instrument:/run7", Destination: "hpc#scratch:/run7", Recursive: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	await(t, svc, id, "held", func(task transfer.Task) bool { return taken.Load() > doneFiles })
	if err := svc.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	await(t, svc, id, "paused", func(task transfer.Task) bool { return task.Progress.FilesDone >= doneFiles })
	if err := svc.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	await(t, svc, id, "running again", func(task transfer.Task) bool { return !task.Paused })

	b := newBrowser(t)
	page := temporal.UI + "/namespaces/" + temporal.Namespace + "/workflows/" + url.PathEscape(string(id))
	var opened time.Time
	harness.Eventually(t, 3*time.Minute, func() error {
		// What a busy server did not answer in time, a page asks for once.
		if time.Since(opened) > 20*time.Second {
			b.open(page)
			opened = time.Now()
		}
		return b.press("User Metadata")
	})
	harness.Eventually(t, time.Minute, func() error { return explains(b) })

	close(release)
	await(t, svc, id, "done", func(task transfer.Task) bool { return task.Status == transfer.Succeeded })
}

// explains looks for what a person wants to know.
func explains(b *browser) error {
	text, err := b.text()
	if err != nil {
		return err
	}
	for _, want := range []string{"lab#instrument:/run7", "hpc#scratch:/run7", fmt.Sprintf("%d %%", 100*doneFiles/files)} {
		if !strings.Contains(text, want) {
			return fmt.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if !rate.MatchString(text) {
		return fmt.Errorf("the page names no rate:\n%s", text)
	}
	return nil
}

// fill makes files of one size, so that their part is a part of the bytes too.
func fill(t *testing.T, d *memory.Disk) {
	t.Helper()
	s := d.Open()
	defer s.Close()
	if err := s.Mkdir(t.Context(), "/run7"); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		w, err := s.Create(t.Context(), fmt.Sprintf("/run7/%03d.fits", i), endpoints.CreateOptions{Size: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

func await(t *testing.T, svc transfer.Service, id transfer.TaskID, what string, ok func(transfer.Task) bool) {
	t.Helper()
	harness.Eventually(t, time.Minute, func() error {
		task, err := svc.Task(t.Context(), id)
		if err != nil {
			return err
		}
		if !ok(task) {
			return fmt.Errorf("the transfer is not %s: %s; %+v", what, task.Verdict, task.Progress)
		}
		return nil
	})
}
