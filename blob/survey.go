package blob

import (
	"context"
	"time"
)

// Info describes a blob.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // when it was last put, by the store's clock
}

// Surveyor is the ability of a Store to describe its blobs. It costs about as
// much as listing them does.
type Surveyor interface {
	// Survey calls fn with every blob whose key begins with prefix, in the
	// order of List. A blob that is deleted meanwhile may be left out.
	Survey(ctx context.Context, prefix string, fn func(Info) error) error
}

// Survey describes the blobs of any store. Of one that is no Surveyor only the
// keys are known.
func Survey(ctx context.Context, s Store, prefix string, fn func(Info) error) error {
	if able, ok := s.(Surveyor); ok {
		return able.Survey(ctx, prefix, fn)
	}
	return s.List(ctx, prefix, func(key string) error { return fn(Info{Key: key}) })
}
