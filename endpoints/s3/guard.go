package s3

import (
	"hash/crc32"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/fault"
)

// prefix is the CRC-32C of the first bytes of an object, as they were read.
type prefix struct {
	tag  string // of the object's version
	end  int64  // how many bytes
	crc  uint32
	kept *stored // what it is to be compared with in the end; nil when that is not known yet
}

func (p *prefix) add(b []byte) {
	p.crc = crc32.Update(p.crc, crcTable(), b)
	p.end += int64(len(b))
}

// prefixes remembers how far objects were read that are read in pieces, one
// after the other.
type prefixes struct {
	mu   sync.Mutex
	seen map[string]prefix // by path
}

// prefixesMost is of how many objects it is remembered.
const prefixesMost = 4096

func newPrefixes() *prefixes { return &prefixes{seen: map[string]prefix{}} }

// before returns the prefix that ends where a piece begins; nil when what is
// before it was not read, or is of another version.
func (ps *prefixes) before(path, tag string, off int64) *prefix {
	if off == 0 {
		return &prefix{tag: tag}
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p, ok := ps.seen[path]
	if !ok || p.tag != tag || p.end != off {
		return nil
	}
	return &p
}

func (ps *prefixes) put(path string, p prefix) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.seen) >= prefixesMost {
		clear(ps.seen)
	}
	ps.seen[path] = p
}

// stored is the checksum that the store keeps of a whole object.
type stored struct {
	crc   uint32
	known bool
	err   error
}

func storedSum(text *string, kind types.ChecksumType) stored {
	crc, ok := decodeSum(text)
	return stored{crc: crc, known: ok && kind != types.ChecksumTypeComposite}
}

// learn finds out what the store keeps to compare a digest with, while the object
// is being read. When that is nothing, none is computed: it costs a tenth of what
// reading and writing the bytes do.
func (r *reader) learn() {
	if r.prefix.kept != nil {
		return
	}
	if r.sum == nil {
		r.sum = r.askSum()
	}
	select {
	case sum := <-r.sum:
		if r.prefix.kept = &sum; sum.err == nil && !sum.known {
			r.prefix = nil
		}
	default:
	}
}

// askSum asks for it.
func (r *reader) askSum() <-chan stored {
	answer := make(chan stored, 1)
	go func() {
		h, err := r.s.head(r.ctx, r.o, r.o.key)
		switch {
		case err != nil:
			answer <- stored{err: err}
		case etag(h.ETag) != r.entry.Version || aws.ToInt64(h.ContentLength) != r.entry.Size:
			answer <- stored{} // of another version, which is not what was read
		default:
			answer <- storedSum(h.ChecksumCRC32C, h.ChecksumType)
		}
	}()
	return answer
}

// compare is called when a piece has been read to its end. What was read of the
// object from its first byte to its last is held against the checksum that the
// store keeps of it: nothing else tells of a byte that has changed on the way.
func (r *reader) compare() error {
	p := r.prefix
	r.prefix = nil
	if p.end < r.entry.Size {
		if p.kept != nil && p.kept.err != nil {
			p.kept = nil // who reads the next piece may ask again
		}
		r.s.prefixes.put(r.path, *p)
		return nil
	}
	if p.kept == nil {
		if r.sum == nil {
			r.sum = r.askSum()
		}
		sum := <-r.sum
		p.kept = &sum
	}
	sum := *p.kept
	if sum.err == nil && sum.known && sum.crc != p.crc {
		return fault.New(fault.Integrity, "read", r.path, "what has arrived is not what the store keeps the checksum of")
	}
	return sum.err
}
