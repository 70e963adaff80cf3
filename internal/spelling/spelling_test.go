package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"source", "destination", "delete_extra", "verify", "roles", "Roots"}
	for _, c := range []struct{ wrote, want string }{
		{"sourse", "source"},
		{"SOURCE", "source"},
		{"deleteExtra", "delete_extra"},
		{"verfiy", "verify"},
		{"role", "roles"},
		{"rots", "Roots"},
		{"ropes", "roles"},
		{"x", ""},
		{"", ""},
		{"schedule", ""},
		{"destination" + strings.Repeat("n", longest), ""},
	} {
		if got, ok := Nearest(c.wrote, names); got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q, %v, not %q", c.wrote, got, ok, c.want)
		}
	}
	if got, ok := Nearest("x", nil); ok {
		t.Errorf("of no names it is %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"kitten", "sitting", 3}, {"saturday", "sunday", 3}, {"level", "levle", 2}, {"abc", "bcd", 2},
	} {
		if got, back := distance(c.a, c.b), distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q and %q: %d, and back %d, not %d", c.a, c.b, got, back, c.want)
		}
	}
}
