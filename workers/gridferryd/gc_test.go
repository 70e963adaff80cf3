package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// gc says what it would remove before it does, and asks no Temporal for that.
func TestGC(t *testing.T) {
	c := loaded(t, "temporal.address=127.0.0.1:1", "retention.manifests=1d", "log.level=error")
	s, _ := opened(t, c)
	ended := time.Now().Add(-50 * time.Hour).UTC()
	if err := s.kept.PutTask(t.Context(), transfer.Task{ID: "old", Status: transfer.Succeeded, Requested: ended, Completed: ended}); err != nil {
		t.Fatal(err)
	}
	for key, size := range map[string]int{"tasks/old/sheets/1-r": 1000, "tasks/old/results/1/000000-1": 10, "tasks/other/sheets/1-r": 5} {
		if err := s.blobs.Put(t.Context(), key, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dry := range []bool{true, false} {
		var out, errs bytes.Buffer
		if err := collect(t.Context(), c, dry, true, &out, &errs); err != nil {
			t.Fatal(err)
		}
		var got collection
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.DryRun != dry || got.Bytes != 1000 || got.Blobs != 1 || got.Held != 1015 || len(got.Removed) != 1 || got.Removed[0].Part != "manifests" {
			t.Errorf("dry %v: %s", dry, out.String())
		}
		if !strings.Contains(errs.String(), "what nobody knows is kept") {
			t.Errorf("on standard error: %q", errs.String())
		}
	}
	var out bytes.Buffer
	if err := collect(t.Context(), c, false, false, &out, io.Discard); err != nil || out.String() != "0 blobs of 0 B removed, of the 15 B that are held; and the records of 0 tasks.\n" {
		t.Errorf("again: %q, %v", out.String(), err)
	}
}
