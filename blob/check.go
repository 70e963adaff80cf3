package blob

import "context"

// Check is what every Store asks before it does anything: is the call still
// wanted, and is the key one. The error is Canceled or Transient, or Internal.
func Check(ctx context.Context, op, key string) error { return enter(ctx, op, key) }
