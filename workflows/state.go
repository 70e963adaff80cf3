package workflows

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// State is everything that survives continue-as-new. Fields are only ever
// added, and zero means "as before": a run of a newer release reads what an
// older one left.
type State struct {
	Policies Policies                `json:"policies"`
	Key      transfer.TaskID         `json:"key"` // of ledgers, events and results
	Request  transfer.Request        `json:"request,omitzero"`
	Delete   *transfer.DeleteRequest `json:"delete,omitempty"` // of a delete task, instead of Request
	Ends     activities.Ends         `json:"ends"`
	Task     transfer.Task           `json:"task"`            // Chunks stay empty: they are made for each query
	Probe    *activities.ProbeResult `json:"probe,omitempty"` // nil until both ends are activated
	Rule     transfer.RouteRule      `json:"rule,omitempty"`  // as asked, or relay after a blocked data channel

	Walk   Walk             `json:"walk"`
	Work   []*Work          `json:"work,omitempty"`   // not complete, in the order of scheduling
	Recent []transfer.Chunk `json:"recent,omitempty"` // the last ones that ended
	Copied time.Time        `json:"copied,omitzero"`  // when the first chunk was scheduled

	Cursor      string                  `json:"cursor,omitempty"` // of deleting, then of finishing
	ExtrasGone  bool                    `json:"extras_gone,omitempty"`
	Strict      *transfer.Fault         `json:"strict,omitempty"` // why the task has FAILED although everything else was done
	Failed      []activities.FailedFile `json:"failed,omitempty"` // files given up, at most 20
	NFailed     int64                   `json:"n_failed,omitempty"`
	MustSettle  bool                    `json:"must_settle,omitempty"` // something may be left to verify or to remove at the end
	Hold        Hold                    `json:"hold,omitzero"`
	Told        time.Time               `json:"told,omitzero"`    // when the owner was last told that only somebody else can help
	Events      []transfer.Event        `json:"events,omitempty"` // not recorded yet
	EventPage   int                     `json:"event_page,omitempty"`
	Recorded    time.Time               `json:"recorded,omitzero"`
	Attributes  []string                `json:"attributes,omitempty"` // of ours, which the namespace has
	AskedSearch bool                    `json:"asked_search,omitempty"`
	Canceled    bool                    `json:"canceled,omitempty"` // by update or signal
	PausedSince time.Time               `json:"paused_since,omitzero"`
	PausedBy    string                  `json:"paused_by,omitempty"` // as far as it was said
	Runs        int                     `json:"runs,omitempty"`

	Suspension
	Stage     Stage             `json:"stage,omitzero"`
	Addressed bool              `json:"addressed,omitempty"` // somebody hears of the owner's tasks that name no address
	Telling   []transfer.Notice `json:"telling,omitempty"`   // notices that have not arrived yet
}

// Walk is how far the walk has come.
type Walk struct {
	Cursor   string   `json:"cursor,omitempty"`
	Done     bool     `json:"done,omitempty"`
	Segments int      `json:"segments,omitempty"`
	Errors   int64    `json:"errors,omitempty"`
	Extras   []string `json:"extras,omitempty"`
	NExtras  int64    `json:"n_extras,omitempty"`
	Dirs     []string `json:"dirs,omitempty"`
}

// Work is a chunk that is not complete, and what its copies said so far.
type Work struct {
	Chunk        transfer.Chunk `json:"chunk"`
	Schedules    int            `json:"schedules,omitempty"`
	Tries        int            `json:"tries,omitempty"` // that ended with files refused
	Files        int64          `json:"files,omitempty"` // as last reported, all attempts
	Bytes        int64          `json:"bytes,omitempty"`
	Skipped      int64          `json:"skipped,omitempty"`
	SkippedBytes int64          `json:"skipped_bytes,omitempty"`
	Unverified   int64          `json:"unverified,omitempty"`
	Checksummed  int64          `json:"checksummed,omitempty"`
	Blocks       int            `json:"blocks,omitempty"` // in a row, of the kind
	BlockKind    fault.Kind     `json:"block_kind,omitempty"`
	NotBefore    time.Time      `json:"not_before,omitzero"`
	Last         bool           `json:"last,omitempty"` // after everything else
	File         string         `json:"file,omitempty"` // of a range: the chunk that joins it with others
	Ranges

	flying bool                // a copy activity is at it in this run
	stop   workflow.CancelFunc // of a range: asks that copy to land
}

