package workflows

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/transfer"
)

// changeSuspension is the patch since which a run registers as waiting for a
// credential, and ends a suspension only by trying.
const changeSuspension = "suspension"

// since says whether a run tells its story as it has been told since a change.
func (r *run) since(ctx workflow.Context, change string) bool {
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) >= 1
}

// Suspension is the part of the state that is about waiting for credentials.
type Suspension struct {
	Wanted      []Want `json:"wanted,omitempty"`      // the task does nothing else until it has them
	Waiting     bool   `json:"waiting,omitempty"`     // registered: whoever activates a credential tells us
	Renewed     bool   `json:"renewed,omitempty"`     // told so, since the credential was wanted
	Suspensions int    `json:"suspensions,omitempty"` // that the owner was told of

	InactiveSince time.Time `json:"inactive_since,omitzero"`
	Refused       string    `json:"refused,omitempty"` // what the last of them was about
	Moved         bool      `json:"moved,omitempty"`   // something got done since
	Hasty         int       `json:"hasty,omitempty"`   // tries in a row without waiting
	Warned        []string  `json:"warned,omitempty"`  // of these credentials' ends; the last ones
}

// Want is a credential that a task waits for.
type Want struct {
	Domain      string         `json:"domain,omitempty"`      // empty when it is not known
	Fingerprint string         `json:"fingerprint,omitempty"` // of the one that failed; empty when there was none
	Fault       transfer.Fault `json:"fault"`
}

// suspended says that the task waits for a credential, or is about to.
func (r *run) suspended() bool { return len(r.Wanted) > 0 || r.Task.Status == transfer.Inactive }

// want has the run wait for the credential that a fault is about: of both ends
// when it does not say.
func (r *run) want(f transfer.Fault) {
	wants := []Want{{Domain: f.Domain, Fingerprint: f.Fingerprint, Fault: f}}
	if f.Domain == "" && r.Probe != nil {
		for _, e := range []activities.End{r.Probe.Source, r.Probe.Destination} {
			if e.Domain != "" {
				wants = append(wants, Want{Domain: e.Domain, Fingerprint: e.Fingerprint, Fault: f})
			}
		}
		if len(wants) > 1 {
			wants = wants[1:]
		}
	}
	for _, w := range wants {
		if i := slices.IndexFunc(r.Wanted, func(o Want) bool { return o.Domain == w.Domain }); i >= 0 {
			r.Wanted[i] = w
			continue
		}
		r.Wanted = append(r.Wanted, w)
	}
	r.nudges++
}

// sight is what a look at the wanted credentials came to.
type sight int

const (
	anew  sight = iota // there are others than those that failed, or those deserve another try
	none               // not where we can look: the worker may have one all the same
	stale              // the one that failed is still the current one
)

// look registers the task as waiting for each credential, and then looks for
// it. In this order nothing is missed: what is activated before the first is
// seen, and what comes later tells us.
func (r *run) look(ctx workflow.Context) sight {
	worst := anew
	for _, w := range r.Wanted {
		in := activities.AwaitInput{Task: r.Task.ID, Owner: r.Ends.Owner, Domain: w.Domain, Fingerprint: w.Fingerprint}
		var res activities.AwaitResult
		lctx := workflow.WithLocalActivityOptions(ctx, localOptions("look for a credential"))
		if err := workflow.ExecuteLocalActivity(lctx, control.Await, in).Get(ctx, &res); err != nil {
			workflow.GetLogger(ctx).Warn("it is not known whether there is a credential", "domain", w.Domain, "error", err)
		}
		r.Waiting = r.Waiting || res.Waiting
		switch {
		case res.Fingerprint == "":
			worst = max(worst, none)
		case res.Fingerprint == w.Fingerprint && !(r.Hasty == 0 && res.Expires.Sub(workflow.Now(ctx)) > worthAnother):
			worst = stale
		}
	}
	return worst
}

const (
	// worthAnother is how much must be left of a credential that has failed for
	// a second try before anybody is told: the server may have stumbled, or what
	// ended was a proxy that a worker was lent.
	worthAnother = time.Minute

	// maxHasty bounds the tries that only the look at another credential has
	// caused: somewhere an old one is still believed in.
	maxHasty = 3

	// looksPerTry is how many looks at a credential that has failed pass until
	// it is tried again: what refused it may think better of it.
	looksPerTry = 10
)

