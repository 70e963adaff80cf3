package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
)

func TestTheSocketIsWhereItIsLookedFor(t *testing.T) {
	d := t.TempDir()
	for name, tc := range map[string]struct {
		text, runtime, want string
	}{
		"said":           {"api: {socket: /srv/s}", "/run/x", "/srv/s"},
		"systemd":        {"data_dir: /srv/gridferry", "/run/gridferry:/run/more", "/run/gridferry/api.sock"},
		"data directory": {"data_dir: /srv/gridferry", "", "/srv/gridferry/api.sock"},
		"too long":       {"data_dir: /" + strings.Repeat("x", 100), "", ""},
	} {
		path := filepath.Join(d, "c.yaml")
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Path: path, Environ: []string{"HOME=" + d, "RUNTIME_DIRECTORY=" + tc.runtime}})
		if err != nil || c.API.Socket != tc.want {
			t.Errorf("%s: %q, %v; want %q", name, c.API.Socket, err, tc.want)
		}
	}
	if got := config.DefaultService(func(name string) string { return map[string]string{"GRIDFERRY_SERVICE": "https://h:1"}[name] }); got != "https://h:1" {
		t.Errorf("the environment says where the service is, and it is looked for at %s", got)
	}
}

func TestWhatIsWrongWithTheDoor(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"no certificate": {"api: {listen: ':7513'}", "api.listen: clients could not tell"},
		"half a pair":    {"api: {cert: /dev/null}", "api: a certificate and its key belong together"},
		"not served":     {"roles: [data]\napi: {listen: ':7513', cert: /dev/null, key: /dev/null}", "only the role control"},
		"too long":       {"api: {socket: /" + strings.Repeat("x", 110) + "}", "no socket can have"},
		"relative":       {"api: {socket: s}", "is not an absolute path"},
		"no gridmap":     {"api: {gridmap: /nowhere/gridmap}", "no such file"},
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
