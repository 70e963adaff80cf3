package endpoints

import "testing"

func TestPartsAreFewEnough(t *testing.T) {
	p := Parts{Least: 5, Most: 10}
	for size, want := range map[int64]int64{0: 5, 1: 5, 50: 5, 51: 10, 100: 10, 101: 15, 1000: 100} {
		unit := p.Unit(size)
		if unit != want || (size+unit-1)/unit > 10 {
			t.Errorf("a file of %d: parts of %d, want %d", size, unit, want)
		}
	}
	if unit := (Parts{}).Unit(1000); unit != 0 {
		t.Errorf("without parts: %d", unit)
	}
}

// However a file is cut, each of its parts is in one of the pieces, and whole.
func TestAlign(t *testing.T) {
	p := Parts{Least: 5, Most: 10}
	for size := range int64(120) {
		unit := p.Unit(size)
		for length := int64(1); length < 40; length++ {
			end := int64(0)
			for off := int64(0); off < size; off += length {
				r := p.Align(Range{off, min(off+length, size)}, size)
				if r.Off != end || r.End < r.Off || r.Off%unit != 0 && r.Off != size || r.End%unit != 0 && r.End != size {
					t.Fatalf("of %d in pieces of %d, that at %d is %v", size, length, off, r)
				}
				end = r.End
			}
			if end != size {
				t.Fatalf("of %d in pieces of %d, %d are there", size, length, end)
			}
		}
	}
	if r := (Parts{}).Align(Range{3, 7}, 20); r != (Range{3, 7}) {
		t.Errorf("without parts: %v", r)
	}
}

func TestInside(t *testing.T) {
	p := Parts{Least: 5, Most: 10}
	for _, c := range []struct {
		r, want Range
		size    int64
	}{
		{Range{0, 10}, Range{0, 10}, 20},
		{Range{1, 14}, Range{5, 10}, 20},
		{Range{6, 17}, Range{10, 17}, 17},
		{Range{6, 16}, Range{10, 15}, 17},
		{Range{15, 17}, Range{15, 17}, 17},
		{Range{1, 19}, Range{10, 10}, 100},
	} {
		if got := p.Inside(c.r, c.size); got != c.want {
			t.Errorf("of %v, in a file of %d: %v, want %v", c.r, c.size, got, c.want)
		}
	}
	if r := p.Inside(Range{6, 9}, 20); r.End > r.Off {
		t.Errorf("a part is in less than one: %v", r)
	}
	if r := (Parts{}).Inside(Range{6, 9}, 20); r != (Range{6, 9}) {
		t.Errorf("without parts: %v", r)
	}
}
