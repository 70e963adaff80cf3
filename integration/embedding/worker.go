package embedding

import (
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// NewWorker returns a worker of the analysis. It serves none of gridferry's
// queues.
func NewWorker(c client.Client) worker.Worker {
	w := worker.New(c, Queue, worker.Options{})
	w.RegisterWorkflow(Analysis)
	w.RegisterActivity(Describe)
	return w
}
