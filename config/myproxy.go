package config

import (
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// MyProxy is our own online certificate authority.
type MyProxy struct {
	Listen string `yaml:"listen"` // default ":7512"
	Cert   string `yaml:"cert"`   // of the host, PEM
	Key    string `yaml:"key"`

	CACert      string   `yaml:"ca_cert"` // of the authority, PEM, with what leads to its root if that is another
	CAKey       string   `yaml:"ca_key"`
	Subject     string   `yaml:"subject"`      // whose names are given: "/DC=org/DC=example/CN={user}"
	MaxLifetime Duration `yaml:"max_lifetime"` // of certificates; default 12h

	// Command verifies pass phrases: a program and its arguments. It gets the
	// pass phrase as a line of its standard input and the user as
	// GRIDFERRY_USER, and exits with 0 (right), 1 (wrong) or else (no idea).
	Command []string    `yaml:"command"`
	OIDC    MyProxyOIDC `yaml:"oidc"`

	Roots    string          `yaml:"roots"` // trust directory to hand out; empty hands out none
	Failures MyProxyFailures `yaml:"failures"`
}

// MyProxyOIDC says which tokens are taken in place of a pass phrase.
type MyProxyOIDC struct {
	Issuer   string `yaml:"issuer"`   // URL; empty takes none
	Audience string `yaml:"audience"` // that tokens must be for
	Claim    string `yaml:"claim"`    // that must be the user's name; default preferred_username
}

// MyProxyFailures bound guessing. 0 is the default.
type MyProxyFailures struct {
	User    int      `yaml:"user"`    // wrong pass phrases for one user within the window; 10
	Address int      `yaml:"address"` // and from one address; 50
	Window  Duration `yaml:"window"`  // 15m
}

// fill sets what the files left out.
func (m *MyProxy) fill() {
	if m.Listen == "" {
		m.Listen = ":7512"
	}
	if m.MaxLifetime == 0 {
		m.MaxLifetime = Duration(12 * time.Hour)
	}
	if m.OIDC.Claim == "" {
		m.OIDC.Claim = "preferred_username"
	}
}

func (k *checker) myproxy(m MyProxy) {
	k.listen("myproxy.listen", m.Listen)
	k.exists("myproxy.cert", m.Cert)
	k.secret("myproxy.key", m.Key)
	k.exists("myproxy.ca_cert", m.CACert)
	k.secret("myproxy.ca_key", m.CAKey)
	k.exists("myproxy.roots", m.Roots)
	k.positive("myproxy.max_lifetime", int64(m.MaxLifetime))
	k.notNegative("myproxy.failures.user", m.Failures.User)
	k.notNegative("myproxy.failures.address", m.Failures.Address)
	if m.Failures.Window < 0 {
		k.complain("myproxy.failures.window", "0 leaves it to gridferry", "it is less than zero")
	}
	if len(m.Command) > 0 {
		k.program("myproxy.command", m.Command[0])
	}
	k.issuer(m.OIDC)
	if !slices.Contains(k.config.Roles, RoleMyProxy) {
		return
	}
	for _, needed := range []struct{ key, value, hint string }{
		{"myproxy.cert", m.Cert, "clients believe only a host with a certificate"},
		{"myproxy.key", m.Key, "it belongs to the certificate"},
		{"myproxy.ca_cert", m.CACert, "give the certificate that signs"},
		{"myproxy.ca_key", m.CAKey, "it belongs to the authority's certificate"},
		{"myproxy.subject", m.Subject, `write "/DC=org/DC=example/CN={user}"`},
	} {
		if needed.value == "" {
			k.complain(needed.key, needed.hint, "the role myproxy wants it")
		}
	}
	if len(m.Command) == 0 && m.OIDC.Issuer == "" {
		k.complain("myproxy", "give a command that verifies pass phrases, or an oidc issuer of tokens", "nobody could log on")
	}
}

// program checks what is run with no search along PATH, which may differ in a
// service.
func (k *checker) program(key, path string) {
	k.absolute(key, path)
	if info, err := os.Stat(path); err != nil {
		k.complain(key, "", "%s", err)
	} else if info.IsDir() || info.Mode()&0o111 == 0 {
		k.complain(key, "", "%s is not a program", path)
	}
}

// issuer wants TLS of an identity provider, or its keys could be anybody's. One
// on this host may do without.
func (k *checker) issuer(o MyProxyOIDC) {
	if o.Issuer == "" {
		return
	}
	u, err := url.Parse(o.Issuer)
	switch {
	case err != nil || u.Host == "":
		k.complain("myproxy.oidc.issuer", `write it as tokens have it: "https://login.example.org/realm"`, "%q is not a URL", o.Issuer)
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		k.complain("myproxy.oidc.issuer", "use https", "anybody on the way could answer for %s", u.Host)
	}
	if o.Audience == "" {
		k.complain("myproxy.oidc.audience", "give the client id that tokens are made for", "tokens for any other service would do as well")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
