package config_test

import (
	"errors"
	"testing"

	"github.com/gridferry/gridferry/config"
)

// Whatever a file holds, it is read or refused with problems, and what was
// read can be checked.
func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("a: &a [*a]")
	f.Add("endpoints: {a: {limits: {sessions: 1}}, <<: {}}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := load(t, text)
		if err == nil {
			c.Check(nil)
			return
		}
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Errorf("%q: %v", text, err)
		}
	})
}
