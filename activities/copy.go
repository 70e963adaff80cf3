package activities

import (
	"context"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

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
	Blocked     *transfer.Fault  `json:"blocked,omitempty"`      // why the rest waits: credential, space, stalled, destination down
	BlockedData bool             `json:"blocked_data,omitempty"` // Blocked is a data channel between the two servers that never opened: relay may help
	Late        bool             `json:"late,omitempty"`         // an attempt ended uncleanly: verify its window again at the end
	Tuning      transfer.Tuning  `json:"tuning"`                 // as adapted
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

// Copy moves the files of a chunk that its ledger does not show as done.
func (d *Data) Copy(ctx context.Context, in CopyInput) (CopyResult, error) {
	return CopyResult{}, nil
}
