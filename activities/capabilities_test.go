package activities

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// walls are what is known of pairs of servers.
type walls map[string]string

func (w walls) Apart(_ context.Context, source, destination string) (string, error) {
	if why := w[source+" "+destination]; why != "away" {
		return why, nil
	}
	return "", errors.New("the store is away")
}

func (w walls) PutApart(_ context.Context, source, destination, reason string, keep time.Duration) error {
	w[source+" "+destination] = reason + " for " + keep.String()
	return nil
}

func TestProbeKnowsWalls(t *testing.T) {
	for _, c := range []struct {
		known string
		rule  transfer.RouteRule
		want  transfer.RouteRule
	}{
		{"", transfer.RouteAuto, transfer.RouteThirdParty},
		{"a wall", transfer.RouteAuto, transfer.RouteRelay},
		{"a wall", transfer.RouteThirdParty, transfer.RouteThirdParty}, // who asks for it finds out
		{"a wall", transfer.RouteRelay, transfer.RouteRelay},
		{"away", transfer.RouteAuto, transfer.RouteThirdParty},
	} {
		d := newWorld(t).worker("w")
		d.Capabilities = walls{"src dst": c.known}
		res, err := d.Probe(t.Context(), ProbeInput{Ends: Ends{Source: "src", Destination: "dst"}, Rule: c.rule})
		if err != nil || res.Route.Path != c.want {
			t.Errorf("%q known, %q asked for: %+v, %v, want %s", c.known, c.rule, res.Route, err, c.want)
		}
		if c.known == "a wall" && c.rule == transfer.RouteAuto && !strings.Contains(res.Route.Reason, c.known) {
			t.Errorf("the reason is %q", res.Route.Reason)
		}
	}
}
