package workflows

import (
	"encoding/json"
	"time"

	"github.com/nexus-rpc/sdk-go/nexus"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/transfer"
)

// Registry is the part of a worker, or of a test environment, that takes
// workflows.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// Site is what a site decides for tasks that do not say. The zero Site has the
// defaults of package transfer.
type Site struct {
	Deadline time.Duration // from the submission on; 0 is transfer.DefaultDeadline
}

// Register registers every workflow under its name. The worker must have the
// activities of activities.Control registered too: some run as local ones.
func Register(to Registry, site Site) {
	for name, w := range map[string]any{
		TypeTransfer:  site.transfer,
		TypeDelete:    site.delete,
		TypeOperation: Operation,
		TypeSweep:     Sweep,
		TypeNotices:   Notices,
	} {
		to.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
}

// transfer is Transfer with this site's answers.
func (s Site) transfer(ctx workflow.Context, input json.RawMessage) (transfer.Task, error) {
	return tellTransfer(ctx, input, s)
}

// delete is Delete with this site's answers.
func (s Site) delete(ctx workflow.Context, input json.RawMessage) (transfer.Task, error) {
	return tellDelete(ctx, input, s)
}

// deadline is when a task that names no deadline has to be done. The answer is
// kept in the history: a site may change its mind, a replay must not.
func (s Site) deadline(ctx workflow.Context, submitted time.Time) (time.Time, error) {
	limit := s.Deadline
	if limit <= 0 {
		limit = transfer.DefaultDeadline
	}
	err := workflow.SideEffect(ctx, func(workflow.Context) any { return limit }).Get(&limit)
	return submitted.Add(limit), err
}

// RegisterNexus registers the Nexus service with a worker.
func RegisterNexus(to interface{ RegisterNexusService(*nexus.Service) }) error {
	s, err := nexusService()
	if err != nil {
		return err
	}
	to.RegisterNexusService(s)
	return nil
}
