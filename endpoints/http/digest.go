package http

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// A server may tell a file's digest in the header of an answer to HEAD: Digest
// (RFC 3230), which storage of the grid speaks, or Repr-Digest (RFC 9530), its
// successor. Nothing says beforehand whether it will, so a record names the
// algorithms; dCache and XRootD keep Adler-32 of every file unless told otherwise,
// and are known by their names. What the server then does not tell of a file is
// computed here, from what is read.

// digestNames are the names of our algorithms in both headers (IANA, "Hypertext
// Transfer Protocol (HTTP) Digest Algorithm Values"), strongest first.
func digestNames() []struct{ alg, name string } {
	return []struct{ alg, name string }{{"sha256", "sha-256"}, {"sha512", "sha-512"}, {"sha1", "sha"}, {"md5", "md5"}, {"adler32", "adler32"}}
}

func nameOfDigest(alg string) string {
	for _, d := range digestNames() {
		if d.alg == alg {
			return d.name
		}
	}
	return ""
}

// digests are the algorithms that the server is asked for, strongest first.
func (s *Storage) digests() []string {
	if s.opts.digests != nil {
		return s.opts.digests
	}
	for _, name := range []string{"dCache", "XRootD"} {
		if named(s.server.name, name) {
			return []string{"adler32"}
		}
	}
	return nil
}

// Checksum implements endpoints.Checksummer.
func (s *Storage) Checksum(ctx context.Context, p, alg string, offset, length int64, alive func()) (string, error) {
	const op = "compute the checksum of"
	if !slices.Contains(s.digests(), alg) {
		return "", fault.New(fault.Unsupported, op, p, "the server is not asked for digests of "+alg)
	}
	if offset < 0 || length < -1 {
		return "", fault.New(fault.Invalid, op, p, "the range begins before the file")
	}
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return "", err
	}
	defer leave()
	if offset == 0 && length < 0 {
		sum, err := s.digest(ctx, p, alg)
		if err != nil || sum != "" {
			return sum, s.failed(ctx, op, p, err)
		}
	}
	return endpoints.ReadChecksum(ctx, s, p, alg, offset, length, alive)
}

// digest asks for the digest of a file; empty when the server does not tell.
// XRootD says 500 where it was not set up for an algorithm, and a server that
// computes the digest of a very large file may be silent for too long.
func (s *Storage) digest(ctx context.Context, p, alg string) (string, error) {
	name := nameOfDigest(alg)
	header := http.Header{"Want-Digest": {name}, "Want-Repr-Digest": {name + "=10"}}
	resp, err := s.do(ctx, request{method: http.MethodHead, url: s.url(p, false), header: header, again: true})
	if err != nil {
		if ctx.Err() == nil {
			err = nil // what the server cannot be asked for by reading either is found out there
		}
		return "", err
	}
	defer discard(resp)
	if resp.StatusCode != http.StatusOK {
		return "", nil
	}
	sum, _ := parseDigest(resp.Header, alg)
	return sum, nil
}

// parseDigest finds a digest, lower-case hexadecimal, in the headers of an answer.
func parseDigest(h http.Header, alg string) (sum string, ok bool) {
	hash := endpoints.NewHash(alg)
	if hash == nil {
		return "", false
	}
	for _, key := range []string{"Repr-Digest", "Digest"} {
		for _, line := range h.Values(key) {
			for item := range strings.SplitSeq(line, ",") {
				name, value, ok := strings.Cut(strings.TrimSpace(item), "=")
				if !ok || !strings.EqualFold(name, nameOfDigest(alg)) {
					continue
				}
				if sum, ok := decodeDigest(value, alg, hash.Size()); ok {
					return sum, true
				}
			}
		}
	}
	return "", false
}

// decodeDigest reads a digest of size bytes. RFC 9530 puts base64 between colons
// (RFC 8941, 3.3.5). RFC 3230 has base64 too, but for Adler-32, which is
// hexadecimal, and which some write without zeros at its beginning.
func decodeDigest(value, alg string, size int) (sum string, ok bool) {
	bare, byted := strings.CutPrefix(value, ":")
	if byted {
		bare, ok = strings.CutSuffix(bare, ":")
		if !ok {
			return "", false
		}
	}
	var b []byte
	var err error
	if alg == "adler32" && !byted {
		if len(bare) == 0 || len(bare) > 2*size {
			return "", false
		}
		b, err = hex.DecodeString(strings.Repeat("0", 2*size-len(bare)) + bare)
	} else {
		b, err = base64.StdEncoding.DecodeString(bare)
	}
	if err != nil || len(b) != size {
		return "", false
	}
	return hex.EncodeToString(b), true
}
