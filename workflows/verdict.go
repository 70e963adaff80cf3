package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// outlook is how it looks for the task, as far as a workflow knows. What only
// the server of workflows knows - queues that nobody serves, workers that were
// lost - the service adds.
func (r *run) outlook(ctx workflow.Context) transfer.Outlook {
	t, now := r.Task, workflow.Now(ctx)
	switch {
	case t.Phase == transfer.PhaseDone && t.Status == transfer.Succeeded:
		return transfer.Outlook{Prospect: transfer.Ended, Text: "all that was asked is done"}
	case t.Phase == transfer.PhaseDone && t.Fatal != nil:
		return transfer.Outlook{Prospect: transfer.Ended, Text: t.Fatal.Message}
	case t.Phase == transfer.PhaseDone:
		return transfer.Outlook{Prospect: transfer.Ended, Text: "cancelled"}
	case r.Canceled || r.fatal != nil || ctx.Err() != nil:
		return transfer.Outlook{Prospect: transfer.Stopping, Text: "stopping and cleaning up"}
	case t.Paused:
		return r.pausedOutlook()
	case t.Status == transfer.Inactive:
		f := transfer.Fault{Kind: fault.Credential}
		if len(r.Wanted) > 0 {
			f.Reason = r.Wanted[0].Fault.Reason
		}
		_, hint := transfer.WaitsFor(f)
		return transfer.Outlook{Prospect: transfer.Waiting, For: transfer.ForCredential, Text: r.waitingFor(), Since: r.InactiveSince, Hint: hint}
	case now.Before(r.Hold.Until):
		return r.heldOutlook()
	case r.Strict != nil:
		return transfer.Outlook{
			Prospect: transfer.Doomed, For: transfer.ForFiles, Since: r.Strict.Time,
			Text: "will fail when everything else is done: " + r.Strict.Message, Hint: "--skip-errors would do without such files",
		}
	case r.Stage.left() && len(r.Work) == 0 && !r.walking:
		return r.archiveOutlook()
	case t.Progress.FilesOffline == 0 && !t.Progress.Walking && !r.Copied.IsZero() && t.Progress.Outlasts(r.Copied, now, t.Deadline):
		return transfer.Outlook{
			Prospect: transfer.Doomed, For: transfer.ForDeadline,
			Text: "at its rate so far it will not be done by its deadline, " + t.Deadline.UTC().Format("2006-01-02 15:04 MST"),
			Hint: `"gridferry modify --deadline" gives it more time`,
		}
	case r.Request.MaxFaults > 0 && t.Progress.Faults == r.Request.MaxFaults:
		return transfer.Outlook{
			Prospect: transfer.Doomed, For: transfer.ForFaults, Text: fmt.Sprintf("there were %d faults, and the next one ends the task", t.Progress.Faults),
		}
	case t.Phase == transfer.PhaseStarting:
		return transfer.Outlook{Prospect: transfer.Progressing, Text: "logging in to both ends"}
	}
	text := "progressing"
	if n := t.Progress.FilesOffline; n > 0 {
		text += fmt.Sprintf("; %s of it wait for the archive", transfer.FormatFiles(n))
	}
	return transfer.Outlook{Prospect: transfer.Progressing, Text: text}
}

func (r *run) pausedOutlook() transfer.Outlook {
	o := transfer.Outlook{
		Prospect: transfer.Waiting, For: transfer.ForResume, Text: "paused", Since: r.PausedSince,
		Hint: `it goes on when told to resume`,
	}
	if r.PausedBy != "" {
		o.Text += " by " + r.PausedBy
	}
	if r.flights > 0 {
		o.Text += "; copies are stopping at a safe point"
	}
	return o
}

// heldOutlook is that of a run that begins nothing because of a fault.
func (r *run) heldOutlook() transfer.Outlook {
	f := r.Hold.Fault
	o := transfer.Outlook{Prospect: transfer.Waiting, Since: r.Hold.Since}
	o.For, o.Hint = transfer.WaitsFor(f)
	o.Text = fmt.Sprintf("waiting until %s after attempt %d: %s", r.Hold.Until.UTC().Format(time.TimeOnly), r.Hold.Tries, f.Message)
	most := 0
	switch o.For {
	case transfer.ForFiles:
		most = transfer.TriesRefused
	case transfer.ForOperator:
		most = transfer.TriesInternal
	}
	if most > 0 {
		o.Prospect = transfer.Doomed
		o.Text = fmt.Sprintf("will fail unless this changes (attempt %d of %d, the next at %s): %s", r.Hold.Tries, most, r.Hold.Until.UTC().Format(time.TimeOnly), f.Message)
	}
	return o
}
