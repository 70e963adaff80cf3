package activities

import (
	"testing"
	"time"
)

func TestIsOver(t *testing.T) {
	now := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	const id = "01234567-89ab-4def-8123-456789abcdef"
	old := NewCheckName(now.Add(-checkOver-time.Second), id)
	if want := "gridferry-check-20261121T165959Z-" + id; old != want {
		t.Errorf("it is called %s, want %s", old, want)
	}
	for name, want := range map[string]bool{
		old:               true,
		ofAttempt(old, 1): true,
		ofAttempt(old, 7): true,
		NewCheckName(now.In(time.FixedZone("", 7200)).Add(-2*checkOver), id): true,
		NewCheckName(now.Add(-checkOver+time.Second), id):                    false,
		NewCheckName(now, id):                      false,
		NewCheckName(now.Add(24*time.Hour), id):    false,
		old + "x":                                  false,
		old + "-":                                  false,
		old + "-0":                                 false,
		old + "\n":                                 false,
		" " + old:                                  false,
		CheckName + id:                             false,
		CheckName + "1":                            false,
		CheckName + "20261121T165959Z":             false,
		CheckName + "20261121T165959Z-results":     false,
		CheckName + "20261341T165959Z-" + id:       false,
		CheckName + "20261121T165959Z-" + id[:35]:  false,
		CheckName + "20261121T165959Z-" + id + "/": false,
		"Gridferry-check-20261121T165959Z-" + id:   false,
	} {
		if got := isOver(name, now); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
