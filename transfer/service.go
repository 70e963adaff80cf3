package transfer

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// Service is everything a person can ask. Every door - the command line, REST,
// the web - speaks it and nothing else. Errors are *fault.Error; asking for a
// task that is not there, or not the caller's, is NotFound.
type Service interface {
	// Submit starts a task and returns its id; with an id of the caller's own
	// choice, submitting the same again returns the first one's.
	Submit(ctx context.Context, id TaskID, req Request) (TaskID, error)
	// SubmitDelete starts a task that deletes.
	SubmitDelete(ctx context.Context, id TaskID, req DeleteRequest) (TaskID, error)

	Task(ctx context.Context, id TaskID) (Task, error)
	Tasks(ctx context.Context, q TaskQuery) (Tasks, error)
	Events(ctx context.Context, id TaskID, p Page) (Events, error)
	// Results is of all files, or of those that q selects. A page may be short,
	// or empty, of a list that goes on: only one without a Next is the last.
	Results(ctx context.Context, id TaskID, q ResultQuery) (Results, error)
	// Wait returns when the task has ended, or with ctx's error.
	Wait(ctx context.Context, id TaskID) (Task, error)

	Pause(ctx context.Context, id TaskID) error
	Resume(ctx context.Context, id TaskID) error
	Cancel(ctx context.Context, id TaskID) error
	Modify(ctx context.Context, id TaskID, change Change) error

	// Plan says what Submit would do: chunks, tunings and reasons.
	Plan(ctx context.Context, req Request) (Plan, error)

	List(ctx context.Context, at Place, p Page) (Listing, error)
	Stat(ctx context.Context, at Place) (endpoints.Entry, error)
	Mkdir(ctx context.Context, at Place) error
	Rename(ctx context.Context, at Place, to string) error

	// Check looks at what the endpoint of a place can do, and tells of each look
	// as it begins (tell may be nil). When ctx ends it waits for what was made to
	// be removed, and returns what had been found by then.
	Check(ctx context.Context, at Place, req CheckRequest, tell func(what string)) (Checkup, error)
}

// Place is a location as someone with a credential sees it.
type Place struct {
	Location   string `json:"location"` // URL or NAME:/path
	Owner      string `json:"owner,omitempty"`
	Credential string `json:"credential,omitempty"`
}

// Page asks for a part of a list. The zero Page is the first one.
type Page struct {
	Token string `json:"token,omitempty"` // from the list before; empty is the beginning
	Limit int    `json:"limit,omitempty"` // 1 to 1,000; 0 is 100
}

// TaskQuery selects tasks, newest first.
type TaskQuery struct {
	Owner  string   `json:"owner,omitempty"`
	Status []Status `json:"status,omitempty"`
	Page   Page     `json:"page,omitzero"`
}

// Tasks is a page of tasks. Next is empty on the last page, as in all lists.
type Tasks struct {
	Tasks []Task `json:"tasks"`
	Next  string `json:"next,omitempty"`
}

// Events is a page of events, oldest first.
type Events struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"`
}

// ResultQuery selects results of files. What is empty selects all.
type ResultQuery struct {
	Path   string   `json:"path,omitempty"`   // of one file, at either end
	Prefix string   `json:"prefix,omitempty"` // what its path at either end begins with
	Status []string `json:"status,omitempty"` // see Result.Status
	Page   Page     `json:"page,omitzero"`
}

// ResultStatuses are what a file may have come to. Their places in the list
// are kept in indexes: it only grows.
func ResultStatuses() []string {
	return []string{"copied", "skipped", "failed", "ignored", "deleted"}
}

// Validate says what cannot be right about a query.
func (q ResultQuery) Validate() error {
	for _, s := range q.Status {
		if !slices.Contains(ResultStatuses(), s) {
			return invalid("status", "is "+strconv.Quote(s), "write one of "+strings.Join(ResultStatuses(), ", "))
		}
	}
	return nil
}

// Selects says whether a result is one of those that are asked for.
func (q ResultQuery) Selects(r Result) bool {
	return (len(q.Status) == 0 || slices.Contains(q.Status, r.Status)) &&
		(q.Path == "" || r.Source == q.Path || r.Dest == q.Path) &&
		(q.Prefix == "" || strings.HasPrefix(r.Source, q.Prefix) || strings.HasPrefix(r.Dest, q.Prefix))
}

// Results is a page of file results.
type Results struct {
	Results []Result `json:"results"`
	Next    string   `json:"next,omitempty"`
}

// Listing is a page of a directory.
type Listing struct {
	Entries []endpoints.Entry `json:"entries"`
	Next    string            `json:"next,omitempty"`
}

// Change alters a running task. Nil leaves a thing as it is.
type Change struct {
	Label    *string    `json:"label,omitempty"`
	Deadline *time.Time `json:"deadline,omitempty"`
	Tuning   *Policy    `json:"tuning,omitempty"`
}

// DeleteRequest asks for names at one endpoint to be removed.
type DeleteRequest struct {
	Paths         []string  `json:"paths"` // locations, all of one endpoint
	Recursive     bool      `json:"recursive,omitempty"`
	IgnoreMissing bool      `json:"ignore_missing,omitempty"`
	Owner         string    `json:"owner,omitempty"`
	Label         string    `json:"label,omitempty"`
	Deadline      time.Time `json:"deadline,omitzero"`
	Credential    string    `json:"credential,omitempty"`
	Notify        string    `json:"notify,omitempty"`
}

// Plan is a task thought through without doing it.
type Plan struct {
	Route       Route    `json:"route"`
	Chunks      []Chunk  `json:"chunks"`
	Progress    Progress `json:"progress"`            // what the walk found
	Deletes     []string `json:"deletes,omitempty"`   // extras, with DeleteExtra
	Segmented   bool     `json:"segmented,omitempty"` // too large to be sorted as a whole
	Collisions  []string `json:"collisions,omitempty"`
	Truncated   bool     `json:"truncated,omitempty"`
	Description string   `json:"description,omitempty"`
}
