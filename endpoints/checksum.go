package endpoints

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Algorithms returns the checksums that gridferry itself computes, in the
// form of Caps.Checksums: strongest first, and of two that nobody breaks the one
// for which processors have instructions: SHA-256 takes a quarter of the time of
// SHA-512 and is what bounds a verified copy between disks. MD5, SHA-1 and Adler-32 are there
// because grid servers offer nothing better, and CRC-32C (RFC 9260, appendix A)
// because object stores keep it of whole objects; they find accidents, not attacks.
func Algorithms() []string {
	return []string{"sha256", "sha512", "sha1", "md5", "crc32c", "adler32"}
}

// NewHash returns a hash for an algorithm of Algorithms, or nil.
func NewHash(alg string) hash.Hash {
	switch alg {
	case "sha512":
		return sha512.New()
	case "sha256":
		return sha256.New()
	case "sha1":
		return sha1.New()
	case "md5":
		return md5.New()
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "adler32":
		return adler32.New()
	}
	return nil
}

// aliveEvery is how often ReadChecksum says that it is at work.
const aliveEvery = time.Second

// ReadChecksum is Checksummer.Checksum for what the storage does not compute
// itself: it reads. Unsupported when alg is not one of Algorithms.
func ReadChecksum(ctx context.Context, s Storage, p, alg string, offset, length int64, alive func()) (string, error) {
	h := NewHash(alg)
	if h == nil {
		return "", fault.New(fault.Unsupported, "compute", p, "no one here computes "+alg)
	}
	in, err := s.Open(ctx, p, offset, length)
	if err != nil {
		return "", err
	}
	defer in.Close()
	for last := time.Now(); ; {
		switch _, err := io.CopyN(h, in, 1<<20); {
		case err == io.EOF:
			return hex.EncodeToString(h.Sum(nil)), nil
		case err != nil:
			return "", err
		}
		if alive != nil && time.Since(last) >= aliveEvery {
			alive()
			last = time.Now()
		}
	}
}

// SharedChecksum returns the first of Algorithms in both lists, or "".
func SharedChecksum(a, b []string) string {
	for _, alg := range Algorithms() {
		if slices.Contains(a, alg) && slices.Contains(b, alg) {
			return alg
		}
	}
	return ""
}
