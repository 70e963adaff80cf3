package transfer

import (
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Status is where a task stands.
type Status string

// The statuses. A paused task is ACTIVE with Paused set; a cancelled or
// expired one has FAILED.
const (
	Active    Status = "ACTIVE"
	Inactive  Status = "INACTIVE" // waits for its owner: a credential
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
)

// Phase is what an active task is at.
type Phase string

// The phases, in the order of the story.
const (
	PhaseStarting Phase = "starting"
	PhaseCopying  Phase = "copying" // walking too, as long as Progress.Walking
	PhaseDeleting Phase = "deleting"
	PhaseFinish   Phase = "finishing" // late verification, directory times
	PhaseDone     Phase = "done"
)

// Task is what is true of a task now. It answers the "status" query.
type Task struct {
	ID          TaskID    `json:"task_id"`
	Type        string    `json:"type"` // "TRANSFER" or "DELETE"
	Status      Status    `json:"status"`
	Paused      bool      `json:"is_paused"`
	Phase       Phase     `json:"phase"`
	Verdict     string    `json:"verdict"`          // progressing, waiting for what, or doomed why: one sentence
	Outlook     Outlook   `json:"outlook,omitzero"` // the same, taken apart
	Owner       string    `json:"owner,omitempty"`
	Label       string    `json:"label,omitempty"`
	Source      string    `json:"source"` // the first item's, with a count of others
	Destination string    `json:"destination"`
	Route       Route     `json:"route,omitzero"`
	Requested   time.Time `json:"request_time"`
	Completed   time.Time `json:"completion_time,omitzero"`
	Deadline    time.Time `json:"deadline"`
	Progress    Progress  `json:"progress"`
	Chunks      []Chunk   `json:"chunks,omitempty"` // those under way and the last ones done, at most 100
	LastFault   *Fault    `json:"last_fault,omitempty"`
	Fatal       *Fault    `json:"fatal_error,omitempty"`
	AsOf        time.Time `json:"as_of,omitzero"` // of a projection, when no worker answers
}

// Progress counts. Totals grow while the walk goes on.
type Progress struct {
	Walking          bool  `json:"walking,omitempty"`
	Files            int64 `json:"files"` // found and wanted
	Bytes            int64 `json:"bytes"`
	Directories      int64 `json:"directories"`
	Links            int64 `json:"symlinks,omitempty"`
	FilesDone        int64 `json:"files_transferred"`
	BytesDone        int64 `json:"bytes_transferred"`
	FilesUnverified  int64 `json:"files_unverified,omitempty"`  // only their size could be compared
	FilesSkipped     int64 `json:"files_skipped"`               // by sync: already there
	FilesFailed      int64 `json:"files_failed"`                // given up, listed in the results
	FilesOffline     int64 `json:"files_offline,omitempty"`     // of Files: in an archive, and asked for or to be
	EntriesIgnored   int64 `json:"entries_ignored,omitempty"`   // links, devices, sockets, filtered
	Deleted          int64 `json:"deleted,omitempty"`           // extras removed
	BytesChecksummed int64 `json:"bytes_checksummed,omitempty"` //
	Faults           int64 `json:"faults"`

	// Of what is in flight, merged in from heartbeats; zero in a history.
	FilesInFlight int64    `json:"files_in_flight,omitempty"`
	BytesInFlight int64    `json:"bytes_in_flight,omitempty"`
	Rate          float64  `json:"bytes_per_second"` // effective, since the start; bytes
	ETA           Duration `json:"eta,omitempty"`    // 0 is unknown
}

// Fault is an error as history and people see it: classified, and free of
// secrets.
type Fault struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Path    string     `json:"path,omitempty"`
	Time    time.Time  `json:"time,omitzero"`
	Count   int64      `json:"count,omitempty"`

	// OwnStore: what has no space is gridferry's own store, not a destination.
	OwnStore bool `json:"own_store,omitempty"`
	// Reason tells Busy and Credential faults apart: ReasonDrained, ReasonLimit,
	// ReasonConfigured or empty.
	Reason string `json:"reason,omitempty"`

	// Of a Credential fault, as far as it is known: see endpoints.CredentialError.
	Domain      string `json:"domain,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Chunk is a group of files of like size that one copy activity moves with
// one tuning (the CACM article's term).
type Chunk struct {
	ID     string `json:"id"`     // unique in the task: segment and number
	Sheet  string `json:"sheet"`  // blob key of the list of its files
	Files  int64  `json:"files"`  //
	Bytes  int64  `json:"bytes"`  //
	Class  Class  `json:"class"`  //
	Tuning Tuning `json:"tuning"` //
	State  string `json:"state,omitempty"`
	Done   int64  `json:"done,omitempty"` // files

	Ranged *Ranged `json:"ranged,omitempty"` // of one file that is copied in ranges
	Staged bool    `json:"staged,omitempty"` // of files that an archive has brought online
}

// Class groups sizes as the heuristics see them.
type Class string

// The classes.
const (
	Small  Class = "small"  // mean under 50 MB
	Medium Class = "medium" // neither
	Large  Class = "large"  // all over 250 MB
)

// Tuning is how a chunk is moved, and why.
type Tuning struct {
	Concurrency int    `json:"cc"`               // files in transit at once: pairs of sessions
	Parallelism int    `json:"p"`                // sockets per file
	Pipelining  int    `json:"pp"`               // requests outstanding per pair of sessions
	Buffer      int    `json:"buffer,omitempty"` // bytes; 0 leaves it to the systems
	Reason      string `json:"reason"`

	// MaxConcurrency is how many pairs of sessions a worker that measures may
	// go up to by itself; 0: Concurrency stays as it is.
	MaxConcurrency int `json:"max_cc,omitempty"`
}

// Route is the data path of a task, and the task queue of the workers that
// can drive it.
type Route struct {
	Path   RouteRule `json:"path"` // third-party or relay
	Queue  string    `json:"queue"`
	Reason string    `json:"reason"`
}

// File is one line of a chunk's sheet: a file to be copied.
type File struct {
	Source  string    `json:"s"`
	Dest    string    `json:"d"`
	Size    int64     `json:"n"`
	ModTime time.Time `json:"m,omitzero"`
	Mode    uint32    `json:"p,omitempty"`
	Link    string    `json:"l,omitempty"` // make this symbolic link instead
	Inode   string    `json:"i,omitempty"` // see endpoints.Entry; set where hard links are kept
	Same    string    `json:"h,omitempty"` // Dest of an earlier file of the chunk that is this one under another name
	Exists  bool      `json:"e,omitempty"` // the destination name is, or may be, taken
	Check   bool      `json:"c,omitempty"` // the destination has a file of this size: copy only if the checksums differ
}
