package s3

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

func TestCombine(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	want := crc32.Checksum(data, crcTable())
	for _, at := range []int{0, 1, 2, 7, 4096, 65_537, len(data) - 1, len(data)} {
		first, second := crc32.Checksum(data[:at], crcTable()), crc32.Checksum(data[at:], crcTable())
		if got := combine(first, second, int64(len(data)-at)); got != want {
			t.Errorf("cut at %d: %08x, want %08x", at, got, want)
		}
	}
}

// The sum of "123456789" is the check value of every catalogue of CRCs.
func TestSumAsS3HasIt(t *testing.T) {
	sum := crc32.Checksum([]byte("123456789"), crcTable())
	if sum != 0xe3069283 {
		t.Fatalf("%08x", sum)
	}
	text := encodeSum(sum)
	if *text != "4waSgw==" {
		t.Errorf("encoded as %s", *text)
	}
	if back, ok := decodeSum(text); !ok || back != sum {
		t.Errorf("decoded as %08x, %v", back, ok)
	}
	for _, bad := range []string{"", "4waSgw==-3", "4waSgw", "AAAA", "!"} {
		if _, ok := decodeSum(&bad); ok {
			t.Errorf("%q was taken for a sum", bad)
		}
	}
}