// Hold is why nothing new is begun for now. What goes well anywhere ends it; a
// chunk that was blocked waits out its own time all the same.
type Hold struct {
	Fault transfer.Fault `json:"fault"`
	Tries int            `json:"tries"`          // faults of this kind in a row
	Since time.Time      `json:"since,omitzero"` // of the first of them
	Until time.Time      `json:"until,omitzero"`
}

// Policies are the numbers of one logic version. They are read once, into the
// state of the first run.
type Policies struct {
	Logic       int           `json:"logic"`
	Window      int           `json:"window"`       // copy activities at once; the server allows 2,000 pending
	Sessions    int           `json:"sessions"`     // pairs of sessions at once
	Backlog     int           `json:"backlog"`      // chunks waiting for their turn before the walk waits
	DrainEvents int           `json:"drain_events"` // begin to drain here; the server's hint comes only at 4,096
	DrainBytes  int           `json:"drain_bytes"`  // and 4 MiB
	MaxRun      time.Duration `json:"max_run"`      // continue even when idle, so that code patches live one release
	Look        time.Duration `json:"look"`         // while waiting for a credential
	Cleanup     time.Duration `json:"cleanup"`      // bound of all that is done after a failure
	Record      time.Duration `json:"record"`       // age at which the projection is written again
}

func defaultPolicies() Policies {
	return Policies{
		Logic:       1,
		Window:      100,
		Sessions:    transfer.DefaultSessions,
		Backlog:     400,
		DrainEvents: 3000,
		DrainBytes:  3 << 20,
		MaxRun:      24 * time.Hour,
		Look:        time.Minute,
		Cleanup:     5 * time.Minute,
		Record:      time.Minute,
	}
}

// Continued is the input of a run that continues another one.
type Continued struct {
	State *State `json:"state"`
}

// continued returns the state that an earlier run left, or nil for a first
// run. Only a continuing run may bring its state along: it was not validated.
func continued(ctx workflow.Context, input json.RawMessage) (*State, error) {
	if workflow.GetInfo(ctx).ContinuedExecutionRunID == "" {
		return nil, nil
	}
	var c Continued
	if err := json.Unmarshal(input, &c); err != nil {
		return nil, fault.Wrap(fault.Internal, "read", "the state of the run before", err)
	}
	return c.State, nil // nil: a cron or retry run, which begins anew
}

// newTransferState validates a request and is the state of its first run.
func newTransferState(ctx workflow.Context, input json.RawMessage, site Site) (*State, error) {
	now := submitted(ctx)
	req, err := transfer.DecodeRequest(input)
	if err != nil {
		return nil, err
	}
	if req.Deadline.IsZero() {
		if req.Deadline, err = site.deadline(ctx, now); err != nil {
			return nil, err
		}
	}
	if req, err = req.Checked(now); err != nil {
		return nil, err
	}
	src, err := transfer.ParseLocation(req.Items[0].Source)
	if err != nil {
		return nil, err
	}
	dst, err := transfer.ParseLocation(req.Items[0].Destination)
	if err != nil {
		return nil, err
	}
	s := newState(ctx, "TRANSFER", now)
	s.Request, s.Rule = req, req.Route
	s.Ends = activities.Ends{
		Source:                src.Endpoint,
		Destination:           dst.Endpoint,
		SourceCredential:      req.SourceCredential,
		DestinationCredential: req.DestinationCredential,
		Owner:                 req.Owner,
	}
	s.Task.Owner, s.Task.Label, s.Task.Deadline = req.Owner, req.Label, req.Deadline
	s.Task.Source, s.Task.Destination = req.Items[0].Source, req.Items[0].Destination
	if n := len(req.Items) - 1; n > 0 {
		s.Task.Source = fmt.Sprintf("%s (and %d more)", s.Task.Source, n)
	}
	s.Task.Progress.Walking = true
	return s, nil
}

// newDeleteState is newTransferState for a request to delete.
func newDeleteState(ctx workflow.Context, input json.RawMessage, site Site) (*State, error) {
	now := submitted(ctx)
	req, err := transfer.DecodeDeleteRequest(input)
	if err != nil {
		return nil, err
	}
	if req.Deadline.IsZero() {
		if req.Deadline, err = site.deadline(ctx, now); err != nil {
			return nil, err
		}
	}
	if err := req.Validate(now); err != nil {
		return nil, err
	}
	at, err := transfer.ParseLocation(req.Paths[0])
	if err != nil {
		return nil, err
	}
	s := newState(ctx, "DELETE", now)
	s.Delete = &req
	s.Ends = activities.Ends{Destination: at.Endpoint, DestinationCredential: req.Credential, Owner: req.Owner}
	s.Task.Owner, s.Task.Label, s.Task.Deadline = req.Owner, req.Label, req.Deadline
	s.Task.Destination = req.Paths[0]
	if n := len(req.Paths) - 1; n > 0 {
		s.Task.Destination = fmt.Sprintf("%s (and %d more)", s.Task.Destination, n)
	}
	return s, nil
}

