// Package blob keeps what is too large for a workflow history: manifests,
// ledgers, journals and results, as immutable or whole-replaced objects under
// slash-separated keys. It is not a place for users' data.
package blob

import "context"

// Store holds blobs. It is safe for use by many goroutines and processes; all
// workers of one namespace share one Store. Errors are *fault.Error: NotFound,
// NoSpace, Permission, Transient or Internal.
type Store interface {
	// Put writes data under key, replacing what was there as a whole: a reader
	// sees the old bytes or the new ones, also after a crash.
	Put(ctx context.Context, key string, data []byte) error

	// Get returns the bytes under key. NotFound when there are none.
	Get(ctx context.Context, key string) ([]byte, error)

	// List calls fn with every key that begins with prefix, in lexical order.
	List(ctx context.Context, prefix string, fn func(key string) error) error

	// Delete removes keys; those that do not exist are no error.
	Delete(ctx context.Context, keys ...string) error
}
