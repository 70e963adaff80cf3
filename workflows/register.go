package workflows

import (
	"github.com/nexus-rpc/sdk-go/nexus"
	"go.temporal.io/sdk/workflow"
)

// Registry is the part of a worker, or of a test environment, that takes
// workflows.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// Register registers every workflow under its name. The worker must have the
// activities of activities.Control registered too: some run as local ones.
func Register(to Registry) {
	for name, w := range map[string]any{
		TypeTransfer:  Transfer,
		TypeDelete:    Delete,
		TypeOperation: Operation,
		TypeSweep:     Sweep,
	} {
		to.RegisterWorkflowWithOptions(w, workflow.RegisterOptions{Name: name})
	}
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
