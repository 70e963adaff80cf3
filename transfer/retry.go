package transfer

import (
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Action is what is done about a fault.
type Action string

// The actions.
const (
	Again     Action = "again"      // after Delay
	Wait      Action = "wait"       // after Delay, and tell the owner: only somebody else can help
	Suspend   Action = "suspend"    // until a credential is renewed, and tell the owner
	SkipFile  Action = "skip"       // list the file and go on without it
	FailLater Action = "fail-later" // list the file, do everything else, then the task has FAILED
	FailNow   Action = "fail-now"   // the task has FAILED
)

// Trouble is a fault, and what is known of how it came about.
type Trouble struct {
	Kind       fault.Kind
	Attempt    int     // how often the same thing has failed by now; 1 is the first time
	OfFile     bool    // of a single file, at ends that do other things; otherwise of a step of the task
	OnError    OnError // what the request says of single files
	FailOnFull bool    // no space is a failure
	OwnStore   bool    // it is gridferry's own store that has no space
}

// Answer is what is done about a fault.
type Answer struct {
	Action Action
	Delay  time.Duration // before the next attempt; the caller may add jitter
	Last   bool          // the next attempt comes after everything else in the task
}

// How often a thing is tried in all.
const (
	TriesRefused   = 5  // NotFound, Permission, Exists, and Unsupported of a step
	TriesIntegrity = 4  // once, and copied again three times
	TriesInternal  = 10 //
)

// AnswerTo is the one table of answers to faults. The deadline is not in it:
// it ends every wait.
func AnswerTo(t Trouble) Answer {
	attempt, rule := max(t.Attempt, 1), canonical(t.OnError, onErrorNames)
	switch t.Kind {
	case fault.Transient:
		return Answer{Action: Again, Delay: backoff(attempt, time.Second, 5*time.Minute)}
	case fault.Busy:
		return Answer{Action: Again, Delay: backoff(attempt, time.Second, 5*time.Second)}
	case fault.Canceled:
		// Whoever asked us to stop decides whether there is a next time.
		return Answer{Action: Again}
	case fault.Credential:
		return Answer{Action: Suspend}
	case fault.NoSpace:
		if t.OwnStore {
			// Nothing that the request says is about this, and whoever makes
			// room watches the tasks go on.
			return Answer{Action: Wait, Delay: backoff(attempt, 5*time.Second, time.Minute)}
		}
		if t.FailOnFull {
			return Answer{Action: FailNow}
		}
		return Answer{Action: Wait, Delay: backoff(attempt, time.Minute, 15*time.Minute)}
	case fault.NotFound, fault.Permission, fault.Exists, fault.Unsupported:
		// Somebody may make the file, or its place, or set modes right meanwhile.
		// What a storage cannot do with a file it cannot do in a minute either.
		hopeless := t.Kind == fault.Unsupported && t.OfFile
		if rule == OnErrorRetry && attempt < TriesRefused && !hopeless {
			return Answer{Action: Again, Delay: backoff(attempt, 5*time.Second, time.Minute), Last: true}
		}
		return giveUp(rule)
	case fault.Integrity:
		if attempt < TriesIntegrity {
			return Answer{Action: Again}
		}
		return giveUp(rule)
	case fault.Invalid:
		return Answer{Action: FailNow}
	}
	// Internal, and kinds that only a later version knows.
	if attempt < TriesInternal {
		return Answer{Action: Again, Delay: backoff(attempt, time.Second, 5*time.Minute)}
	}
	return Answer{Action: FailNow}
}

func giveUp(rule OnError) Answer {
	switch rule {
	case OnErrorSkip:
		return Answer{Action: SkipFile}
	case OnErrorFail:
		return Answer{Action: FailNow}
	}
	return Answer{Action: FailLater}
}

// backoff doubles from first to at most limit.
func backoff(attempt int, first, limit time.Duration) time.Duration {
	d := first
	for ; attempt > 1 && d < limit; attempt-- {
		d *= 2
	}
	return min(d, limit)
}
