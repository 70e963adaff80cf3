package activities

import (
	"context"
	"errors"
	"path"
	"sync"
	"time"

	"github.com/gridferry/gridferry/endpoints"
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

// End is one end as it was seen at the start.
type End struct {
	Kind        string `json:"kind"`
	Server      string `json:"server,omitempty"`
	StreamOnly  bool   `json:"stream_only,omitempty"`
	Multiplexed bool   `json:"multiplexed,omitempty"`
	Sessions    int    `json:"sessions,omitempty"` // limit across workers; 0 is none
	Tasks       int    `json:"tasks,omitempty"`    // the same, of tasks that copy
	Site        string `json:"site,omitempty"`     // bound to this host: only its workers reach it

	RTT time.Duration `json:"rtt,omitempty"` // round trip from the worker that probed; 0 is unknown, or none
	Login
}

// Login is with what an end was opened, without its secret.
type Login struct {
	Domain      string    `json:"domain,omitempty"` // the record's SecurityDomain
	Fingerprint string    `json:"fingerprint,omitempty"`
	Expires     time.Time `json:"expires,omitzero"` // zero: not known, or never
}

// homer is the ability to say what "/~" means. Records may say it as well.
type homer interface {
	Home(ctx context.Context) (string, error)
}

// place is one opened end.
type place struct {
	endpoints.Storage
	rec  endpoints.Record
	name string // endpoint part
	Login
}

// at returns the absolute path of a location at this end.
func (p *place) at(ctx context.Context, l transfer.Location) (string, error) {
	rest, ok := l.HomeRelative()
	if !ok {
		return l.Path, nil
	}
	if p.rec.Directory != "" {
		return path.Join("/", p.rec.Directory, rest), nil
	}
	h, ok := p.Storage.(homer)
	if !ok {
		return "", &fault.Error{Kind: fault.Invalid, Op: "find", Path: l.String(),
			Err: errors.New("the endpoint has no default directory"), Hint: "write an absolute path"}
	}
	home, err := h.Home(ctx)
	if err != nil {
		return "", err
	}
	return path.Join("/", home, rest), nil
}

// pair is both ends, opened.
type pair struct {
	src, dst *place
}

func (p *pair) Close() {
	for _, e := range []*place{p.src, p.dst} {
		if e != nil {
			e.Storage.Close()
		}
	}
}

// open opens one end.
func (d *Data) open(ctx context.Context, endpoint, owner, credential string) (*place, error) {
	rec, err := d.Endpoints.Resolve(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	return d.openRecord(ctx, rec, endpoint, owner, credential)
}

func (d *Data) openRecord(ctx context.Context, rec endpoints.Record, endpoint, owner, credential string) (*place, error) {
	s, err := d.Endpoints.Open(ctx, rec, owner, credential)
	if err != nil {
		return nil, ofDomain(err, endpoints.CredentialError{Domain: rec.SecurityDomain(), Configured: credential != "" || !rec.Activates()})
	}
	return &place{Storage: s, rec: rec, name: endpoint, Login: loginOf(rec, s)}, nil
}

// openEnds opens both ends at once.
func (d *Data) openEnds(ctx context.Context, e Ends) (*pair, error) {
	type opened struct {
		*place
		err error
	}
	source := make(chan opened, 1)
	go func() {
		p, err := d.open(ctx, e.Source, e.Owner, e.SourceCredential)
		source <- opened{p, err}
	}()
	dst, dstErr := d.open(ctx, e.Destination, e.Owner, e.DestinationCredential)
	src := <-source
	p := &pair{src: src.place, dst: dst}
	if err := errors.Join(src.err, dstErr); err != nil {
		p.Close()
		if src.err != nil {
			return nil, src.err
		}
		return nil, dstErr
	}
	if err := d.lasts(p); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// patience is how long an activity itself tries again before it leaves a
// fault to the workflow.
const patience = 30 * time.Second

// hearKey marks a context whose owner hears of faults that pass.
type hearKey struct{}

// hearing has hear told of every fault that insist gets over by trying again,
// with ctx or what is made of it: it was dealt with, and counts all the same.
func hearing(ctx context.Context, hear func(error)) context.Context {
	return context.WithValue(ctx, hearKey{}, hear)
}

// heard collects faults that passed.
type heard struct {
	mu     sync.Mutex
	faults faultList
}

func (h *heard) hear(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults.add(toFault(err, "", time.Now().UTC()))
}

// insist runs fn until it succeeds, fails with anything but Transient or Busy,
// or has failed for the time that patience gives it.
func insist(ctx context.Context, limit time.Duration, fn func() error) error {
	begin, delay := time.Now(), 250*time.Millisecond
	for {
		err := fn()
		if err == nil || !passing(err) || ctx.Err() != nil || time.Since(begin)+delay > limit {
			return err
		}
		if hear, ok := ctx.Value(hearKey{}).(func(error)); ok {
			hear(err)
		}
		if sleep(ctx, delay) != nil {
			return err
		}
		delay = min(2*delay, 5*time.Second)
	}
}

// passing says whether a fault may go away by itself within seconds.
func passing(err error) bool {
	return (fault.Is(err, fault.Transient) || fault.Is(err, fault.Busy)) && !errors.Is(err, endpoints.ErrDataBlocked) && !isDrained(err)
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// makeAll makes a directory and its parents. It is no error that they exist.
func makeAll(ctx context.Context, s endpoints.Storage, dir string) error {
	if dir == "/" {
		return nil
	}
	err := s.Mkdir(ctx, dir)
	switch {
	case err == nil:
		return nil
	case fault.Is(err, fault.Exists):
		return nil
	case !fault.Is(err, fault.NotFound):
		// Servers are free to refuse to make what is there already.
		if e, statErr := s.Stat(ctx, dir); statErr == nil && e.Type != endpoints.File {
			return nil
		}
		return err
	}
	if err := makeAll(ctx, s, path.Dir(dir)); err != nil {
		return err
	}
	if err := s.Mkdir(ctx, dir); !fault.Is(err, fault.Exists) {
		return err
	}
	return nil
}
