package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

// Check returns everything that is wrong with a configuration that could be
// read, in the order of its keys: values out of range, names that nothing
// stands behind, files that are not there or that others can read. record,
// when not nil, is asked about each endpoint besides; it knows the drivers.
func (c *Config) Check(record func(endpoints.Record) error) Problems {
	k := &checker{config: c}
	k.absolute("data_dir", c.DataDir)
	k.store(c.Store)
	k.vault(c.Vault)
	k.blobs(c.Blobs)
	k.retention(c.Retention)
	k.exists("trust_dir", c.TrustDir)
	k.exists("temporal.config_file", c.Temporal.ConfigFile)
	for _, r := range c.Roles {
		k.oneOf("roles", string(r), names(roles())...)
	}
	k.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("log.format", c.Log.Format, "json", "text")
	k.listen("metrics.listen", c.Metrics.Listen)
	k.listen("health.listen", c.Health.Listen)
	k.positive("deadline", int64(c.Deadline))
	k.notNegative("concurrency.copies", c.Concurrency.Copies)
	k.notNegative("concurrency.data", c.Concurrency.Data)
	k.notNegative("concurrency.control", c.Concurrency.Control)
	if strings.ContainsAny(c.Site, "/ :") || c.Site == "" {
		k.complain("site", "write a host name", "%q cannot be the host in file://HOST/path", c.Site)
	}
	k.web("public_url", c.PublicURL)
	k.web("temporal.ui", c.Temporal.UI)
	k.gridftp(c.GridFTP)
	k.myproxy(c.MyProxy)
	k.notify(c.Notify)
	k.api(c.API)
	k.service(c.Service)
	for _, name := range slices.Sorted(maps.Keys(c.Endpoints)) {
		k.endpoint(name, c.Endpoints[name], record)
	}
	for _, owner := range slices.Sorted(maps.Keys(c.Roots)) {
		for _, dir := range c.Roots[owner] {
			k.absolute("roots."+owner, dir)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Credentials)) {
		k.credential(name, c.Credentials[name])
	}
	return k.problems
}

func names(rs []Role) []string {
	var names []string
	for _, r := range rs {
		names = append(names, string(r))
	}
	return names
}

type checker struct {
	config   *Config
	problems Problems
}

// complain finds the place of a key, or of the nearest thing above it that
// was written down.
func (k *checker) complain(key, hint, format string, args ...any) {
	p := Problem{Key: key, Message: fmt.Sprintf(format, args...), Hint: hint}
	for at := key; ; {
		if pos, ok := k.config.positions[at]; ok {
			p.Source, p.Line = pos.source, pos.line
			break
		}
		i := strings.LastIndexByte(at, '.')
		if i < 0 {
			break
		}
		at = at[:i]
	}
	k.problems = append(k.problems, p)
}

func (k *checker) absolute(key, p string) {
	switch {
	case !filepath.IsAbs(p):
		k.complain(key, "", "%q is not an absolute path", p)
	case filepath.Clean(p) != p:
		k.complain(key, "write "+filepath.Clean(p), "%q is not a clean path", p)
	}
}

func (k *checker) blobs(b Blobs) {
	k.absolute("blobs.dir", b.Dir)
	if b.URL == "" {
		return
	}
	if _, said := k.config.positions["blobs.dir"]; said {
		k.complain("blobs", "leave dir or url out", "the blobs are in one place")
	}
	if loc, err := transfer.ParseLocation(b.URL); err != nil || !strings.HasPrefix(loc.Endpoint, "s3://") {
		k.complain("blobs.url", "write s3://BUCKET/prefix", "it is not the URL of a bucket")
	}
}

// exists checks a file that is named; none need be.
func (k *checker) exists(key, p string) {
	if _, said := k.config.positions[key]; p == "" || !said && key == "trust_dir" {
		return
	}
	k.absolute(key, p)
	if _, err := os.Stat(p); err != nil {
		k.complain(key, "", "%s", err)
	}
}

// secret checks a file that nobody else may read.
func (k *checker) secret(key, p string) {
	k.exists(key, p)
	if fi, err := os.Stat(p); err == nil && fi.Mode().Perm()&0o077 != 0 {
		k.complain(key, "chmod 600 "+p, "others may read the secret in %s", p)
	}
}

func (k *checker) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		k.complain(key, nearest(value, allowed), "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

func (k *checker) listen(key, address string) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		k.complain(key, `write HOST:PORT, "127.0.0.1:9090" or ":9090"`, "%q is not an address to listen on", address)
	}
}

func (k *checker) web(key, address string) {
	if address == "" {
		return
	}
	if u, err := url.Parse(address); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		k.complain(key, "https://gridferry.example.org", "%q is not a web address", address)
	}
}

func (k *checker) positive(key string, n int64) {
	if n <= 0 {
		k.complain(key, "", "it must be more than zero")
	}
}

func (k *checker) notNegative(key string, n int) {
	if n < 0 {
		k.complain(key, "0 leaves it to gridferry", "%d is less than zero", n)
	}
}

