// Package transfer is the domain: what is asked, what is true of a task, and
// the arithmetic in between. It is pure - no I/O, clock, goroutines or mutable
// globals - so that a workflow may call all of it, and every decision can be
// tested as a table.
package transfer

import "time"

// TaskID names a task. It is the Temporal workflow id: any string that one
// accepts; the command line chooses UUIDs.
type TaskID string

// Request asks for a transfer. It is the JSON that starts a workflow, so
// fields are only ever added and zero means "the default".
type Request struct {
	// Source and Destination are the shorthand for a single item.
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination,omitempty"`
	Recursive   bool   `json:"recursive,omitempty"`

	// Items are the files and trees to move, all between the same two
	// endpoints. At most 10,000 in a request.
	Items []Item `json:"items,omitempty"`

	Owner string `json:"owner,omitempty"` // who asks; the doors set it
	Label string `json:"label,omitempty"` // one line, at most 128 characters

	Sync        Sync   `json:"sync,omitempty"`         // when a file that is already there is copied; default always
	Verify      Verify `json:"verify,omitempty"`       // default checksum
	DeleteExtra bool   `json:"delete_extra,omitempty"` // remove what the source does not have, inside recursive items
	MaxDelete   string `json:"max_delete,omitempty"`   // "100" or "5%": more extras than this and none is deleted

	PreserveTime bool      `json:"preserve_time,omitempty"`
	PreserveMode bool      `json:"preserve_mode,omitempty"`
	Symlinks     Symlinks  `json:"symlinks,omitempty"`   // default ignore
	HardLinks    HardLinks `json:"hard_links,omitempty"` // default copy
	Filters      []Filter  `json:"filters,omitempty"`    // first match wins; none is included
	ModifyWindow Duration  `json:"modify_window,omitempty"`

	Deadline   time.Time `json:"deadline,omitzero"` // default 7 days after submission
	Encrypt    bool      `json:"encrypt,omitempty"`
	Atomic     bool      `json:"atomic,omitempty"` // a temporary name and a rename for every file
	OnError    OnError   `json:"on_error,omitempty"`
	FailOnFull bool      `json:"fail_on_quota,omitempty"` // no space is a failure, not a wait
	MaxFaults  int64     `json:"max_faults,omitempty"`    // with more faults than this the task has FAILED; 0 is no limit
	Route      RouteRule `json:"route,omitempty"`
	Tuning     Policy    `json:"tuning,omitzero"`

	SourceCredential      string `json:"source_credential,omitempty"`
	DestinationCredential string `json:"destination_credential,omitempty"`
	Notify                string `json:"notify,omitempty"`
}

// Item is one thing to move. A location is a URL (gsiftp://host/path) or
// NAME:/path for an endpoint that the site knows.
type Item struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Recursive   bool   `json:"recursive,omitempty"` // the contents of Source go into Destination
}

// Sync says when a file that exists at the destination is copied again. The
// numbers are the published sync levels, which the command takes as well.
type Sync string

// The sync rules. A level includes those before it: size also copies what
// does not exist.
const (
	SyncAlways   Sync = ""
	SyncExists   Sync = "exists"   // 0: only when it does not exist
	SyncSize     Sync = "size"     // 1: or the size differs
	SyncModified Sync = "mtime"    // 2: or the source is newer, or the size differs
	SyncChecksum Sync = "checksum" // 3: or the checksum differs
)

// Verify says how an arrived file is checked.
type Verify string

// The ways to verify.
const (
	VerifyChecksum Verify = "" // both ends' checksums, or computed while relaying, or read back
	VerifySize     Verify = "size"
	VerifyNone     Verify = "none"
)

// Symlinks says what happens to symbolic links met on the walk.
type Symlinks string

// The ways to treat symbolic links.
const (
	SymlinksIgnore Symlinks = ""
	SymlinksKeep   Symlinks = "keep" // made again at the destination
	SymlinksCopy   Symlinks = "copy" // what they point at is copied
)

// HardLinks says what happens to several names of one file.
type HardLinks string

// The ways to treat hard links.
const (
	HardLinksCopy HardLinks = ""     // each name becomes a file of its own
	HardLinksKeep HardLinks = "keep" // names that are found together are one file at the destination, too
)

// OnError says what an unreadable source file or a refused destination does
// to the task.
type OnError string

// The ways to take errors of single files.
const (
	OnErrorRetry OnError = ""     // everything else first, five tries, then FAILED with the list
	OnErrorSkip  OnError = "skip" // listed and done without
	OnErrorFail  OnError = "fail" // stop at once
)

// RouteRule restricts the data path.
type RouteRule string

// The rules for the data path.
const (
	RouteAuto       RouteRule = ""
	RouteThirdParty RouteRule = "third-party"
	RouteRelay      RouteRule = "relay"
)

// Filter includes or excludes names met on the walk by a glob over the last
// path element. An excluded directory is not entered.
type Filter struct {
	Exclude bool   `json:"exclude,omitempty"`
	Name    string `json:"name"`           // "*.tmp"
	Type    string `json:"type,omitempty"` // "file", "dir", or both when empty
}

// Duration is a time.Duration that is a string ("2s", "36h", "7d") in JSON.
type Duration time.Duration

// Policy asks for a way of tuning. The zero Policy is auto.
type Policy struct {
	Name        string `json:"name,omitempty"` // "auto" or "classic"
	Concurrency int    `json:"cc,omitempty"`   // fixed values; 0 leaves the choice to the policy
	Parallelism int    `json:"p,omitempty"`
	Pipelining  int    `json:"pp,omitempty"`

	// RangeSize, in bytes: a file of at least twice as much is copied in ranges
	// of this size, by several workers at once. 0 leaves that to the policy,
	// below 0 is never.
	RangeSize int64 `json:"range_size,omitempty"`
}
