package blob

import (
	"context"

	"github.com/gridferry/gridferry/fault"
)

// Check is what every Store asks before it does anything: is the call still
// wanted, and is the key one. The error is Canceled or Transient, or Internal.
func Check(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), op, key, err)
	}
	return checkKey(op, key)
}
