package endpoints

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"slices"
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

// SharedChecksum returns the first of Algorithms in both lists, or "".
func SharedChecksum(a, b []string) string {
	for _, alg := range Algorithms() {
		if slices.Contains(a, alg) && slices.Contains(b, alg) {
			return alg
		}
	}
	return ""
}
