package activities

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Results are written in the order in which files get done, which is that of
// no path. So that one file's result is found among millions, each group of
// pages (a chunk's, or those of a step of the walk) ends with an index: which
// pages count, what statuses are in each, and a Bloom filter of its paths
// (B. H. Bloom, CACM 13(7), 1970). It is written once and never changed, and
// costs a file 3.5 bytes and the hashing of its two paths. What has no index,
// because its chunk is under way or was given up, is read as it stands.

// pageIndex is what the index of a group says of one page.
type pageIndex struct {
	Page     int
	Epoch    int64  // of its key
	Statuses uint64 // those that occur, as bits; see statusBit
	Paths    bloom  // of sources and destinations
}

func newPageIndex(page int, epoch int64, lines []transfer.Result) pageIndex {
	x := pageIndex{Page: page, Epoch: epoch, Paths: newBloom(2 * len(lines))}
	for i := range lines {
		r := &lines[i]
		x.Statuses |= statusBit(r.Status)
		for _, p := range []string{r.Source, r.Dest} {
			if p != "" {
				x.Paths.add(p)
			}
		}
	}
	return x
}

// statusBit stands for a status in an index, by its place in the list that
// only grows.
func statusBit(status string) uint64 {
	i := slices.Index(transfer.ResultStatuses(), status)
	if i < 0 {
		return 1 << 63
	}
	return 1 << i
}

// may says whether a page may hold what a query selects.
func (x *pageIndex) may(q *transfer.ResultQuery) bool {
	if len(q.Status) > 0 && !slices.ContainsFunc(q.Status, func(s string) bool { return x.Statuses&statusBit(s) != 0 }) {
		return false
	}
	return q.Path == "" || x.Paths.has(q.Path)
}

// bloom is a set of strings that says yes to one in about 600 others.
type bloom []byte

const (
	bloomBits   = 14 // of an element
	bloomProbes = 7  // fewer than the best for so many, and nearly as good
)

func newBloom(elements int) bloom { return make(bloom, (elements*bloomBits+7)/8) }

func (b bloom) add(s string) {
	for at := range b.probes(s) {
		b[at/8] |= 1 << (at % 8)
	}
}

func (b bloom) has(s string) bool {
	for at := range b.probes(s) {
		if b[at/8]&(1<<(at%8)) == 0 {
			return false
		}
	}
	return len(b) > 0
}

// probes are the places of a string: FNV-1a, mixed as MurmurHash3 ends, and
// then two halves in place of many hashes (Kirsch and Mitzenmacher, 2006).
func (b bloom) probes(s string) func(func(uint64) bool) {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return func(yield func(uint64) bool) {
		bits, step := uint64(len(b))*8, h>>32|1
		for i := range uint64(bloomProbes) {
			if bits == 0 || !yield((h+i*step)%bits) {
				return
			}
		}
	}
}

func indexPrefix(id transfer.TaskID) string { return taskKey(id) + "index/" }

func indexKey(id transfer.TaskID, group string, epoch int64) string {
	return fmt.Sprintf("%s%s-%019d", indexPrefix(id), group, epoch)
}

// putIndex writes the index of a group. The pages in it are all that count:
// those of an attempt whose end nobody has heard of are no more.
func putIndex(ctx context.Context, blobs blob.Store, task transfer.TaskID, group string, epoch int64, pages []pageIndex) error {
	return blobs.Put(ctx, indexKey(task, group, epoch), packIndex(pages))
}

// packIndex makes the blob of an index: numbers and filters, which nothing
// would make smaller. There may be thousands of them to be read for one path.
func packIndex(pages []pageIndex) []byte {
	var data []byte
	for _, x := range pages {
		for _, n := range []uint64{uint64(x.Page), uint64(x.Epoch), x.Statuses, uint64(len(x.Paths))} {
			data = binary.AppendUvarint(data, n)
		}
		data = append(data, x.Paths...)
	}
	return data
}

// unpackIndex undoes packIndex. The filters are parts of data.
func unpackIndex(data []byte) (pages []pageIndex, err error) {
	for len(data) > 0 {
		var numbers [4]uint64
		for i := range numbers {
			n, size := binary.Uvarint(data)
			if size <= 0 {
				return nil, errIndex
			}
			numbers[i], data = n, data[size:]
		}
		size := numbers[3]
		if numbers[0] > math.MaxInt32 || numbers[1] > math.MaxInt64 || size > uint64(len(data)) {
			return nil, errIndex
		}
		pages = append(pages, pageIndex{
			Page: int(numbers[0]), Epoch: int64(numbers[1]), Statuses: numbers[2], Paths: bloom(data[:size:size]),
		})
		data = data[size:]
	}
	return pages, nil
}

var errIndex = fault.New(fault.Internal, "read", "an index of results", "it is damaged")

// indexed completes the index of a chunk's pages 0 to n-1 by those that its
// predecessors have written.
func indexed(ctx context.Context, blobs blob.Store, task transfer.TaskID, group string, n int, own []pageIndex) ([]pageIndex, error) {
	pages := make([]pageIndex, n)
	have := newBitmap(n)
	for _, x := range own {
		if x.Page < n {
			pages[x.Page] = x
			have.set(x.Page)
		}
	}
	missing := 0
	for i := range n {
		if !have.has(i) {
			missing++
		}
	}
	if missing == 0 {
		return pages, nil
	}
	last := make([]string, n)
	err := blobs.List(ctx, resultsPrefix(task)+group+"/", func(key string) error {
		if page, _, ok := splitResultsKey(key); ok && page < n && !have.has(page) {
			last[page] = key
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, key := range last {
		if have.has(i) {
			continue
		}
		lines, err := getLines[transfer.Result](ctx, blobs, key)
		if err != nil {
			return nil, err
		}
		_, epoch, _ := splitResultsKey(key)
		pages[i] = newPageIndex(i, epoch, lines)
	}
	return pages, nil
}

// splitResultsKey returns the page and epoch of a key that resultsKey made.
func splitResultsKey(key string) (page int, epoch int64, ok bool) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	digits, rest, ok := strings.Cut(name, "-")
	if !ok {
		return 0, 0, false
	}
	page, err := strconv.Atoi(digits)
	epoch, err2 := strconv.ParseInt(rest, 10, 64)
	return page, epoch, err == nil && err2 == nil && page >= 0 && page < math.MaxInt32
}

// indexes finds the index of each group that has one; of several, the last.
func indexes(ctx context.Context, blobs blob.Store, task transfer.TaskID) (map[string]string, error) {
	keys := map[string]string{}
	prefix := indexPrefix(task)
	err := blobs.List(ctx, prefix, func(key string) error {
		name := strings.TrimPrefix(key, prefix)
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			keys[name[:i]] = key
		}
		return nil
	})
	return keys, err
}

// gone says that a page was swept away since it was listed.
func gone(err error) bool { return fault.Is(err, fault.NotFound) }
