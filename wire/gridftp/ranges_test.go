package gridftp

import (
	"reflect"
	"testing"
)

func TestRangeSet(t *testing.T) {
	set := NewRangeSet(Range{20, 30}, Range{0, 10}, Range{5, 12}, Range{30, 40}, Range{7, 7}, Range{9, 3})
	if got := set.String(); got != "0-12,20-40" {
		t.Fatalf("union is %q", got)
	}
	if got := set.Bytes(); got != 32 {
		t.Errorf("Bytes() = %d, want 32", got)
	}
	for _, test := range []struct{ s, other, want string }{
		{"0-100", "", "0-100"},
		{"0-100", "0-100", ""},
		{"0-100", "10-20,30-40", "0-10,20-30,40-100"},
		{"0-10,20-30", "5-25", "0-5,25-30"},
		{"0-10,20-30,40-50", "0-1,9-21,29-60", "1-9,21-29"},
		{"", "0-5", ""},
	} {
		s, _ := ParseRangeSet(test.s)
		other, _ := ParseRangeSet(test.other)
		if got := s.Subtract(other).String(); got != test.want {
			t.Errorf("%s minus %s = %s, want %s", test.s, test.other, got, test.want)
		}
	}
	for r, want := range map[Range]bool{{0, 12}: true, {0, 13}: false, {12, 13}: false, {25, 40}: true, {19, 21}: false, {50, 50}: true} {
		if set.Contains(r) != want {
			t.Errorf("Contains(%v) = %v", r, !want)
		}
	}
	if got := set.Missing(50).String(); got != "12-20,40-50" {
		t.Errorf("Missing(50) = %s", got)
	}
	before := set.String()
	if got := set.Add(Range{12, 20}).String(); got != "0-40" || set.String() != before {
		t.Errorf("Add gave %s and left %s", got, set)
	}
}

func TestParseRangeSet(t *testing.T) {
	for in, want := range map[string]string{"": "", "0-0": "", " 5-10, 0-5": "0-10", "0-9223372036854775807": "0-9223372036854775807"} {
		if got, err := ParseRangeSet(in); err != nil || got.String() != want {
			t.Errorf("%q: got %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"5", "5-", "-5", "5-4", "a-b", "0-5,", "0-9223372036854775808", "+1-2", "1--2", ","} {
		if got, err := ParseRangeSet(in); err == nil {
			t.Errorf("%q: got %s, want an error", in, got)
		}
	}
}

func FuzzParseRangeSet(f *testing.F) {
	for _, seed := range []string{"0-10,20-30", "5-10,0-7", "0-0", "", "1-9223372036854775807"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		s, err := ParseRangeSet(in)
		if err != nil {
			return
		}
		for i, r := range s {
			if r.Off < 0 || r.End <= r.Off || i > 0 && s[i-1].End >= r.Off {
				t.Fatalf("%q gave %v, not in normal form", in, s)
			}
			if !s.Contains(r) {
				t.Fatalf("%v does not contain its own %v", s, r)
			}
		}
		if again, err := ParseRangeSet(s.String()); err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%v read back as %v, %v", s, again, err)
		}
		if len(s) > 0 {
			size := s[len(s)-1].End
			missing := s.Missing(size)
			if missing.Bytes()+s.Bytes() != size || len(missing.Subtract(s)) != len(missing) {
				t.Fatalf("%v and what it misses of %d, %v, do not add up", s, size, missing)
			}
		}
	})
}
