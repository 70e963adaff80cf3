package secrets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// A Searcher looks for secrets.
type Searcher struct {
	known   [1 << 24 / 64]uint64 // the first three bytes of needles, one bit each
	byHead  map[uint64][]target  // by their first eight
	longest int
}

type target struct {
	needle
	secret string
}

// A Finding is a secret that was found. It does not repeat the secret.
type Finding struct {
	Place  string // what was searched, and what had to be unpacked for it
	Secret string
	Form   string
}

// String is one line.
func (f Finding) String() string { return fmt.Sprintf("%s, as %s, in %s", f.Secret, f.Form, f.Place) }

// NewSearcher returns one for all the secrets at once.
func NewSearcher(all ...Secret) *Searcher {
	s := &Searcher{byHead: map[uint64][]target{}}
	for _, secret := range all {
		for _, n := range secret.needles {
			first := uint32(n.bytes[0]) | uint32(n.bytes[1])<<8 | uint32(n.bytes[2])<<16
			s.known[first/64] |= 1 << (first % 64)
			head := binary.LittleEndian.Uint64(n.bytes)
			s.byHead[head] = append(s.byHead[head], target{n, secret.name})
			s.longest = max(s.longest, len(n.bytes))
		}
	}
	return s
}

// Scan searches bytes as they are. Each secret is reported once in each form.
func (s *Searcher) Scan(place string, data []byte) []Finding {
	var found []Finding
	for at := 0; at+least <= len(data); at++ {
		first := uint32(data[at]) | uint32(data[at+1])<<8 | uint32(data[at+2])<<16
		if s.known[first/64]&(1<<(first%64)) == 0 {
			continue
		}
		for _, t := range s.byHead[binary.LittleEndian.Uint64(data[at:])] {
			f := Finding{place, t.secret, t.form}
			if bytes.HasPrefix(data[at:], t.bytes) && !slices.Contains(found, f) {
				found = append(found, f)
			}
		}
	}
	return found
}

// ScanReader is Scan for what does not fit into memory.
func (s *Searcher) ScanReader(place string, r io.Reader) ([]Finding, error) {
	var found []Finding
	buf := make([]byte, 8<<20)
	kept := 0 // of the block before, for what lies across both
	for {
		n, err := io.ReadFull(r, buf[kept:])
		n += kept
		found = merge(found, s.Scan(place, buf[:n]))
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("search %s: %w", place, err)
		}
		kept = copy(buf, buf[n-min(n, s.longest):n])
	}
}

// Search searches bytes as they are, and all that is packed in them: gzip, zlib
// and zstd wherever they begin, hex and what URLs escape, the strings of JSON,
// base64.
func (s *Searcher) Search(place string, data []byte) []Finding {
	var found []Finding
	unpack(place, data, func(place string, data []byte) { found = merge(found, s.Scan(place, data)) })
	return found
}

func merge(all, more []Finding) []Finding {
	for _, f := range more {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}
