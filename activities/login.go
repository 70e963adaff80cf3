package activities

import (
	"errors"
	"fmt"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// lifeSpans say what is done with a credential that will end.
type lifeSpans struct {
	// least is what must be left for anything to be begun: as long as a step
	// takes, and half of a chunk.
	least time.Duration
	// margin is how long before the end a copy hands out nothing more. What is
	// under way then has drainGrace to come to its end, and the sessions are
	// closed before the servers' clocks can tell.
	margin time.Duration
}

var defaultLife = lifeSpans{least: 30 * time.Second, margin: 2 * drainGrace}

// lifeSpans is defaultLife, but for tests.
func (d *Data) lifeSpans() lifeSpans {
	if d.life != (lifeSpans{}) {
		return d.life
	}
	return defaultLife
}

func loginOf(rec endpoints.Record, s endpoints.Storage) Login {
	l := Login{Domain: rec.SecurityDomain()}
	if e, ok := s.(endpoints.Expirer); ok {
		l.Expires = e.Expires()
	}
	if c, ok := s.(endpoints.Credentialed); ok {
		l.Fingerprint = c.Fingerprint()
	}
	return l
}

// ofDomain says of a Credential error what it is about, unless it does itself.
func ofDomain(err error, about endpoints.CredentialError) error {
	if known := (*endpoints.CredentialError)(nil); !fault.Is(err, fault.Credential) || errors.As(err, &known) {
		return err
	}
	about.Err = err
	return &about
}

// expired is the error of an end whose credential has too little left.
func (p *place) expired(now time.Time) error {
	text := fmt.Sprintf("the credential ends at %s, too soon to begin anything", p.Expires.UTC().Format(time.RFC3339))
	if !now.Before(p.Expires) {
		text = "the credential expired at " + p.Expires.UTC().Format(time.RFC3339)
	}
	return ofDomain(&fault.Error{Kind: fault.Credential, Op: "use the credential for", Path: p.name, Err: errors.New(text), Hint: "activate a new one"},
		endpoints.CredentialError{Domain: p.Domain, Fingerprint: p.Fingerprint})
}

// ends returns those that are open.
func (p *pair) ends() []*place {
	var open []*place
	for _, e := range []*place{p.src, p.dst} {
		if e != nil {
			open = append(open, e)
		}
	}
	return open
}

// lasts is a Credential error when too little is left at an end.
func (d *Data) lasts(p *pair) error {
	now := time.Now()
	for _, e := range p.ends() {
		if !e.Expires.IsZero() && e.Expires.Sub(now) < d.lifeSpans().least {
			return e.expired(now)
		}
	}
	return nil
}

// first is the end whose credential ends first; nil when none does.
func (p *pair) first() *place {
	var first *place
	for _, e := range p.ends() {
		if !e.Expires.IsZero() && (first == nil || e.Expires.Before(first.Expires)) {
			first = e
		}
	}
	return first
}

// unlike is the login of an end, if it is another than was known.
func unlike(known Login, end *place) *Login {
	if end == nil || end.Fingerprint == known.Fingerprint && end.Expires.Equal(known.Expires) {
		return nil
	}
	return &end.Login
}