func (k *checker) gridftp(g GridFTP) {
	k.listen("gridftp.listen", g.Listen)
	k.exists("gridftp.cert", g.Cert)
	k.secret("gridftp.key", g.Key)
	k.exists("gridftp.gridmap", g.Gridmap)
	k.exists("gridftp.root", g.Root)
	k.notNegative("gridftp.sessions", g.Sessions)
	if (g.Cert == "") != (g.Key == "") {
		k.complain("gridftp", "give both cert and key, or neither for plain FTP", "a certificate and its key belong together")
	}
	if g.PortRange != "" {
		if low, high, err := ParsePortRange(g.PortRange); err != nil {
			k.complain("gridftp.port_range", "", "%s", err)
		} else if high-low < 1 {
			k.complain("gridftp.port_range", "a server with one data port serves one transfer", "%d,%d is too narrow", low, high)
		}
	}
	if slices.Contains(k.config.Roles, RoleGridFTP) && g.Root == "" {
		k.complain("gridftp.root", "say which directory is served", "the role gridftp wants it")
	}
}

// ParsePortRange takes "LOW,HIGH" apart, as GLOBUS_TCP_PORT_RANGE is written;
// a hyphen or a space will do as well.
func ParsePortRange(s string) (low, high int, err error) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '-' || r == ' ' })
	if len(parts) == 2 {
		l, lowErr := strconv.ParseUint(parts[0], 10, 16)
		h, highErr := strconv.ParseUint(parts[1], 10, 16)
		if lowErr == nil && highErr == nil && 0 < l && l <= h {
			return int(l), int(h), nil
		}
	}
	return 0, 0, fmt.Errorf(`%q is not a range of ports (write "50000,51000")`, s)
}

var endpointName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]*(#[A-Za-z0-9][A-Za-z0-9._-]*)?$`)

func (k *checker) endpoint(name string, r endpoints.Record, record func(endpoints.Record) error) {
	key := "endpoints." + name
	if !endpointName.MatchString(name) {
		k.complain(key, `write "user#name" in letters, digits, dots and hyphens`, "%q cannot be an endpoint's name", name)
	}
	if r.Name != name {
		k.complain(key+".name", "leave it out", "the endpoint's name is its key")
	}
	if r.Root != "" {
		k.absolute(key+".root", r.Root)
	}
	if r.Directory != "" {
		k.absolute(key+".directory", r.Directory)
	}
	k.notNegative(key+".limits.sessions", r.Limits.Sessions)
	k.notNegative(key+".limits.tasks", r.Limits.Tasks)
	if err := r.Limits.Check(); err != nil {
		k.complain(key+".limits", "", "%s", err)
	}
	if file, ok := strings.CutPrefix(r.Credential, "file:"); ok {
		if _, ok := k.config.Credentials[file]; !ok {
			k.complain(key+".credential", nearest(file, slices.Sorted(maps.Keys(k.config.Credentials))), "there is no credential %q", file)
		}
	} else if r.Credential != "" && r.Credential != CredentialEnv {
		k.complain(key+".credential", `write "env" or "file:NAME"`, "%q is not the id of a credential", r.Credential)
	}
	if record != nil {
		if err := record(r); err != nil {
			k.complain(key, "", "%s", err)
		}
	}
}

func (k *checker) credential(name string, c Credential) {
	key := "credentials." + name
	if name == CredentialEnv {
		if c.Proxy+c.Cert+c.Key+c.PasswordFile+c.TokenFile+c.AWSFile+c.SSHKey+c.SSHAgent != "" {
			k.complain(key, "", "the worker's own credential comes from its environment; only its owners are said here")
		}
	} else {
		said := 0
		for _, what := range []string{c.Proxy, c.Cert, c.PasswordFile, c.TokenFile, c.AWSFile, c.SSHKey, c.SSHAgent} {
			if what != "" {
				said++
			}
		}
		if said != 1 || (c.Cert == "") != (c.Key == "") {
			k.complain(key, "", "it wants one of proxy, cert with key, password_file, token_file, aws_file, ssh_key and ssh_agent")
		}
	}
	if len(c.Owners) == 0 {
		k.complain(key+".owners", `write a list of users, or ["*"] for everybody`, "nobody may use it")
	}
	k.secret(key+".proxy", c.Proxy)
	k.exists(key+".cert", c.Cert)
	k.secret(key+".key", c.Key)
	k.secret(key+".password_file", c.PasswordFile)
	k.secret(key+".token_file", c.TokenFile)
	k.secret(key+".aws_file", c.AWSFile)
	k.secret(key+".ssh_key", c.SSHKey)
	k.exists(key+".ssh_certificate", c.SSHCertificate)
	k.exists(key+".ssh_agent", c.SSHAgent)
	if c.SSHCertificate != "" && c.SSHKey == "" {
		k.complain(key+".ssh_certificate", "name the key in ssh_key", "a certificate is one of a key")
	}
	if c.AWSProfile != "" && c.AWSFile == "" {
		k.complain(key+".aws_profile", "name the file in aws_file", "a profile is one of a file")
	}
}
