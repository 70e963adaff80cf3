// Package blob keeps what is too large for a workflow history: manifests,
// ledgers, journals and results, as immutable or whole-replaced objects under
// slash-separated keys. It is not a place for users' data.
//
// A key is made of elements of 1 to 240 printable ASCII bytes that do not
// begin with a dot, with slashes in between, 1024 bytes in all; anything else
// is an Internal error. No key is the directory of another.
package blob

import "context"

// Store holds blobs. It is safe for use by many goroutines and processes; all
// workers of one namespace share one Store. A store may also have a method
// ID(ctx) (string, error), which is the same for all who share it: a worker
// compares it with what the others found before it starts. Errors are *fault.Error: NotFound,
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
