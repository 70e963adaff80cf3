// Package config is gridferry's one configuration: what the file may say, where
// it is looked for, and what is wrong with it. It reads and checks; it opens
// nothing and starts nothing.
//
// It is read with go.yaml.in/yaml/v3, the YAML organisation's continuation of
// the archived gopkg.in/yaml.v3, which the Temporal SDK brings in any case. Only
// its parser is used: decoding is done here, so that every complaint has a
// file and a line, and all come at once.
package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// Config is what the configuration says, defaults filled in. A field's key in
// the file is its yaml tag.
type Config struct {
	DataDir   string   `yaml:"data_dir"`   // what this host keeps: default of Store.Path and Blobs.Dir
	Site      string   `yaml:"site"`       // this host's name in file://HOST and for endpoints bound to it; default: the host name
	Roles     []Role   `yaml:"roles"`      // what the daemon does; default: control, data and site, or data alone with a service elsewhere
	PublicURL string   `yaml:"public_url"` // where people find a task as PUBLIC_URL/tasks/ID, for links in mail; else temporal.ui is
	TrustDir  string   `yaml:"trust_dir"`  // certificates of the authorities that are believed (OpenSSL's hashed directory)
	Deadline  Duration `yaml:"deadline"`   // of tasks that name none

	Temporal    Temporal    `yaml:"temporal"`
	Trust       Trust       `yaml:"trust"`
	Store       Store       `yaml:"store"`
	Vault       Vault       `yaml:"vault"`
	Blobs       Blobs       `yaml:"blobs"`
	Retention   Retention   `yaml:"retention"`
	Concurrency Concurrency `yaml:"concurrency"`
	Log         Log         `yaml:"log"`
	Metrics     Listener    `yaml:"metrics"`
	Health      Listener    `yaml:"health"`
	GridFTP     GridFTP     `yaml:"gridftp"`
	MyProxy     MyProxy     `yaml:"myproxy"`
	Notify      Notify      `yaml:"notify"`
	API         API         `yaml:"api"`
	Service     Service     `yaml:"service"`

	// Endpoints by name ("user#dtn"), until a registry holds them.
	Endpoints map[string]endpoints.Record `yaml:"endpoints"`
	// Roots are, for each owner, the directories of this host that file://
	// may reach; "*" is every owner. Nobody reaches anything by default.
	Roots map[string][]string `yaml:"roots"`
	// Credentials by name, which "file:NAME" refers to; "env" is the worker's
	// own, of which only the owners can be said.
	Credentials map[string]Credential `yaml:"credentials"`

	positions map[string]position
}

// Role is a part that the daemon plays.
type Role string

// The roles.
const (
	RoleControl Role = "control" // workflows, records, mail
	RoleData    Role = "data"    // transfers between servers, and relays
	RoleSite    Role = "site"    // the file system of this host
	RoleGridFTP Role = "gridftp" // serves GridFTP
	RoleMyProxy Role = "myproxy" // issues certificates
)

func roles() []Role { return []Role{RoleControl, RoleData, RoleSite, RoleGridFTP, RoleMyProxy} }

// Temporal says where the engine is. What is empty comes from Temporal's own
// environment configuration (TEMPORAL_ADDRESS, temporal.toml and its profiles).
type Temporal struct {
	Profile    string `yaml:"profile"`
	ConfigFile string `yaml:"config_file"`
	Address    string `yaml:"address"`
	Namespace  string `yaml:"namespace"`
	UI         string `yaml:"ui"`       // address of its Web UI, for links in mail
	Fairness   bool   `yaml:"fairness"` // the server shares queues out among owners: matching.enableFairness is on
}

// Blobs is where manifests, ledgers and results are kept.
type Blobs struct {
	Dir string `yaml:"dir"` // default: blobs in the data directory
	URL string `yaml:"url"` // or s3://BUCKET/prefix, for hosts that share no file system; the endpoint "s3" says where and with what keys
	// Budget is what all of it may take; beyond, what ended tasks left goes
	// before its time, and running ones wait. 0 is no limit.
	Budget Size `yaml:"budget"`
	// Reserve is how much of the file system is left free, for the last words
	// of work that stops because it is full; default 64 MiB.
	Reserve Size `yaml:"reserve"`
}

// Concurrency bounds what one worker process does at once. 0 is the default.
type Concurrency struct {
	Copies  int `yaml:"copies"`  // chunks being copied
	Data    int `yaml:"data"`    // other activities that touch endpoints
	Control int `yaml:"control"` // activities that touch none
}

// Log says how the daemon writes its log, which goes to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or text
}

// Listener is an address to listen on; empty is not at all.
type Listener struct {
	Listen string `yaml:"listen"` // "127.0.0.1:9090"
}

