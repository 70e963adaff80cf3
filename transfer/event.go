package transfer

import "time"

// EventCode names what happened. Progress has a code of its own, so that no
// client mistakes it for success.
type EventCode string

// The events.
const (
	EventStarted    EventCode = "STARTED"
	EventRoute      EventCode = "ROUTE"
	EventChunk      EventCode = "CHUNK_STARTED"
	EventProgress   EventCode = "PROGRESS"
	EventAdapted    EventCode = "ADAPTED" // a worker moves a chunk with more or fewer sessions than planned
	EventFault      EventCode = "FAULT"
	EventPaused     EventCode = "PAUSED"
	EventResumed    EventCode = "UNPAUSED"
	EventUpdated    EventCode = "UPDATED"
	EventInactive   EventCode = "INACTIVE"
	EventActivated  EventCode = "ACTIVATED"
	EventExpiring   EventCode = "EXPIRING"        // a credential ends before the task will
	EventArchive    EventCode = "ARCHIVE"         // files have to come from an archive, or have come
	EventServerOut  EventCode = "SERVER_LEFT_OUT" // one of an endpoint's servers does not answer
	EventServerBack EventCode = "SERVER_BACK"
	EventSucceeded  EventCode = "SUCCEEDED"
	EventFailed     EventCode = "FAILED"
	EventCanceled   EventCode = "CANCELED"
	EventExpired    EventCode = "EXPIRED"
)

// Event is one thing that happened to a task.
type Event struct {
	Time        time.Time `json:"time"`
	Code        EventCode `json:"code"`
	Description string    `json:"description"`
	Fault       *Fault    `json:"fault,omitempty"` // set for faults; carries the server's words
	Chunk       string    `json:"chunk,omitempty"`
}

// Result is how one file of a task ended.
type Result struct {
	Source    string `json:"source"`
	Dest      string `json:"destination"`
	Size      int64  `json:"size"`
	Algorithm string `json:"checksum_algorithm,omitempty"`
	Checksum  string `json:"checksum,omitempty"`
	Status    string `json:"status"` // "copied", "skipped", "failed", "ignored", "deleted"
	Fault     *Fault `json:"fault,omitempty"`
}
