package transfer

import (
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Prospect is how it looks for a task.
type Prospect string

// The prospects.
const (
	Progressing Prospect = "progressing"
	Waiting     Prospect = "waiting" // for what For says; it goes on by itself when that comes
	Doomed      Prospect = "doomed"  // it will fail unless somebody does something
	Stopping    Prospect = "stopping"
	Ended       Prospect = "ended"
)

// What a task waits for, or is doomed by.
const (
	ForCredential = "credential"
	ForSpace      = "space"    // at the destination
	ForStore      = "store"    // room for gridferry's own manifests and ledgers
	ForLimit      = "limit"    // its turn at an endpoint that takes so many and no more
	ForDrained    = "drained"  // an endpoint to be back from maintenance
	ForArchive    = "archive"  // to bring files online
	ForServer     = "server"   // a server, or the network
	ForWorker     = "worker"   // a gridferry worker
	ForResume     = "resume"   // somebody to end a pause
	ForFiles      = "files"    // names that are refused
	ForDeadline   = "deadline" // which will pass first
	ForFaults     = "faults"   // there are about as many as it may have
	ForOperator   = "operator" // of gridferry itself
)

// Outlook is the verdict on a task, taken apart.
type Outlook struct {
	Prospect Prospect  `json:"prospect"`
	For      string    `json:"for,omitempty"`
	Text     string    `json:"text"` // one sentence, without the rest
	Since    time.Time `json:"since,omitzero"`
	Hint     string    `json:"hint,omitempty"` // what to do about it
}

// String is the verdict in one sentence.
func (o Outlook) String() string {
	s := o.Text
	if !o.Since.IsZero() {
		s += "; since " + o.Since.UTC().Format("2006-01-02 15:04:05 MST")
	}
	if o.Hint != "" {
		s += " (" + o.Hint + ")"
	}
	return s
}

// WaitsFor says what a task waits for that has to do with a fault, and what
// can be done about it.
func WaitsFor(f Fault) (what, hint string) {
	switch f.Kind {
	case fault.Credential:
		if f.Reason == ReasonConfigured {
			return ForCredential, "put that right, and it goes on by itself"
		}
		return ForCredential, `"gridferry endpoint activate" gives it one`
	case fault.NoSpace:
		if f.OwnStore {
			return ForStore, `the operator of gridferry makes room, or "gridferryd gc" does; it goes on by itself`
		}
		return ForSpace, "make room at the destination, and it goes on by itself"
	case fault.Busy:
		switch f.Reason {
		case ReasonDrained:
			return ForDrained, "its operator puts it back into use, and it goes on by itself"
		case ReasonArchive:
			return ForArchive, "it goes on by itself as they come"
		case ReasonLimit:
			return ForLimit, "it goes on by itself when others are done"
		}
		return ForServer, "it is tried again until the deadline"
	case fault.NotFound, fault.Permission, fault.Exists, fault.Unsupported, fault.Integrity, fault.Invalid:
		return ForFiles, "put that right, or cancel the task"
	case fault.Transient, fault.Canceled:
		return ForServer, "it is tried again until the deadline"
	}
	return ForOperator, "the log of gridferryd says more"
}

// Reasons of Busy and Credential faults, where they are known.
const (
	ReasonDrained = "drained" // out of use, by an operator's word
	ReasonArchive = "archive" // files are on their way from an archive
	ReasonLimit   = "limit"   // as many are let in as there may be

	ReasonConfigured = "configured" // what refused it is put right where the credential is kept or at the server: none can be activated
)
