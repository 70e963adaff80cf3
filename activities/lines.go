package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
)

// Sheets, ledgers, pages of results and the rest are JSON lines under zstd.

// maxUnpacked bounds what one blob may become in memory, in bytes: a segment
// of 100,000 files with long paths is a tenth of it.
const maxUnpacked = 1 << 30

// pack turns values into the bytes of a blob.
func pack[T any](values ...T) ([]byte, error) {
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "compress", "", err)
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	for i := range values {
		if err := enc.Encode(&values[i]); err != nil {
			return nil, fault.Wrap(fault.Internal, "encode", "", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fault.Wrap(fault.Internal, "compress", "", err)
	}
	return out.Bytes(), nil
}

// unpack hands the values of a blob to fn, one at a time.
func unpack[T any](data []byte, fn func(T) error) error {
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return fault.Wrap(fault.Internal, "decompress", "", err)
	}
	defer z.Close()
	dec := json.NewDecoder(io.LimitReader(z, maxUnpacked))
	for {
		var v T
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fault.Wrap(fault.Internal, "decode", "", err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}

// putLines stores values under key.
func putLines[T any](ctx context.Context, s blob.Store, key string, values []T) error {
	data, err := pack(values...)
	if err != nil {
		return err
	}
	return s.Put(ctx, key, data)
}

// getLines returns the values under key.
func getLines[T any](ctx context.Context, s blob.Store, key string) ([]T, error) {
	data, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	var values []T
	err = unpack(data, func(v T) error {
		values = append(values, v)
		return nil
	})
	return values, err
}

// getOne returns the one value under key.
func getOne[T any](ctx context.Context, s blob.Store, key string) (T, error) {
	values, err := getLines[T](ctx, s, key)
	if err == nil && len(values) != 1 {
		err = fault.New(fault.Internal, "read", key, "does not hold one value")
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return values[0], nil
}
