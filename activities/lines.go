package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Sheets, ledgers, pages of results and the rest are JSON lines under zstd.

// maxUnpacked bounds what one blob may become in memory, in bytes: a segment
// of 100,000 files with long paths is a tenth of it.
const maxUnpacked = 1 << 30

// pack turns values into the bytes of a blob.
func pack[T any](values ...T) ([]byte, error) { return packEach(slices.Values(values)) }

func packEach[T any](values iter.Seq[T]) ([]byte, error) {
	return compress(func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for v := range values {
			if err := enc.Encode(&v); err != nil {
				return fault.Wrap(fault.Internal, "encode", "", err)
			}
		}
		return nil
	})
}

// compress returns what write writes under zstd.
func compress(write func(io.Writer) error) ([]byte, error) {
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	if err == nil {
		err = write(z)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "compress", "", err)
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

// putText stores one value that is JSON already.
func putText(ctx context.Context, s blob.Store, key string, text []byte) error {
	data, err := compress(func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err != nil {
		return err
	}
	return s.Put(ctx, key, data)
}

// fileLine is a file without the methods that make JSON of it, which cost
// several times what they add: its names are packed by hand.
type fileLine transfer.File

// putFiles is putLines for the files of a sheet.
func putFiles(ctx context.Context, s blob.Store, key string, files []transfer.File) error {
	data, err := packEach(func(yield func(fileLine) bool) {
		for _, f := range files {
			f.Source, f.Dest, f.Link, f.Same = transfer.PackName(f.Source), transfer.PackName(f.Dest), transfer.PackName(f.Link), transfer.PackName(f.Same)
			if !yield(fileLine(f)) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return s.Put(ctx, key, data)
}

// getFiles returns the files that putFiles has stored, of which there are
// about n.
func getFiles(ctx context.Context, s blob.Store, key string, n int64) ([]transfer.File, error) {
	data, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	files := make([]transfer.File, 0, min(max(n, 0), transfer.SegmentLimit))
	err = unpack(data, func(f fileLine) error {
		f.Source, f.Dest, f.Link, f.Same = transfer.UnpackName(f.Source), transfer.UnpackName(f.Dest), transfer.UnpackName(f.Link), transfer.UnpackName(f.Same)
		files = append(files, transfer.File(f))
		return nil
	})
	return files, err
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
