package workers

import (
	"context"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/mover"
)

// RemoteOpener is an Opener on a host without the site's configuration:
// endpoints that it knows no name of are asked for, and so are the credentials
// that owners have activated.
type RemoteOpener struct {
	*Opener
	service *mover.Client
}

var _ endpoints.Opener = (*RemoteOpener)(nil)

// NewRemoteOpener makes one of an Opener that nothing was opened with yet.
func NewRemoteOpener(o *Opener, service *mover.Client) *RemoteOpener {
	o.UseVault(service)
	return &RemoteOpener{o, service}
}

// Resolve implements endpoints.Opener.
func (o *RemoteOpener) Resolve(ctx context.Context, endpoint string) (endpoints.Record, error) {
	rec, err := o.Opener.Resolve(ctx, endpoint)
	if fault.Is(err, fault.NotFound) && !strings.Contains(endpoint, "://") {
		return o.service.Resolve(ctx, endpoint)
	}
	return rec, err
}
