package config

import (
	"net/url"
	"slices"
	"strings"
)

// Service is the daemon that has the store, for one that has none: a host that
// moves data gets leases, blobs and credentials from there, and keeps neither
// a database nor keys.
type Service struct {
	URL  string `yaml:"url"`  // "https://HOST:PORT"; empty: this daemon has the store itself
	Cert string `yaml:"cert"` // of this host, PEM; the other lists its subject under api.movers
	Key  string `yaml:"key"`
}

func (k *checker) service(s Service) {
	k.exists("service.cert", s.Cert)
	k.secret("service.key", s.Key)
	if (s.Cert == "") != (s.Key == "") {
		k.complain("service", "give both cert and key", "a certificate and its key belong together")
	}
	if s.URL == "" {
		return
	}
	if !strings.HasPrefix(s.URL, "unix:/") {
		u, err := url.Parse(s.URL)
		switch {
		case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() == "":
			k.complain("service.url", "https://HOST:PORT", "%q does not say where the service is", s.URL)
		case s.Cert == "":
			k.complain("service.url", "give cert and key of this host", "the service could not tell that it is this host")
		}
	}
	if slices.Contains(k.config.Roles, RoleControl) {
		k.complain("service.url", "give the role control to the daemon there alone", "the role control wants a store, and this daemon has none")
	}
}