// submitted is when the task was asked for, which may be long before the first
// worker saw it.
func submitted(ctx workflow.Context) time.Time { return workflow.GetInfo(ctx).WorkflowStartTime }

func newState(ctx workflow.Context, kind string, now time.Time) *State {
	info := workflow.GetInfo(ctx)
	return &State{
		Policies: defaultPolicies(),
		Key:      Key(info.WorkflowExecution.ID, info.FirstRunID),
		Task: transfer.Task{
			ID:        transfer.TaskID(info.WorkflowExecution.ID),
			Type:      kind,
			Status:    transfer.Active,
			Phase:     transfer.PhaseStarting,
			Requested: now,
		},
	}
}

// notify says whom to tell; empty for nobody.
func (s *State) notify() string {
	if s.Delete != nil {
		return s.Delete.Notify
	}
	return s.Request.Notify
}

// onError is what the request says of single files.
func (s *State) onError() transfer.OnError { return s.Request.OnError }

// express reports whether the request is one for the express path.
func (s *State) express() bool {
	return len(s.Request.Items) == 1 && !s.Request.Items[0].Recursive && !s.Request.DeleteExtra
}

// copyOptions is the part of the request that copies obey.
func (s *State) copyOptions() activities.CopyOptions {
	opts := activities.CopyOptions{
		Verify:       s.Request.Verify,
		PreserveTime: s.Request.PreserveTime,
		PreserveMode: s.Request.PreserveMode,
		Encrypt:      s.Request.Encrypt,
		Atomic:       s.Request.Atomic,
		OnError:      s.Request.OnError,
	}
	if s.Probe != nil {
		opts.Route = s.Probe.Route.Path
	}
	return opts
}

// retune gives every waiting chunk the tuning of the request's policy.
func (s *State) retune() {
	at := transfer.Setting{Sessions: s.Policies.Sessions}
	if s.Probe != nil {
		at = s.Probe.Setting()
	}
	for _, w := range s.Work {
		// A chunk remembers its class, not its extremes: the smallest size that
		// the class allows leads back to the same class.
		stats := transfer.Stats{Files: w.Chunk.Files, Bytes: w.Chunk.Bytes, Max: w.Chunk.Bytes}
		if w.Chunk.Class == transfer.Large {
			stats.Min = transfer.LargeMin + 1
		}
		w.Chunk.Tuning = transfer.Tune(s.Request.Tuning, stats, at)
		if p := w.Chunk.Ranged; p != nil {
			w.Chunk.Tuning = transfer.TuneRange(s.Request.Tuning, *p, at)
		}
	}
}

// addFailed keeps the first few files given up; all are in the results.
func (s *State) addFailed(files []activities.FailedFile, n int64) {
	const keep = 20
	s.NFailed += n
	s.Task.Progress.FilesFailed += n
	s.Failed = append(s.Failed, files[:min(len(files), max(0, keep-len(s.Failed)))]...)
}

// done moves a chunk from the work to the recent ones.
func (s *State) done(w *Work, state string) {
	const keep = 90
	s.Work = slices.DeleteFunc(s.Work, func(o *Work) bool { return o == w })
	c := w.Chunk
	if c.Staged && w.File == "" {
		s.Stage.Done = append(s.Stage.Done, c.Sheet)
	}
	c.State, c.Done = state, w.Files
	s.Recent = append(s.Recent, c)
	if n := len(s.Recent) - keep; n > 0 {
		s.Recent = slices.Delete(s.Recent, 0, n)
	}
}

// waiting counts the chunks that no copy is at.
func (s *State) waiting() int {
	n := 0
	for _, w := range s.Work {
		if !w.flying {
			n++
		}
	}
	return n
}

// failure is the end of a task that has FAILED.
type failure struct{ fault transfer.Fault }

func (f *failure) Error() string { return f.fault.Message }

// What else ends the work of a run. A cancellation is workflow.ErrCanceled.
var (
	errExpired = errors.New("the deadline has passed")
	errDrain   = errors.New("the history is long enough") // continue as new
)
