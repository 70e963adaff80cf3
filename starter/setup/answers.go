package setup

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	yaml "go.yaml.in/yaml/v3"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Answers is what a site says of itself. What is empty it does without.
type Answers struct {
	DataDir   string
	TrustDir  string
	HostCert  string
	HostKey   string
	Gridmap   string
	Serve     string // directory that our own GridFTP server serves
	Keyset    string // seals credentials
	API       string // address for mutual TLS
	MyProxy   string
	Temporal  string
	Namespace string
	MailFrom  string
	Mail      string   // SMTP server
	Endpoints []string // NAME=HOST[:PORT][,HOST...]
}

// A question asks for one answer.
type question struct {
	name   string // of the flag, and in findings
	usage  string // of the flag; what stands in `` is its value
	prompt string
	answer func(*Answers) *string
	preset func() string
	check  func(p Program, ctx context.Context, a Answers) []Finding // nil: checked with another one
}

// questions are asked in this order: later checks use earlier answers.
func questions() []question {
	is := func(value string) func() string { return func() string { return value } }
	there := func(file string) func() string {
		return func() string {
			if _, err := os.Stat(file); err != nil {
				return ""
			}
			return file
		}
	}
	return []question{
		{"data-dir", "`directory` for what the daemon keeps", "Directory for tasks, ledgers and results",
			func(a *Answers) *string { return &a.DataDir }, dataDir, Program.checkDataDir},
		{"temporal", "`address` of Temporal, host:port", "Temporal server",
			func(a *Answers) *string { return &a.Temporal }, is("localhost:7233"), nil},
		{"temporal-namespace", "Temporal `namespace`", "Temporal namespace",
			func(a *Answers) *string { return &a.Namespace }, is("default"), Program.checkTemporal},
		{"trust-dir", "`directory` of the authorities that are believed", "Directory of trusted authorities",
			func(a *Answers) *string { return &a.TrustDir }, gsi.DefaultTrustDir, Program.checkTrust},
		{"host-cert", "certificate `file` of this host", "Certificate of this host (empty: none)",
			func(a *Answers) *string { return &a.HostCert }, there("/etc/grid-security/hostcert.pem"), nil},
		{"host-key", "key `file` of this host", "Its key (empty: none)",
			func(a *Answers) *string { return &a.HostKey }, there("/etc/grid-security/hostkey.pem"), Program.checkHost},
		{"serve", "`directory` that our own GridFTP server serves", "Directory to serve over GridFTP (empty: none)",
			func(a *Answers) *string { return &a.Serve }, is(""), Program.checkServe},
		{"gridmap", "gridmap `file`: who may log in, as which user", "Gridmap (empty: none)",
			func(a *Answers) *string { return &a.Gridmap }, there("/etc/grid-security/grid-mapfile"), Program.checkGridmap},
		{"keyset", "`file` of the keys that seal credentials, made if it is not there", "File of the keys that seal credentials",
			func(a *Answers) *string { return &a.Keyset }, func() string { return filepath.Join(dataDir(), "vault.keyset") }, Program.checkKeyset},
		{"api-listen", "`address` to serve commands and workers of other hosts on, with mutual TLS", "Address for commands from other hosts, as :7513 (empty: none)",
			func(a *Answers) *string { return &a.API }, is(""), Program.checkAPI},
		{"myproxy", "MyProxy server, `HOST[:PORT]`, of the endpoints", "MyProxy server of your users (empty: none)",
			func(a *Answers) *string { return &a.MyProxy }, is(""), Program.checkMyProxy},
		{"mail", "mail server, `HOST[:PORT]`", "Mail server for notices (empty: none)",
			func(a *Answers) *string { return &a.Mail }, is(""), nil},
		{"mail-from", "`address` that mail comes from", "Address that mail comes from (empty: none)",
			func(a *Answers) *string { return &a.MailFrom }, is(""), Program.checkMail},
	}
}

func (q question) flag(flags *pflag.FlagSet, a *Answers) {
	flags.StringVar(q.answer(a), q.name, q.preset(), q.usage)
}

func dataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/gridferry"
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "gridferry")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local/state/gridferry")
}

// fill makes paths what the configuration wants.
func (a *Answers) fill() {
	for _, p := range []*string{&a.DataDir, &a.TrustDir, &a.HostCert, &a.HostKey, &a.Gridmap, &a.Serve, &a.Keyset} {
		if abs, err := filepath.Abs(*p); *p != "" && err == nil {
			*p = abs
		}
	}
}

// endpoint is NAME=HOST[:PORT][,HOST...] taken apart.
func parseEndpoint(s string) (name string, servers []string, err error) {
	name, hosts, found := strings.Cut(s, "=")
	if servers = strings.Split(hosts, ","); !found || name == "" || slices.Contains(servers, "") {
		return "", nil, &fault.Error{Kind: fault.Invalid, Op: "read", Path: "endpoint " + s, Hint: "write lab#dtn=dtn.lab.example.org, and more servers with commas between them"}
	}
	return name, servers, nil
}

// Config renders the answers as the daemon's configuration.
func (a Answers) Config() ([]byte, error) {
	type section = map[string]any
	roles := []config.Role{config.RoleControl, config.RoleData, config.RoleSite}
	all := section{"data_dir": a.DataDir, "trust_dir": a.TrustDir}
	set := func(in section, key, value string) {
		if value != "" {
			in[key] = value
		}
	}
	temporal := section{}
	set(temporal, "address", a.Temporal)
	set(temporal, "namespace", a.Namespace)
	all["temporal"] = temporal
	if a.Serve != "" {
		roles = append(roles, config.RoleGridFTP)
		g := section{"root": a.Serve}
		set(g, "cert", a.HostCert)
		set(g, "key", a.HostKey)
		set(g, "gridmap", a.Gridmap)
		all["gridftp"] = g
	}
	all["roles"] = roles
	all["vault"] = section{"keyset_file": a.Keyset}
	if a.API != "" {
		api := section{"listen": a.API, "cert": a.HostCert, "key": a.HostKey}
		set(api, "gridmap", a.Gridmap)
		all["api"] = api
	}
	if a.Mail != "" {
		all["notify"] = section{"from": a.MailFrom, "smtp": section{"server": a.Mail}}
	}
	named := section{}
	for _, e := range a.Endpoints {
		name, servers, err := parseEndpoint(e)
		if err != nil {
			return nil, err
		}
		rec := section{"kind": "gridftp", "servers": servers}
		set(rec, "myproxy", a.MyProxy)
		named[name] = rec
	}
	if len(named) > 0 {
		all["endpoints"] = named
	}
	var b bytes.Buffer
	b.WriteString("# The configuration of gridferryd, written by \"gridferry setup\".\n" +
		"# \"gridferryd check-config\" says what is wrong after changes; SIGHUP makes the daemon read it again.\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(all); err != nil {
		return nil, fault.Wrap(fault.Internal, "write", "the configuration", err)
	}
	return b.Bytes(), enc.Close()
}

// about names an answer's question in findings.
func about(name, value string) string {
	if value == "" {
		return name
	}
	return fmt.Sprintf("%s %s", name, value)
}
