package workers

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/fault"
)

// Drains is where it is kept what is out of use.
type Drains interface {
	endpoints.Conditions
	PutDrain(ctx context.Context, d endpoints.Drain) error
	DeleteDrain(ctx context.Context, name string) error
}

// Maintenance finds what an operator means by a name, and keeps what he says of
// it.
type Maintenance struct {
	drains Drains
	config func() *config.Config
}

// NewMaintenance returns the maintenance of the endpoints that o knows.
func NewMaintenance(d Drains, o *Opener) *Maintenance { return &Maintenance{d, o.config.Load} }

// Drain takes what d.Name means out of use, by d.By for d.Reason.
func (m *Maintenance) Drain(ctx context.Context, d endpoints.Drain) (endpoints.Drain, error) {
	var err error
	if d.Name, err = m.find("drain", d.Name); err != nil {
		return d, err
	}
	if err := m.drains.PutDrain(ctx, d); err != nil {
		return d, err
	}
	c, err := m.drains.Condition(ctx)
	if i := slices.IndexFunc(c.Drains, func(x endpoints.Drain) bool { return x.Name == d.Name }); i >= 0 {
		d = c.Drains[i]
	}
	return d, err
}

// Undrain takes what name means back into use.
func (m *Maintenance) Undrain(ctx context.Context, name string) error {
	// What is drained may be gone from the configuration since.
	err := m.drains.DeleteDrain(ctx, name)
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	found, findErr := m.find("undrain", name)
	if findErr != nil || found == name {
		return err
	}
	return m.drains.DeleteDrain(ctx, found)
}

// Condition tells what is out of use.
func (m *Maintenance) Condition(ctx context.Context) (endpoints.Condition, error) {
	return m.drains.Condition(ctx)
}

// find returns the name of an endpoint, or a server's with its port.
func (m *Maintenance) find(op, name string) (string, error) {
	known := m.config().Endpoints
	if _, ok := known[name]; ok {
		return name, nil
	}
	scheme, server, isURL := strings.Cut(name, "://")
	if isURL {
		if scheme == "file" || strings.ContainsAny(server, "/@") || server == "" {
			return "", fault.New(fault.Invalid, op, name, "it is no server: write HOST:PORT, or SCHEME://HOST:PORT")
		}
		return gridftp.ServerName(scheme, server), nil
	}
	var found []string
	for _, rec := range known {
		for _, s := range rec.Servers {
			full := gridftp.ServerName(rec.Scheme, s)
			if host, _, err := net.SplitHostPort(full); full == name || err == nil && host == name {
				found = append(found, full)
			}
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	_, _, noPort := net.SplitHostPort(name)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fault.New(fault.Invalid, op, name, "it is several servers: "+strings.Join(found, ", "))
	case noPort == nil && !strings.ContainsAny(name, "/#@ "):
		return name, nil // of URLs
	}
	return "", &fault.Error{Kind: fault.NotFound, Op: op, Path: name, Err: errors.New("the configuration of this site has no such endpoint or server"),
		Hint: "write HOST:PORT for a server that is used by its URL"}
}
