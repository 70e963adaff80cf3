package activities

import (
	"context"
	"errors"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// ProbeInput asks what the two ends are and can do, by logging in to both.
type ProbeInput struct {
	Ends Ends               `json:"ends"`
	Rule transfer.RouteRule `json:"rule,omitempty"`
	Plan bool               `json:"plan,omitempty"` // for somebody who waits: an end that is drained is an error at once
}

// ProbeResult is what was found.
type ProbeResult struct {
	Source      End            `json:"source"`
	Destination End            `json:"destination"`
	Route       transfer.Route `json:"route"`
	Checksum    string         `json:"checksum,omitempty"` // strongest that both ends compute

	Known []transfer.Known `json:"known,omitempty"` // what worked between these two lately

	Faults []transfer.Fault `json:"faults,omitempty"` // that passed, for the workflow to count: it keeps none of them here

	// Elsewhere: an end is bound to a host that is not this worker's, so
	// nothing was contacted. Ask again on Route.Queue.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// Probe logs in to both ends and chooses the route. A delete task names only
// a destination; its source stays empty.
func (d *Data) Probe(ctx context.Context, in ProbeInput) (ProbeResult, error) {
	defer d.beat(ctx)()
	var out ProbeResult
	var passed heard
	err := insist(hearing(ctx, passed.hear), patience, func() error {
		res, p, err := d.probe(ctx, in)
		if err == nil {
			out = res
			p.Close()
		}
		return err
	})
	out.Faults = passed.faults
	if in.Plan {
		return out, atOnce(err)
	}
	return out, toTemporal(err)
}

// probe is Probe for those who go on to use the opened ends. The pair is
// empty when the ends are elsewhere.
func (d *Data) probe(ctx context.Context, in ProbeInput) (ProbeResult, *pair, error) {
	var out ProbeResult
	p := &pair{}
	type end struct {
		name, credential string
		record           endpoints.Record
		facts            transfer.EndFacts
		seen             *End
		opened           **place
	}
	ends := []*end{{name: in.Ends.Destination, credential: in.Ends.DestinationCredential, seen: &out.Destination, opened: &p.dst}}
	if in.Ends.Source != "" {
		ends = append(ends, &end{name: in.Ends.Source, credential: in.Ends.SourceCredential, seen: &out.Source, opened: &p.src})
	}
	for _, e := range ends {
		var err error
		if e.record, err = d.Endpoints.Resolve(ctx, e.name); err != nil {
			return out, nil, err
		}
		e.facts = transfer.EndFacts{Endpoint: e.name, Kind: e.record.Kind, Site: e.record.Site}
		*e.seen = End{Kind: e.record.Kind, Sessions: e.record.Limits.Sessions, Tasks: e.record.Limits.Tasks, Site: e.record.Site}
		out.Elsewhere = out.Elsewhere || e.record.Site != "" && e.record.Site != d.Site
	}
	dst, src := ends[0], ends[len(ends)-1]
	if out.Elsewhere {
		queue, err := transfer.Queue(src.facts, dst.facts)
		out.Route.Queue = queue
		return out, p, err
	}
	fail := func(err error) (ProbeResult, *pair, error) {
		p.Close()
		return ProbeResult{}, nil, err
	}
	failed := make(chan error, len(ends))
	for _, e := range ends {
		go func() {
			opened, err := d.openRecord(ctx, e.record, e.name, in.Ends.Owner, e.credential)
			if err == nil {
				*e.opened = opened
				caps := opened.Caps()
				e.seen.Kind, e.seen.Server, e.seen.RTT = caps.Kind, caps.Server, caps.RTT
				e.seen.StreamOnly, e.seen.Multiplexed = caps.StreamOnly, caps.Multiplexed
				e.seen.Login = opened.Login
			}
			failed <- err
		}()
	}
	var errs []error
	for range ends {
		if err := <-failed; err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return fail(errs[0])
	}
	if err := d.lasts(p); err != nil {
		return fail(err)
	}
	if p.src == nil {
		queue, err := transfer.Queue(dst.facts, dst.facts)
		out.Route = transfer.Route{Queue: queue}
		if err != nil {
			return fail(err)
		}
		return out, p, nil
	}
	between := apart(p)
	if between == nil {
		between = d.knownApart(ctx, in.Ends, in.Rule)
	}
	route, err := transfer.ChooseRoute(src.facts, dst.facts, between, in.Rule)
	if err != nil {
		return fail(err)
	}
	out.Route = route
	out.Known = d.knownPair(ctx, in.Ends)
	out.Checksum = endpoints.SharedChecksum(checksums(p.src), checksums(p.dst))
	return out, p, nil
}

// apart says why the source cannot send straight to the destination; nil when
// it can.
func apart(p *pair) error {
	tp, ok := p.src.Storage.(endpoints.ThirdParty)
	if !ok {
		return errors.New(p.src.rec.Kind + " does not send to other servers")
	}
	return tp.Reaches(p.dst.Storage)
}

// checksums are the algorithms that a storage computes itself.
func checksums(p *place) []string {
	if _, ok := p.Storage.(endpoints.Checksummer); !ok {
		return nil
	}
	return p.Caps().Checksums
}