// suspend waits until it is worth trying again, or the task was paused. A
// fault of a credential that is not the current one any more is no reason to
// wait, and nobody hears of it.
func (r *run) suspend(ctx workflow.Context) error {
	seen := r.look(ctx)
	switch {
	case r.Renewed:
		r.Renewed = false
		return nil
	case seen == anew && r.Hasty < maxHasty:
		r.Hasty++
		return nil
	}
	r.announce(ctx)
	for looks := 1; ; looks++ {
		until := workflow.Now(ctx).Add(r.Policies.Look)
		if err := r.await(ctx, until, func() bool { return r.Renewed || r.Task.Paused }, r.interrupted); err != nil {
			return err
		}
		switch {
		case r.Task.Paused:
			return nil
		case r.Renewed:
			r.Renewed = false
			return nil
		}
		if seen := r.look(ctx); seen != stale || looks%looksPerTry == 0 {
			return nil
		}
	}
}

// announce makes the task INACTIVE and tells its owner: not again when what
// was tried since was refused before anything got done.
func (r *run) announce(ctx workflow.Context) {
	if r.Task.Status == transfer.Inactive {
		return
	}
	var refused []string
	for _, w := range r.Wanted {
		r.fault(ctx, w.Fault, "")
		refused = append(refused, w.Domain+" "+w.Fingerprint)
	}
	r.Task.Status, r.InactiveSince = transfer.Inactive, workflow.Now(ctx)
	r.event(ctx, transfer.Event{Code: transfer.EventInactive, Description: r.waitingFor()})
	r.publish(ctx)
	r.keepRecord(ctx, true)
	if what := strings.Join(refused, ", "); what != r.Refused || r.Moved {
		r.Refused, r.Moved = what, false
		r.Suspensions++
		r.tell(ctx, transfer.NoticeInactive, strconv.Itoa(r.Suspensions))
	}
}

// waitingFor says what a suspended task waits for.
func (r *run) waitingFor() string {
	if len(r.Wanted) == 0 {
		return "waiting for a credential: " + r.Hold.Fault.Message
	}
	var domains []string
	for _, w := range r.Wanted {
		if w.Domain != "" {
			domains = append(domains, w.Domain)
		}
	}
	text := "waiting for a credential"
	if len(domains) > 0 {
		text += " for " + strings.Join(domains, " and ")
	}
	return text + ": " + r.Wanted[0].Fault.Message
}

// activated ends a suspension after a try that went well.
func (r *run) activated(ctx workflow.Context) {
	if !r.suspended() || !r.since(ctx, changeSuspension) {
		return
	}
	r.Wanted, r.Renewed, r.Hold = nil, false, Hold{}
	r.forget(ctx)
	if r.Task.Status != transfer.Inactive {
		return
	}
	r.Task.Status = transfer.Active
	r.event(ctx, transfer.Event{Code: transfer.EventActivated, Description: "the credentials work again"})
	r.publish(ctx)
}

// moved notes that something got done.
func (s *Suspension) moved() { s.Moved, s.Hasty = true, 0 }

// forget ends the registration. One that stays costs a signal that nobody
// needs.
func (r *run) forget(ctx workflow.Context) {
	if !r.Waiting {
		return
	}
	r.Waiting = false
	lctx := workflow.WithLocalActivityOptions(ctx, localOptions("wait no more"))
	if err := workflow.ExecuteLocalActivity(lctx, control.Forget, r.Task.ID).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the task is still registered as waiting for a credential", "error", err)
	}
}

// seen takes over with which credentials a copy has worked: they may have been
// renewed since the login that began it.
func (r *run) seen(res activities.CopyResult) {
	if r.Probe == nil {
		return
	}
	if c := res.SourceCredential; c != nil {
		r.Probe.Source.Login = *c
	}
	if c := res.DestinationCredential; c != nil {
		r.Probe.Destination.Login = *c
	}
}

// foresee warns the owner, once for each, of a credential that ends before the
// task does at the rate it has had so far.
func (r *run) foresee(ctx workflow.Context) {
	if r.Probe == nil || r.Copied.IsZero() || r.suspended() || !r.firstRecord.IsZero() {
		return // without a record nobody knows who is to hear of it
	}
	now := workflow.Now(ctx)
	for _, e := range []struct {
		name  string
		login activities.Login
	}{{r.Ends.Source, r.Probe.Source.Login}, {r.Ends.Destination, r.Probe.Destination.Login}} {
		l := e.login
		if !r.Task.Progress.Outlasts(r.Copied, now, l.Expires) || slices.Contains(r.Warned, l.Fingerprint) {
			continue
		}
		const keep = 20
		r.Warned = append(r.Warned, l.Fingerprint)
		r.Warned = r.Warned[max(0, len(r.Warned)-keep):]
		r.event(ctx, transfer.Event{
			Code:        transfer.EventExpiring,
			Description: "the credential for " + e.name + " ends at " + l.Expires.UTC().Format(time.RFC3339) + ", before the task will: activate another one ahead of that",
		})
		r.tell(ctx, transfer.NoticeExpiring, l.Fingerprint)
	}
}
