package synthetic

import (
	"context"

	"github.com/gridferry/gridferry/endpoints"
)

// The names of the two endpoints.
const (
	SourceName = "synthetic"
	SinkName   = "sink"
)

// Opener opens a tree's source and sink by their names, and leaves everything
// else to another opener.
type Opener struct {
	endpoints.Opener

	Source *Source
	Sink   *Sink
}

// Resolve implements endpoints.Opener.
func (o *Opener) Resolve(ctx context.Context, endpoint string) (endpoints.Record, error) {
	if endpoint == SourceName || endpoint == SinkName {
		return endpoints.Record{Name: endpoint, Kind: "synthetic"}, nil
	}
	return o.Opener.Resolve(ctx, endpoint)
}

// Open implements endpoints.Opener.
func (o *Opener) Open(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	switch rec.Name {
	case SourceName:
		return o.Source, nil
	case SinkName:
		return o.Sink, nil
	}
	return o.Opener.Open(ctx, rec, owner, credential)
}
