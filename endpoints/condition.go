package endpoints

import (
	"context"
	"time"
)

// Condition is what workers tell each other of the servers of all endpoints.
type Condition struct {
	Drains []Drain `json:"drains"` // what operators have taken out of use
	Down   []Down  `json:"down"`   // what did not answer lately
}

// Drain takes an endpoint or a server out of use for maintenance: nothing new
// is begun there, and what is under way ends at the next file.
type Drain struct {
	// Name is an endpoint's, or a server as HOST:PORT, which is drained in
	// whatever endpoint it is.
	Name   string    `json:"name"`
	By     string    `json:"by,omitempty"`     // who said so
	Reason string    `json:"reason,omitempty"` // in his words
	Since  time.Time `json:"since"`
}

// Down is a server that some worker leaves out, because it does not answer.
type Down struct {
	Server string    `json:"server"` // HOST:PORT
	Why    string    `json:"why"`
	Since  time.Time `json:"since"` // by the clock of the store
	By     string    `json:"by"`    // the worker
}

// Conditions is where the condition of servers is kept for all workers.
type Conditions interface {
	// Condition returns it as it is now.
	Condition(ctx context.Context) (Condition, error)
	// PutDown keeps a server as down for the time of keep, unless it is put
	// again; with an empty Why it is up again.
	PutDown(ctx context.Context, d Down, keep time.Duration) error
}

// ServerChange says that one of an endpoint's servers has been left out, or
// that it is in use again.
type ServerChange struct {
	Server string    `json:"server"`
	Out    bool      `json:"out,omitempty"`
	Why    string    `json:"why,omitempty"` // with Out
	Time   time.Time `json:"time"`
}

// Watched is storage with servers that may be left out.
type Watched interface {
	// Watch calls fn for each change until stop. fn must not wait.
	Watch(fn func(ServerChange)) (stop func())
}

// DrainedError is in the chain of Busy errors that say that an endpoint is out of
// use for maintenance. It may be for hours.
type DrainedError struct{ Drain Drain }

func (e *DrainedError) Error() string {
	text := "out of use for maintenance since " + e.Drain.Since.UTC().Format("2006-01-02 15:04 MST")
	if e.Drain.By != "" {
		text += ", by " + e.Drain.By
	}
	if e.Drain.Reason != "" {
		text += ": " + e.Drain.Reason
	}
	return text
}

// Drainer is an Opener that knows what is out of use.
type Drainer interface {
	// Drained returns why nothing may be begun at an endpoint; nil when it is
	// in use.
	Drained(rec Record) *Drain
}
