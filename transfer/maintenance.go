package transfer

import (
	"context"

	"github.com/gridferry/gridferry/endpoints"
)

// Maintenance is for operators, who take endpoints and servers out of use, and
// for everybody who wants to know what is.
type Maintenance interface {
	// Drain takes an endpoint, by its name, or a server, as HOST or HOST:PORT,
	// out of use. It returns what was found by that name. Again, it replaces
	// the reason. Permission to those who are no operators.
	Drain(ctx context.Context, name, reason string) (endpoints.Drain, error)
	// Undrain takes it back into use. NotFound when it was not drained.
	Undrain(ctx context.Context, name string) error
	// Condition tells what is drained, and which servers do not answer.
	Condition(ctx context.Context) (endpoints.Condition, error)
}
