package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// listen answers the status query and obeys what the task is told. Handlers
// set state and never block, so that a run can always continue as new; they
// are idempotent, because an update's id is forgotten by the next run.
func (r *run) listen(ctx workflow.Context) error {
	if err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus,
		func() (Status, error) { return r.answerStatus(ctx), nil },
		workflow.QueryHandlerOptions{Description: "the task as it stands"}); err != nil {
		return err
	}
	for _, h := range []struct {
		name, description string
		obey              func(workflow.Context)
	}{
		{TellResume, "go on after a pause", r.resume},
		{TellCancel, "stop for good and clean up", r.cancel},
		{TellCredentialRenewed, "try again whether the credentials work", r.credentialRenewed},
	} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, h.name,
			func(ctx workflow.Context) error { h.obey(ctx); return nil },
			workflow.UpdateHandlerOptions{Validator: r.open, Description: h.description})
		if err != nil {
			return err
		}
		signals := workflow.GetSignalChannelWithOptions(ctx, h.name, workflow.SignalChannelOptions{Description: h.description})
		workflow.GoNamed(ctx, h.name, func(ctx workflow.Context) {
			for signals.Receive(ctx, nil) {
				h.obey(ctx)
			}
		})
	}
	if err := r.listenPause(ctx); err != nil {
		return err
	}
	const description = "change the label, the deadline or the tuning"
	err := workflow.SetUpdateHandlerWithOptions(ctx, TellModify,
		func(ctx workflow.Context, c transfer.Change) error { r.modify(ctx, c); return nil },
		workflow.UpdateHandlerOptions{Validator: r.modifiable, Description: description})
	if err != nil {
		return err
	}
	signals := workflow.GetSignalChannelWithOptions(ctx, TellModify, workflow.SignalChannelOptions{Description: description})
	workflow.GoNamed(ctx, TellModify, func(ctx workflow.Context) {
		for {
			var c transfer.Change
			if !signals.Receive(ctx, &c) {
				return
			}
			r.signalModify(ctx, c)
		}
	})
	return nil
}

// Who is the argument of TellPause, which may be left out.
type Who struct {
	By string `json:"by,omitempty"` // as they say themselves
}

func (r *run) listenPause(ctx workflow.Context) error {
	const description = "stop copying at the next safe point, and wait"
	err := workflow.SetUpdateHandlerWithOptions(ctx, TellPause,
		func(ctx workflow.Context, who Who) error { r.pause(ctx, who); return nil },
		workflow.UpdateHandlerOptions{Validator: func(ctx workflow.Context, _ Who) error { return r.open(ctx) }, Description: description})
	if err != nil {
		return err
	}
	signals := workflow.GetSignalChannelWithOptions(ctx, TellPause, workflow.SignalChannelOptions{Description: description})
	workflow.GoNamed(ctx, TellPause, func(ctx workflow.Context) {
		for {
			var who Who
			if !signals.Receive(ctx, &who) {
				return
			}
			r.pause(ctx, who)
		}
	})
	return nil
}

// drainSignals obeys what has arrived and was not received yet: a run that
// continues as new would lose it.
func (r *run) drainSignals(ctx workflow.Context) {
	for signals := workflow.GetSignalChannel(ctx, TellPause); ; {
		var who Who
		if !signals.ReceiveAsync(&who) {
			break
		}
		r.pause(ctx, who)
	}
	for _, h := range []struct {
		name string
		obey func(workflow.Context)
	}{{TellResume, r.resume}, {TellCancel, r.cancel}, {TellCredentialRenewed, r.credentialRenewed}} {
		for signals := workflow.GetSignalChannel(ctx, h.name); signals.ReceiveAsync(nil); {
			h.obey(ctx)
		}
	}
	for signals := workflow.GetSignalChannel(ctx, TellModify); ; {
		var c transfer.Change
		if !signals.ReceiveAsync(&c) {
			return
		}
		r.signalModify(ctx, c)
	}
}

// open refuses what comes after the end.
func (r *run) open(workflow.Context) error {
	if r.Task.Phase == transfer.PhaseDone || r.fatal != nil || r.Canceled {
		return temporal.NewApplicationError("it is ending or has ended", string(fault.Invalid))
	}
	return nil
}

func (r *run) modifiable(ctx workflow.Context, c transfer.Change) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	if r.Delete != nil && c.Tuning != nil {
		return temporal.NewApplicationError("tuning: a task that deletes has none", string(fault.Invalid))
	}
	if err := c.Validate(workflow.Now(ctx)); err != nil {
		return refusal(err)
	}
	return nil
}

func (r *run) pause(ctx workflow.Context, who Who) {
	if r.Task.Paused || r.open(ctx) != nil {
		return
	}
	r.Task.Paused, r.PausedSince, r.PausedBy = true, workflow.Now(ctx), cut(who.By, 200)
	text := "paused"
	if r.PausedBy != "" {
		text += " by " + r.PausedBy
	}
	r.event(ctx, transfer.Event{Code: transfer.EventPaused, Description: text})
	r.publish(ctx)
	r.nudges++
}

func (r *run) resume(ctx workflow.Context) {
	if !r.Task.Paused || r.open(ctx) != nil {
		return
	}
	r.Task.Paused = false
	r.event(ctx, transfer.Event{Code: transfer.EventResumed, Description: "resumed"})
	r.publish(ctx)
	r.nudges++
}

func (r *run) cancel(workflow.Context) {
	r.Canceled = true
	r.nudges++
}

func (r *run) credentialRenewed(workflow.Context) {
	r.Renewed = r.Renewed || r.suspended()
	r.nudges++
}

func (r *run) signalModify(ctx workflow.Context, c transfer.Change) {
	if err := r.modifiable(ctx, c); err != nil {
		workflow.GetLogger(ctx).Warn("a signal to modify the task was dropped", "error", err)
		return
	}
	r.modify(ctx, c)
}

func (r *run) modify(ctx workflow.Context, c transfer.Change) {
	changed := ""
	if c.Label != nil && *c.Label != r.Task.Label {
		r.Task.Label = *c.Label
		changed += ", label"
	}
	if c.Deadline != nil && !c.Deadline.Equal(r.Task.Deadline) {
		r.Task.Deadline = *c.Deadline
		changed += ", deadline"
	}
	if c.Tuning != nil && *c.Tuning != r.Request.Tuning {
		r.Request.Tuning = *c.Tuning
		r.State.retune()
		r.retuning = true
		changed += ", tuning"
	}
	if changed == "" {
		return
	}
	r.event(ctx, transfer.Event{Code: transfer.EventUpdated, Description: "changed: " + changed[len(", "):]})
	r.publish(ctx)
	r.nudges++
}
