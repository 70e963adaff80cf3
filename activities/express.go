package activities

import (
	"context"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// ExpressInput is a normalised request of one item that is not recursive. The
// copy runs as the chunk "express" of the task.
type ExpressInput struct {
	Task    transfer.TaskID  `json:"task"`
	Ends    Ends             `json:"ends"`
	Request transfer.Request `json:"request"`
	Stage   bool             `json:"stage,omitempty"` // as CopyInput has it
}

// ExpressResult says whether the item was one for the express path, and how
// it ended.
type ExpressResult struct {
	Taken bool              `json:"taken"` // false: nothing was moved; go on with the walk, Probe is filled in
	Probe ProbeResult       `json:"probe"`
	Found transfer.Progress `json:"found"`          // when Taken
	Chunk transfer.Chunk    `json:"chunk,omitzero"` // when Taken, and not skipped: schedule Copy with it while Copy is not Complete
	Copy  CopyResult        `json:"copy,omitzero"`  // the same
}

// How large a file may be, in bytes, for one activity to do everything: well
// within the minute that a chunk is planned for.
const (
	expressLimit = 32 << 20 // on any line
	hostLimit    = 1 << 30  // between directories of one host, on any disk
)

// limitOf is how large a file may be between these two ends. Of a bound end that
// no server answers for, the file system is the worker's own.
func limitOf(p ProbeResult) int64 {
	own := func(e End) bool { return e.Site != "" && e.Server == "" }
	if own(p.Source) && own(p.Destination) {
		return hostLimit
	}
	return expressLimit
}

const expressChunk = "express"

// Express probes, looks at the one source, and when it is a file that is soon
// copied does that and verifies it at once: a whole transfer in one activity.
func (d *Data) Express(ctx context.Context, in ExpressInput) (ExpressResult, error) {
	var out ExpressResult
	var p *pair
	var f transfer.File
	var decision transfer.Decision
	item := in.Request.Items
	if len(item) != 1 || item[0].Recursive {
		return out, toTemporal(fault.New(fault.Invalid, "copy", "items", "the express path is for one file"))
	}
	stop := d.beat(ctx)
	var passed heard
	err := insist(hearing(ctx, passed.hear), patience, func() (err error) {
		if p != nil {
			p.Close()
		}
		if out.Probe, p, err = d.probe(ctx, ProbeInput{Ends: in.Ends, Rule: in.Request.Route}); err != nil || out.Probe.Elsewhere {
			return err
		}
		source, dest, e, err := locate(ctx, p, in.Ends, item[0])
		switch {
		case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Permission):
			return nil // the walk tells it as it tells such things
		case err != nil:
			return err
		case e.Type != endpoints.File || e.Size > limitOf(out.Probe) || e.Offline:
			return nil
		}
		f, decision, err = compareFile(ctx, p, in.Request, source, dest, e, true)
		out.Taken = err == nil && decision.Verdict != transfer.Conflict
		return err
	})
	stop()
	if p != nil {
		defer p.Close()
	}
	if err != nil {
		return ExpressResult{}, toTemporal(err)
	}
	probe := out.Probe // without the faults: it is kept
	out.Probe.Faults = passed.faults
	if !out.Taken {
		return out, nil
	}
	if decision.Verdict == transfer.Skip {
		out.Found.FilesSkipped = 1
		skipped := transfer.Result{
			Source: strings.ToValidUTF8(f.Source, "?"), Dest: strings.ToValidUTF8(f.Dest, "?"), Size: f.Size, Status: statusSkipped,
		}
		return out, toTemporal(putLines(ctx, d.Blobs, resultsKey(in.Task, expressChunk, 0, 0), []transfer.Result{skipped}))
	}
	f.Check = decision.Verdict == transfer.NeedChecksum
	if out.Copy, out.Chunk, err = d.expressCopy(ctx, in, probe, p, f); err != nil {
		return ExpressResult{}, toTemporal(err)
	}
	out.Found.Files, out.Found.Bytes = 1, f.Size
	return out, nil
}

func (d *Data) expressCopy(ctx context.Context, in ExpressInput, probe ProbeResult, p *pair, f transfer.File) (CopyResult, transfer.Chunk, error) {
	stats := transfer.StatsOf([]transfer.File{f})
	// The key has no run in it: an earlier try of this activity may have begun,
	// and its ledger counts as long as it is about the same file.
	chunk := transfer.Chunk{
		ID: expressChunk, Sheet: sheetKey(in.Task, expressChunk, "0"), Files: 1, Bytes: f.Size, Class: stats.Class(),
		Tuning: transfer.Tune(in.Request.Tuning, stats, probe.Setting()),
	}
	opts := NewCopyOptions(in.Request, probe.Route.Path)
	if old, err := getLines[transfer.File](ctx, d.Blobs, chunk.Sheet); err == nil && len(old) == 1 && old[0].Source == f.Source {
		// What that try may have left under the name is its own, not somebody's
		// file: the name was found free then.
		f.Exists = old[0].Exists
	}
	if err := keepFacts(ctx, d.Blobs, Facts{Task: in.Task, Ends: in.Ends, Probe: probe, Options: opts, Notify: in.Request.Notify}); err != nil {
		return CopyResult{}, chunk, err
	}
	if err := putLines(ctx, d.Blobs, chunk.Sheet, []transfer.File{f}); err != nil {
		return CopyResult{}, chunk, err
	}
	copyIn := CopyInput{Task: in.Task, Ends: in.Ends, Probe: probe, Chunk: chunk, Options: opts, Schedule: 1, Stage: in.Stage}
	res, err := d.copy(ctx, copyIn, p)
	if res.Complete {
		// It was all that the task copies. What cannot be given back expires.
		_ = d.Leave(ctx, copyIn)
	}
	return res, chunk, err
}
