package activities

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// What a door has to know of keys and blobs that lets in workers which may
// touch those of one task only.

// TaskPrefix is what the keys of all blobs of a task begin with, and those of
// no other. The task is named by its key, see workflows.Key.
func TaskPrefix(key transfer.TaskID) string { return taskKey(key) }

// FactsKey is the key of a task's Facts.
func FactsKey(key transfer.TaskID) string { return factsKey(key) }

// maxFacts bounds facts from a stranger, in bytes of JSON.
const maxFacts = 1 << 20

// ReadFacts reads the blob under FactsKey, which a stranger may have written.
func ReadFacts(data []byte) (Facts, error) {
	var f Facts
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxFacts))
	if err != nil {
		return f, fault.Wrap(fault.Internal, "decompress", "facts", err)
	}
	defer z.Close()
	text, err := io.ReadAll(io.LimitReader(z, maxFacts))
	if err != nil {
		return f, fault.Wrap(fault.Invalid, "decompress", "facts", err)
	}
	return f, fault.Wrap(fault.Invalid, "decode", "facts", json.Unmarshal(text, &f))
}