// GridFTP is our own server.
type GridFTP struct {
	Listen    string   `yaml:"listen"`     // default ":2811"
	Cert      string   `yaml:"cert"`       // of the host, PEM
	Key       string   `yaml:"key"`        //
	Gridmap   string   `yaml:"gridmap"`    // who may log in, as which user
	Anonymous bool     `yaml:"anonymous"`  // ftp:// without a password may read
	Root      string   `yaml:"root"`       // nothing outside is reachable
	ReadOnly  bool     `yaml:"read_only"`  //
	Sync      bool     `yaml:"sync"`       // a stored file is on the disk before the client is told so; else, as at Globus's server, the kernel has it
	PortRange string   `yaml:"port_range"` // of data channels: "50000,51000"
	Address   string   `yaml:"address"`    // what others are told to connect to, behind a translating router
	Sessions  int      `yaml:"sessions"`   // at once; 0 is the default
	Idle      Duration `yaml:"idle"`       // a session without a command ends after this; 0 is the default
}

// Credential is one that the configuration names.
type Credential struct {
	Owners []string `yaml:"owners"` // who may use it; "*" is everybody
	Proxy  string   `yaml:"proxy"`  // PEM: certificate, key and chain in one file
	Cert   string   `yaml:"cert"`   // or certificate and key apart
	Key    string   `yaml:"key"`
	// PasswordFile holds the password of an ftp or sftp login, in its first line.
	PasswordFile string `yaml:"password_file"`
	// TokenFile holds a bearer token for the web.
	TokenFile string `yaml:"token_file"`
	// AWSFile holds access keys for S3, or roles to take on, as the AWS command
	// line's credentials and config files do.
	AWSFile    string `yaml:"aws_file"`
	AWSProfile string `yaml:"aws_profile"` // of that file; default: "default"
	// SSHKey holds a private key for sftp, as ssh-keygen makes them.
	SSHKey         string `yaml:"ssh_key"`
	SSHCertificate string `yaml:"ssh_certificate"` // of that key; default: SSHKey-cert.pub, if there is one
	// SSHAgent is the socket of an ssh-agent, whose keys are tried in its order.
	SSHAgent string `yaml:"ssh_agent"`
}

// For reports whether owner may use the credential.
func (c Credential) For(owner string) bool {
	return slices.Contains(c.Owners, owner) || slices.Contains(c.Owners, Everybody)
}

// Everybody stands for every owner.
const Everybody = "*"

// RootsOf returns the directories of this host that an owner may reach.
func (c *Config) RootsOf(owner string) []string {
	return slices.Concat(c.Roots[owner], c.Roots[Everybody])
}

// CredentialEnv names the credential of the worker's own environment.
const CredentialEnv = "env"

// defaultDeadline is of tasks that name none.
const defaultDeadline = 7 * 24 * time.Hour

// dataDir is the default of Config.DataDir.
func dataDir(env func(string) string) string {
	if os.Geteuid() == 0 {
		return "/var/lib/gridferry"
	}
	if state := env("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "gridferry")
	}
	return filepath.Join(env("HOME"), ".local/state/gridferry")
}

// fill sets what the files left out.
func (c *Config) fill(env func(string) string) {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.DataDir, dataDir(env))
	c.fillAPI(env)
	set(&c.Store.Path, filepath.Join(c.DataDir, "store.db"))
	if c.Vault.KeysetEnv == "" {
		set(&c.Vault.KeysetFile, filepath.Join(c.DataDir, "vault.keyset"))
	}
	set(&c.Blobs.Dir, filepath.Join(c.DataDir, "blobs"))
	if name, err := os.Hostname(); err == nil {
		set(&c.Site, name)
	}
	c.Site = strings.ToLower(c.Site) // as hosts in locations are
	set(&c.TrustDir, env("X509_CERT_DIR"))
	set(&c.TrustDir, "/etc/grid-security/certificates")
	set(&c.Log.Level, "info")
	set(&c.Log.Format, "text")
	set(&c.GridFTP.Listen, ":2811")
	c.MyProxy.fill()
	c.Retention.fill()
	if _, said := c.positions["blobs.reserve"]; !said {
		c.Blobs.Reserve = defaultReserve
	}
	if len(c.Roles) == 0 && c.Service.URL != "" {
		c.Roles = []Role{RoleData}
	}
	if len(c.Roles) == 0 {
		c.Roles = []Role{RoleControl, RoleData, RoleSite}
	}
	if c.Deadline == 0 {
		c.Deadline = Duration(defaultDeadline)
	}
	for name, rec := range c.Endpoints {
		set(&rec.Name, name)
		c.Endpoints[name] = rec
	}
}
