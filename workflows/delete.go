package workflows

import (
	"encoding/json"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/transfer"
)

// Delete removes what a transfer.DeleteRequest names. Input, result, errors,
// updates, signals and the query are those of Transfer.
func Delete(ctx workflow.Context, input json.RawMessage) (transfer.Task, error) {
	return tellDelete(ctx, input, Site{})
}

func tellDelete(ctx workflow.Context, input json.RawMessage, site Site) (transfer.Task, error) {
	s, err := continued(ctx, input)
	if s == nil && err == nil {
		s, err = newDeleteState(ctx, input, site)
	}
	if err != nil {
		return transfer.Task{}, refusal(err)
	}
	r := newRun(ctx, s)
	if err := r.listen(ctx); err != nil {
		return transfer.Task{}, err
	}
	r.begin(ctx)
	return r.end(ctx, TypeDelete, r.delete(ctx))
}

func (r *run) delete(ctx workflow.Context) error {
	if r.Probe == nil {
		r.keepRecord(ctx, true)
		if err := r.activate(ctx); err != nil {
			return err
		}
		r.Task.Phase = transfer.PhaseDeleting
		r.publish(ctx)
	}
	for {
		cursor, err := r.deleteStep(ctx, activities.DeleteInput{Task: r.Key, Ends: r.Ends, Request: r.Delete, Cursor: r.Cursor})
		if err != nil {
			return err
		}
		if r.Cursor = cursor; cursor == "" {
			break
		}
	}
	if r.Strict != nil {
		return &failure{*r.Strict}
	}
	return nil
}
