package activities

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/gridferry/gridferry/endpoints/check"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// CheckInput asks what an endpoint can do. Names may be packed
// (transfer.PackName).
type CheckInput struct {
	Endpoint string                `json:"endpoint"` // as in Ends
	Path     string                `json:"path"`
	Owner    string                `json:"owner,omitempty"`
	Cred     string                `json:"credential,omitempty"`
	Request  transfer.CheckRequest `json:"request"`
	Name     string                `json:"name"` // of the directory that is made where something is written: NewCheckName's
}

// CheckResult is what was found.
type CheckResult struct {
	Checkup transfer.Checkup `json:"checkup"`

	// Elsewhere is the queue of the host that the endpoint is bound to, which is
	// not this worker's: nothing was contacted. Ask again there.
	Elsewhere string `json:"elsewhere,omitempty"`
}

// CheckProgress is the heartbeat of a check.
type CheckProgress struct {
	Looking string `json:"looking"` // at what
}

// Check looks at an endpoint for a person who waits. A check that is cancelled,
// or whose worker stops, removes what it has made and answers all the same,
// with what it had found by then.
func (d *Data) Check(ctx context.Context, in CheckInput) (CheckResult, error) {
	var mu sync.Mutex
	var at CheckProgress
	tell := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		at.Looking = what
	}
	defer beatWith(ctx, func() any {
		mu.Lock()
		defer mu.Unlock()
		return at
	})()
	tell("login")
	out, err := d.check(ctx, in, tell)
	return out, atOnce(err)
}

func (d *Data) check(ctx context.Context, in CheckInput, tell func(string)) (CheckResult, error) {
	req, err := in.Request.Checked()
	if err != nil {
		return CheckResult{}, err
	}
	// What has this name is removed, so it must not be that of anything else.
	if !strings.HasPrefix(in.Name, CheckName) || strings.Contains(in.Name, "/") {
		return CheckResult{}, fault.New(fault.Invalid, "check", "name", "it does not begin with "+CheckName)
	}
	rec, err := d.Endpoints.Resolve(ctx, in.Endpoint)
	if err != nil {
		return CheckResult{}, err
	}
	if rec.Site != "" && rec.Site != d.Site {
		return CheckResult{Elsewhere: transfer.SiteQueue(rec.Site)}, nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-d.Stopping:
			stop()
		case <-ctx.Done():
		}
	}()
	var at *place
	var login time.Duration
	err = insist(ctx, browsePatience, func() (err error) {
		begun := time.Now()
		at, err = d.openRecord(ctx, rec, in.Endpoint, in.Owner, in.Cred)
		login = time.Since(begun)
		return err
	})
	if fault.Is(err, fault.Transient) && ctx.Err() == nil {
		err = &fault.Error{Kind: fault.Transient, Op: "reach", Path: in.Endpoint, Err: err,
			Hint: "is the server running, is its name in the configuration right, and does a firewall let the worker's host through?"}
	}
	if err != nil {
		return CheckResult{}, err
	}
	defer at.Close()
	o := check.Options{
		Name: in.Name, Login: login, Time: time.Duration(req.Time), Bytes: req.Bytes, Tell: tell,
		Pay: func(ctx context.Context, n int64) error {
			if !d.pay(ctx, at, n, ctx.Done()) {
				return fault.Wrap(fault.KindOf(ctx.Err()), "wait for", "the rate of "+at.name, ctx.Err())
			}
			return nil
		},
	}
	if most := rec.Limits.Sessions; most > 0 {
		o.Sessions = min(most, check.DefaultSessions)
	}
	o.Over = func(name string) bool { return isOver(name, time.Now()) }
	if activity.IsActivity(ctx) {
		attempt := activity.GetInfo(ctx).Attempt
		for n := int32(1); n < attempt; n++ {
			o.Stale = append(o.Stale, ofAttempt(in.Name, n))
		}
		o.Name = ofAttempt(in.Name, attempt)
	}
	loc := transfer.Location{Endpoint: in.Endpoint, Path: transfer.UnpackName(in.Path)}
	if o.Path, err = at.folder(ctx, loc); err != nil {
		return CheckResult{}, err
	}
	if req.Write != "" {
		if o.Write, err = at.at(ctx, loc.At(transfer.UnpackName(req.Write))); err != nil {
			return CheckResult{}, err
		}
	}
	c := check.Run(ctx, at.Storage, o)
	c.Location = strings.ToValidUTF8(loc.At(o.Path).String(), "?")
	return CheckResult{Checkup: c}, nil
}

// folder is where a check looks when nobody said where: the default directory,
// or the root of what has none.
func (p *place) folder(ctx context.Context, l transfer.Location) (string, error) {
	at, err := p.at(ctx, l)
	if rest, home := l.HomeRelative(); home && rest == "" && fault.Is(err, fault.Invalid) {
		return "/", nil
	}
	return at, err
}
