package transfer

import (
	"math"
	"testing"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "17": 17, "17B": 17, "17 B": 17, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "1.5 TB": 1.5e12, "0.5KiB": 512, "256.0 MB": 256e6,
		"500MB": 500e6, "20 GiB": 20 << 30, "4PiB": 4 << 50, "9223372036854775807": math.MaxInt64, "9007199254740993": 9007199254740993,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, want %d (%v)", text, got, want, err)
		}
	}
	for _, text := range []string{
		"", "B", " 1", "1  MB", "-1", "+1", "1e3", "1iB", "1M", "1Mi", "1KMB", "1KKiB", "1QB", "1EB", "kiB", "1mib/s", "8192PiB", "9223372036854775808", "0x10", "1.2.3", "NaN", "Inf", "1_000", "1MB ",
	} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"1.5 TB", "20GiB", "9223372036854775807", "999999999999999999PB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseSize(text); err == nil && n < 0 {
			t.Errorf("%q is %d", text, n)
		}
	})
}
