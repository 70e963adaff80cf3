package config_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// dir makes files, and says where they are.
func dir(t *testing.T, files map[string]string) string {
	t.Helper()
	d := t.TempDir()
	for name, text := range files {
		path := filepath.Join(d, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func load(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	d := dir(t, map[string]string{"c.yaml": text})
	return config.Load(config.Options{Path: filepath.Join(d, "c.yaml"), Environ: []string{"HOME=" + d}})
}

const whole = `
data_dir: /srv/gridferry
site: dtn1.example.org
roles: [data, gridftp]
public_url: https://ferry.example.org
deadline: 2d
temporal: {profile: prod, address: "temporal:7233"}
concurrency: {copies: 8}
log:
  level: debug
  format: json
metrics: {listen: ":9090"}
gridftp:
  root: /
  port_range: 50000,51000
  idle: 10m
endpoints:
  lab#dtn:
    kind: gridftp
    servers: [dtn1.example.org, "dtn2.example.org:2812"]
    credential: file:robot
    limits: {sessions: 16, logins: 30/min, rate: 100MB/s, windows: [{days: mon-fri, hours: "08:00-18:00", rate: 20MB/s, zone: Europe/Berlin}]}
    options: {prot: P}
  lab#disk: {kind: posix, root: /data, site: dtn1.example.org}
roots:
  ann: [/home/ann, /data]
credentials:
  robot: {owners: [ann], proxy: PROXY}
`

func TestWhole(t *testing.T) {
	d := dir(t, map[string]string{"proxy": "secret"})
	c, err := load(t, strings.ReplaceAll(whole, "PROXY", d+"/proxy"))
	if err != nil {
		t.Fatal(err)
	}
	if problems := c.Check(nil); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	dtn := c.Endpoints["lab#dtn"]
	for what, ok := range map[string]bool{
		"scalars":    c.DataDir == "/srv/gridferry" && c.Site == "dtn1.example.org" && c.Temporal.Profile == "prod" && c.Concurrency.Copies == 8,
		"durations":  time.Duration(c.Deadline) == 48*time.Hour && time.Duration(c.GridFTP.Idle) == 10*time.Minute,
		"lists":      slices.Equal(c.Roles, []config.Role{config.RoleData, config.RoleGridFTP}),
		"endpoints":  dtn.Name == "lab#dtn" && dtn.Kind == "gridftp" && len(dtn.Servers) == 2 && dtn.Limits.Sessions == 16 && dtn.Options["prot"] == "P",
		"roots":      slices.Equal(c.Roots["ann"], []string{"/home/ann", "/data"}),
		"credential": c.Credentials["robot"].Owners[0] == "ann",
		"defaults":   c.Store.Path == "/srv/gridferry/store.db" && c.Blobs.Dir == "/srv/gridferry/blobs" && c.GridFTP.Listen == ":2811",
	} {
		if !ok {
			t.Errorf("%s: %+v", what, c)
		}
	}
}

func TestEmptyFileIsAllDefaults(t *testing.T) {
	c, err := load(t, "# nothing yet\n")
	if err != nil {
		t.Fatal(err)
	}
	if problems := c.Check(nil); len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	if c.Deadline.String() != "168h0m0s" || c.Log.Level != "info" || c.Site == "" || len(c.Roles) != 3 {
		t.Errorf("defaults: %+v", c)
	}
}

// Every problem is found at once, each in its line.
func TestForm(t *testing.T) {
	for text, want := range map[string]string{
		"datadir: /x":                             "c.yaml:1: datadir: no such key (did you mean data_dir?)",
		"\nlog:\n  levle: info":                   "c.yaml:3: log.levle: no such key (did you mean level?)",
		"log: {colour: red}":                      "c.yaml:1: log.colour: no such key (known here: level, format)",
		"endpoints:\n  a#b:\n    kinde: gridftp":  "c.yaml:3: endpoints.a#b.kinde: no such key (did you mean kind?)",
		"site: a\nsite: b":                        "c.yaml:2: site: it is already there in line 1",
		"deadline: 5":                             `c.yaml:1: deadline: "5" is not a duration (write a number and a unit: "90s", "36h", "7d")`,
		"concurrency: {copies: many}":             `c.yaml:1: concurrency.copies: "many" is not a whole number`,
		"gridftp: {anonymous: perhaps}":           `c.yaml:1: gridftp.anonymous: "perhaps" is neither true nor false`,
		"roles: data":                             "c.yaml:1: roles: a list is wanted here: [a, b]",
		"endpoints: {a: {limits: {rate: 100MB}}}": `c.yaml:1: endpoints.a.limits.rate: "100MB" is no rate: write "100MB/s", "50MiB/s", "1Gbit/s" or "unlimited"`,
		"endpoints: {a: {limits: {logins: 30}}}":  `c.yaml:1: endpoints.a.limits.logins: "30" is no rate of logins: write "5/s", "30/min" or "1000/h"`,
		"log: info":                               "c.yaml:1: log: a mapping of keys to values is wanted here",
		"roots: [a]":                              "c.yaml:1: roots: a mapping of names to values is wanted here",
		"site: [a]":                               "c.yaml:1: site: a single value is wanted here",
		"- a":                                     "c.yaml:1: a mapping of keys to values is wanted here",
		"a: b: c":                                 "c.yaml: mapping values are not allowed in this context",
		"a: 1\nb: 2\nc: d: e":                     "c.yaml:3: mapping values are not allowed in this context",
		"x: &a {x: *a}":                           "",
		"endpoints:\n  a: {options: {k: {deep: 1}}}": "c.yaml:2: endpoints.a.options.k: a single value is wanted here",
	} {
		_, err := load(t, text)
		var problems config.Problems
		if !fault.Is(err, fault.Invalid) || !errors.As(err, &problems) {
			t.Errorf("%q: %v, want Invalid with problems", text, err)
			continue
		}
		if got := problems[0].String(); !strings.HasSuffix(got, want) {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	_, err := load(t, "a: 1\nb: 2\nlog:\n  c: 3\n")
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 3 || problems[2].Line != 4 {
		t.Errorf("three problems: %v", problems)
	}
}

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"data_dir: here":                                        `c.yaml:1: data_dir: "here" is not an absolute path`,
		"data_dir: /a/../b":                                     `data_dir: "/a/../b" is not a clean path (write /b)`,
		"roles: [date]":                                         `c.yaml:1: roles: "date" is not one of control, data, site, gridftp, myproxy (did you mean data?)`,
		"log: {level: loud}":                                    `log.level: "loud" is not one of`,
		"metrics: {listen: here}":                               `metrics.listen: "here" is not an address`,
		"health: {listen: ':99999'}":                            `health.listen: ":99999" is not an address`,
		"deadline: -1h":                                         "deadline: it must be more than zero",
		"concurrency: {copies: -1}":                             "concurrency.copies: -1 is less than zero",
		"public_url: ferry.example.org":                         `public_url: "ferry.example.org" is not a web address`,
		"temporal: {ui: here}":                                  `temporal.ui: "here" is not a web address`,
		"notify: {owners: {ada: ada}}":                          `notify.owners.ada: read notify: "ada" is neither a mail address`,
		"notify: {owners: {ada: a@b.org}}":                      "notify.owners: there is no way to tell them",
		"notify: {smtp: {server: a}, sendgrid: {key_file: /b}}": "notify: every mail would be sent twice",
		"site: a/b":                                             `site: "a/b" cannot be the host`,
		"trust_dir: /nowhere":                                   "trust_dir: stat /nowhere: no such file or directory",
		"gridftp: {cert: /etc/passwd}":                          "gridftp: a certificate and its key belong together",
		"gridftp: {cert: /etc/passwd, key: /etc/passwd}":        "others may read the secret in /etc/passwd (chmod 600 /etc/passwd)",
		"gridftp: {port_range: '9,1'}":                          `gridftp.port_range: "9,1" is not a range of ports`,
		"gridftp: {port_range: '9,9'}":                          `gridftp.port_range: 9,9 is too narrow`,
		"roles: [gridftp]":                                      "gridftp.root: the role gridftp wants it",
		"\nendpoints:\n  a b: {kind: gridftp}":                  `c.yaml:3: endpoints.a b: "a b" cannot be an endpoint's name`,
		"endpoints:\n  a#b:\n    root: data":                    `c.yaml:3: endpoints.a#b.root: "data" is not an absolute path`,
		"endpoints: {a: {credential: 'file:x'}}":                `endpoints.a.credential: there is no credential "x"`,
		"endpoints: {a: {name: b}}":                             "endpoints.a.name: the endpoint's name is its key",
		"endpoints: {a: {credential: secret}}":                  `"secret" is not the id of a credential`,
		"endpoints: {a: {limits: {sessions: -1}}}":              "endpoints.a.limits.sessions: -1 is less than zero",
		"endpoints: {a: {limits: {windows: [{days: mon}]}}}":    `endpoints.a.limits: window 1: it does not say its rate: write "20MB/s", or "unlimited"`,
		"roots: {ann: [home]}":                                  `roots.ann: "home" is not an absolute path`,
		"credentials: {a: {owners: [x]}}":                       "credentials.a: it wants one of proxy, cert with key, password_file, token_file, aws_file, ssh_key and ssh_agent",
		"credentials: {a: {proxy: /etc/hostname}}":              "credentials.a.owners: nobody may use it",
		"credentials: {env: {owners: [x], proxy: /etc/hosts}}":  "credentials.env: the worker's own credential comes from its environment",
	} {
		c, err := load(t, text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		problems := c.Check(nil)
		if !slices.ContainsFunc(problems, func(p config.Problem) bool { return strings.Contains(p.String(), want) }) {
			t.Errorf("%q:\n got %v\nwant %s", text, problems, want)
		}
	}
	c, err := load(t, "endpoints:\n  a: {kind: tape}")
	if err != nil {
		t.Fatal(err)
	}
	problems := c.Check(func(r endpoints.Record) error { return errors.New("no driver for " + r.Kind) })
	if len(problems) != 1 || problems[0].Line != 2 || problems[0].Message != "no driver for tape" {
		t.Errorf("what a driver says: %v", problems)
	}
}

// Flags win over the environment, which wins over the user's file, which wins
// over the system's; conf.d comes after the file beside it.
func TestLayers(t *testing.T) {
	d := dir(t, map[string]string{
		"etc/gridferryd.yaml":                    "site: etc\ndata_dir: /etc-data\nlog: {level: warn, format: json}\nroots: {ann: [/a]}\nconcurrency: {copies: 1, data: 1, control: 1}",
		"etc/conf.d/20.yaml":                     "concurrency: {copies: 20}\nroots: {bob: [/b]}",
		"etc/conf.d/10.yaml":                     "concurrency: {copies: 10, data: 10}",
		"etc/conf.d/README":                      "not: yaml",
		"home/.config/gridferry/gridferryd.yaml": "data_dir: /home-data\npublic_url: https://a",
	})
	opts := config.Options{
		System:  d + "/etc",
		Environ: []string{"HOME=" + d + "/home", "GRIDFERRY_LOG_LEVEL=error", "GRIDFERRY_PUBLIC_URL=https://b", "GRIDFERRY_ROLES=data, site", "GRIDFERRY_UNRELATED=x"},
		Set:     map[string]string{"public_url": "https://c"},
	}
	c, err := config.Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Site, c.DataDir, c.Log.Level, c.Log.Format, c.PublicURL, c.Concurrency.Copies, c.Concurrency.Data, c.Concurrency.Control, len(c.Roles)}
	want := []any{"etc", "/home-data", "error", "json", "https://c", 20, 10, 1, 2}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if owners := slices.Sorted(maps.Keys(c.Roots)); !slices.Equal(owners, []string{"ann", "bob"}) {
		t.Errorf("roots of %v", owners)
	}

	opts.Environ = append(opts.Environ, "GRIDFERRY_CONFIG="+d+"/home/.config/gridferry/gridferryd.yaml")
	if c, err := config.Load(opts); err != nil || c.Site == "etc" {
		t.Errorf("a file that was named is the only one: %+v, %v", c, err)
	}
	opts.Path = d + "/gone.yaml"
	if _, err := config.Load(opts); !fault.Is(err, fault.NotFound) {
		t.Errorf("a file that was named and is not there: %v", err)
	}
	opts.Path = ""
	for key, want := range map[string]string{"log.colour": "command line: log.colour: no such key", "deadline": "command line: deadline:", "roots.ann": "command line: roots.ann: no such key"} {
		opts.Set = map[string]string{key: "x"}
		if _, err := config.Load(opts); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("flag %s: %v", key, err)
		}
	}
}

func TestOneNameTwiceIsRefused(t *testing.T) {
	d := dir(t, map[string]string{
		"c.yaml":        "endpoints:\n  a#b: {kind: gridftp}",
		"conf.d/x.yaml": "endpoints:\n  a#b: {kind: posix}",
	})
	_, err := config.Load(config.Options{Path: d + "/c.yaml"})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "conf.d/x.yaml:2: endpoints.a#b: it is already defined at "+d+"/c.yaml:2") {
		t.Errorf("got %v", err)
	}
}
