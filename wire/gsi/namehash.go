package gsi

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
)

// Both hashes only name files; nothing is protected by them.

// subjectHash names a CA's file as OpenSSL has since version 1.0: SHA-1 of the
// canonical name, without the outer SEQUENCE, its first four bytes read
// backwards.
func subjectHash(raw []byte) (string, error) {
	rdns, err := canonicalName(raw)
	if err != nil {
		return "", err
	}
	sum := sha1.Sum(bytes.Join(rdns, nil))
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4])), nil
}

// oldSubjectHash names it as OpenSSL did before, and as old grid tools look for
// it still: MD5 of the encoded name.
func oldSubjectHash(raw []byte) string {
	sum := md5.Sum(raw)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:4]))
}
