package activities

import (
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Ends names the two ends of a task, without secrets.
type Ends struct {
	Source                string `json:"source"`      // endpoint part: "gsiftp://host:port" or "user#name"
	Destination           string `json:"destination"` //
	SourceCredential      string `json:"source_credential,omitempty"`
	DestinationCredential string `json:"destination_credential,omitempty"`
	Owner                 string `json:"owner,omitempty"`
}

// ProbeInput asks what the two ends are and can do, by logging in to both.
type ProbeInput struct {
	Ends Ends               `json:"ends"`
	Rule transfer.RouteRule `json:"rule,omitempty"`
}

// ProbeResult is what was found.
type ProbeResult struct {
	Source, Destination End
	Route               transfer.Route `json:"route"`
	Checksum            string         `json:"checksum,omitempty"` // strongest that both ends compute
}

// End is one end as it was seen at the start.
type End struct {
	Kind       string `json:"kind"`
	Server     string `json:"server,omitempty"`
	StreamOnly bool   `json:"stream_only,omitempty"`
	Sessions   int    `json:"sessions,omitempty"` // limit across workers; 0 is none
}

// WalkInput is one step of a walk, 30 s at most.
type WalkInput struct {
	Task    transfer.TaskID  `json:"task"`
	Ends    Ends             `json:"ends"`
	Request transfer.Request `json:"request"`
	Policy  transfer.Policy  `json:"policy"`
	Probe   ProbeResult      `json:"probe"`
	Cursor  string           `json:"cursor,omitempty"` // blob key of the frontier; empty is the beginning
}

// WalkResult is what a step found. Chunks are set when a segment is complete:
// sorted by size, cut and tuned.
type WalkResult struct {
	Cursor   string            `json:"cursor,omitempty"` // of the next step; empty when the walk is over
	Chunks   []transfer.Chunk  `json:"chunks,omitempty"`
	Found    transfer.Progress `json:"found"`            // of this step alone, to be added
	Extras   []string          `json:"extras,omitempty"` // blob keys of lists of names to delete
	NExtras  int64             `json:"n_extras,omitempty"`
	Dirs     []string          `json:"dirs,omitempty"`   // blob keys: directory times and modes to set last
	Errors   int64             `json:"errors,omitempty"` // directories or files that could not be looked at
	Faults   []transfer.Fault  `json:"faults,omitempty"`
	Segments int               `json:"segments,omitempty"` // complete ones so far
}

// CopyInput is one chunk to be moved.
type CopyInput struct {
	Task     transfer.TaskID `json:"task"`
	Ends     Ends            `json:"ends"`
	Probe    ProbeResult     `json:"probe"`
	Chunk    transfer.Chunk  `json:"chunk"`
	Options  CopyOptions     `json:"options"`
	Schedule int             `json:"schedule"` // how often the workflow has scheduled this chunk
}

// CopyOptions is the part of a request that a copy obeys.
type CopyOptions struct {
	Verify       transfer.Verify    `json:"verify,omitempty"`
	PreserveTime bool               `json:"preserve_time,omitempty"`
	PreserveMode bool               `json:"preserve_mode,omitempty"`
	Encrypt      bool               `json:"encrypt,omitempty"`
	Atomic       bool               `json:"atomic,omitempty"`
	OnError      transfer.OnError   `json:"on_error,omitempty"`
	Route        transfer.RouteRule `json:"route,omitempty"` // how the bytes go, decided
}

// CopyResult says how far a chunk got. It is a result, also when the copy
// yielded; an error only when no session could be had at all.
type CopyResult struct {
	Complete    bool             `json:"complete"` // nothing is left to try
	Files       int64            `json:"files"`    // done and verified, of the whole chunk, all attempts
	Bytes       int64            `json:"bytes"`
	Unverified  int64            `json:"unverified,omitempty"`
	Checksummed int64            `json:"checksummed,omitempty"` // bytes
	Failed      []FailedFile     `json:"failed,omitempty"`      // at most 100; all are in the results
	NFailed     int64            `json:"n_failed,omitempty"`
	Faults      []transfer.Fault `json:"faults,omitempty"` // grouped, at most 20
	NFaults     int64            `json:"n_faults,omitempty"`
	Blocked     *transfer.Fault  `json:"blocked,omitempty"` // why the rest waits: credential, space, stalled, destination down
	Late        bool             `json:"late,omitempty"`    // an attempt ended uncleanly: verify its window again at the end
	Tuning      transfer.Tuning  `json:"tuning"`            // as adapted
	Elapsed     time.Duration    `json:"elapsed"`
	Yielded     bool             `json:"yielded,omitempty"`
}

// FailedFile is a file that this copy gave up on.
type FailedFile struct {
	Path     string     `json:"path"`
	Kind     fault.Kind `json:"kind"`
	Message  string     `json:"message"`
	AtSource bool       `json:"at_source,omitempty"`
}

// CopyProgress is the heartbeat of a copy: under 300 bytes.
type CopyProgress struct {
	Chunk string `json:"c"`
	Files int64  `json:"f"`
	Bytes int64  `json:"b"` // done plus in flight
	Fault string `json:"e,omitempty"`
}
