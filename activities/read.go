package activities

import (
	"context"

	"github.com/gridferry/gridferry/transfer"
)

// ReadWhat names a kind of thing to read.
type ReadWhat string

// What can be read.
const (
	ReadTask    ReadWhat = "task"
	ReadTasks   ReadWhat = "tasks"
	ReadEvents  ReadWhat = "events"
	ReadResults ReadWhat = "results"
	ReadSheet   ReadWhat = "sheet"
)

// ReadInput asks for a page of what is kept of a task.
type ReadInput struct {
	What  ReadWhat           `json:"what"`
	Task  transfer.TaskID    `json:"task,omitempty"`
	Key   string             `json:"key,omitempty"`  // of a sheet: Chunk.Sheet
	Query transfer.TaskQuery `json:"query,omitzero"` // for tasks
	Page  transfer.Page      `json:"page,omitzero"`  // for events, results and sheets
}

// ReadResult is what was asked for.
type ReadResult struct {
	Task    *transfer.Task    `json:"task,omitempty"`
	Tasks   *transfer.Tasks   `json:"tasks,omitempty"`
	Events  []transfer.Event  `json:"events,omitempty"`
	Results []transfer.Result `json:"results,omitempty"`
	Files   []transfer.File   `json:"files,omitempty"`
	Next    string            `json:"next,omitempty"` // empty on the last page
}

// Read returns a page of events, results, a chunk's files, or tasks.
func (c *Control) Read(ctx context.Context, in ReadInput) (ReadResult, error) {
	return ReadResult{}, nil
}
