package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math/bits"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func crcTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// encodeSum is a CRC-32C as S3 has it: big-endian, in base64.
func encodeSum(crc uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc)))
}

// decodeSum takes one of the store's; ok is false for none, and for those
// composite ones ("...-5") that are checksums of checksums.
func decodeSum(text *string) (crc uint32, ok bool) {
	b, err := base64.StdEncoding.DecodeString(aws.ToString(text))
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// combine is the CRC-32C of two pieces one behind the other, from those of each
// and the length of the second: the first one's, carried through that many zero
// bytes, is x to the power of eight times as many modulo the polynomial, times
// it. Both are bit-reversed, as the table is.
func combine(first, second uint32, length int64) uint32 {
	power, square := uint32(1)<<31, uint32(1)<<23 // 1 and x^8
	for n := uint64(length); n > 0; n >>= 1 {
		if n&1 != 0 {
			power = multiply(power, square)
		}
		square = multiply(square, square)
	}
	return multiply(first, power) ^ second
}

// multiply multiplies two polynomials over GF(2) modulo Castagnoli's.
func multiply(a, b uint32) uint32 {
	var product uint32
	for a = bits.Reverse32(a); a != 0; a >>= 1 {
		if a&1 != 0 {
			product ^= b
		}
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}

// Checksum implements endpoints.Checksummer: what the store keeps of a whole
// object, what it has confirmed of an upload's parts, and else what is read.
func (s *Storage) Checksum(ctx context.Context, p, alg string, offset, length int64, alive func()) (string, error) {
	const op = "compute the checksum of"
	if alg != "crc32c" || !s.opts.checksums {
		return "", fault.New(fault.Unsupported, op, p, "the store computes no "+alg)
	}
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return "", err
	}
	defer leave()
	if offset < 0 || length < -1 {
		return "", fault.New(fault.Invalid, op, p, "the range begins before the file")
	}
	if o.key == "" {
		return "", fault.New(fault.NotFound, op, p, "a bucket is no file")
	}
	h, err := s.head(ctx, o, o.key)
	if err != nil {
		return "", s.failed(ctx, op, p, err)
	}
	var crc uint32
	size := aws.ToInt64(h.ContentLength)
	switch whole, ok := decodeSum(h.ChecksumCRC32C); {
	case s.isClaim(h.Metadata):
		if offset != 0 || length >= 0 {
			return "", fault.New(fault.Unsupported, op, p, "of a file on its way only the whole one is known")
		}
		crc, err = s.claimSum(ctx, op, p, o, h.Metadata)
	case ok && h.ChecksumType != types.ChecksumTypeComposite && offset == 0 && (length < 0 || length >= size):
		crc = whole
	default:
		sum, err := endpoints.ReadChecksum(ctx, s, p, alg, offset, length, alive)
		return sum, s.failed(ctx, op, p, err)
	}
	if err != nil {
		return "", s.failed(ctx, op, p, err)
	}
	return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, crc)), nil
}

// etag compares entity tags, which some stores put in quotes and some do not.
func etag(text *string) string { return strings.Trim(aws.ToString(text), `"`) }
