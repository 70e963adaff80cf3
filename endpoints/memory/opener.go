package memory

import (
	"context"
	"maps"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Opener opens disks by the names of their endpoints. It looks at neither
// owner nor credential.
type Opener struct {
	disks   map[string]*Disk
	records map[string]endpoints.Record
}

var _ endpoints.Opener = (*Opener)(nil)

// NewOpener returns an opener of the given disks.
func NewOpener(disks map[string]*Disk) *Opener {
	o := &Opener{disks: maps.Clone(disks), records: map[string]endpoints.Record{}}
	for name := range disks {
		o.records[name] = endpoints.Record{Name: name, Kind: "memory"}
	}
	return o
}

// WithRecord replaces the record of rec.Name, to give it limits or a site,
// and returns o. It is called before o is used.
func (o *Opener) WithRecord(rec endpoints.Record) *Opener {
	o.records[rec.Name] = rec
	return o
}

// Resolve implements endpoints.Opener.
func (o *Opener) Resolve(_ context.Context, endpoint string) (endpoints.Record, error) {
	rec, ok := o.records[endpoint]
	if !ok {
		return endpoints.Record{}, fault.New(fault.NotFound, "resolve", endpoint, "there is no endpoint of this name")
	}
	return rec, nil
}

// Open implements endpoints.Opener.
func (o *Opener) Open(ctx context.Context, rec endpoints.Record, _, _ string) (endpoints.Storage, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "open", rec.Name, err)
	}
	d, ok := o.disks[rec.Name]
	if !ok {
		return nil, fault.New(fault.NotFound, "open", rec.Name, "there is no endpoint of this name")
	}
	return d.Open(), nil
}
