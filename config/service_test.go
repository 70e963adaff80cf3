package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
)

func TestAHostThatMovesDataForAnother(t *testing.T) {
	c, err := load(t, "service: {url: 'https://control.example.org:7513', cert: /c, key: /k}")
	if err != nil || !slices.Equal(c.Roles, []config.Role{config.RoleData}) {
		t.Errorf("its roles are %v, %v", c.Roles, err)
	}
	for name, tc := range map[string]struct{ text, says string }{
		"no URL":         {"service: {url: control}", "service.url: \"control\" does not say where"},
		"no port":        {"service: {url: 'https://control', cert: /dev/null, key: /dev/null}", "does not say where"},
		"no certificate": {"service: {url: 'https://control:7513'}", "could not tell that it is this host"},
		"half a pair":    {"service: {key: /dev/null}", "service: a certificate and its key belong together"},
		"no store":       {"roles: [control]\nservice: {url: 'unix:/s'}", "wants a store"},
	} {
		c, err := load(t, tc.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if problems := c.Check(nil); !slices.ContainsFunc(problems, func(p config.Problem) bool { return strings.Contains(p.String(), tc.says) }) {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
