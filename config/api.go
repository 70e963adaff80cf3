package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// API is the door for the command, for workers on other hosts, and for
// programs: a Unix socket for the users of this host, and mutual TLS.
type API struct {
	Socket string `yaml:"socket"` // default: /run/gridferry/api.sock, or api.sock in a data directory of one's own
	Listen string `yaml:"listen"` // ":7513"; empty is no TLS
	Cert   string `yaml:"cert"`   // of the host, PEM
	Key    string `yaml:"key"`
	// Gridmap says which user a certificate's holder is, as the Globus tools
	// have it. Who is not in it may do nothing as a user.
	Gridmap string `yaml:"gridmap"`
	// Movers are the subjects of the certificates of hosts that move data
	// without a store of their own. They reach every task's leases and blobs,
	// and a proxy for each end of a running task.
	Movers []string `yaml:"movers"`
	// Operators are the users who may take endpoints out of use. On this host
	// the superuser is one, and whom the daemon runs as.
	Operators []string `yaml:"operators"`
}

const (
	socketDir  = "/run/gridferry"
	socketName = "api.sock"
	// maxSocket is what a Unix socket's name may have, in bytes, where it has
	// the least (sun_path of macOS, with its NUL).
	maxSocket = 103
)

// fillAPI sets the default socket: where systemd says that this service's
// sockets belong, else where commands look without being told, else beside the
// rest of what a daemon with a directory of its own has. A name that no socket
// can have is none.
func (c *Config) fillAPI(env func(string) string) {
	if c.API.Socket != "" {
		return
	}
	dir := c.DataDir
	_, dirSaid := c.positions["data_dir"]
	if runtime, _, _ := strings.Cut(env("RUNTIME_DIRECTORY"), ":"); runtime != "" {
		dir = runtime
	} else if os.Geteuid() == 0 && !dirSaid {
		dir = socketDir
	}
	if path := filepath.Join(dir, socketName); len(path) <= maxSocket {
		c.API.Socket = path
	}
}

// EnvService is the variable that tells commands where the daemon is.
const EnvService = envPrefix + "SERVICE"

// DefaultService is where a command finds the daemon that it was not told of:
// where the environment says, else at a socket of this host, of the site's or
// of the user's own.
func DefaultService(env func(string) string) string {
	if said := env(EnvService); said != "" {
		return said
	}
	site := filepath.Join(socketDir, socketName)
	own := filepath.Join(dataDir(env), socketName)
	if _, err := os.Stat(site); err != nil {
		if _, err := os.Stat(own); err == nil {
			return "unix:" + own
		}
	}
	return "unix:" + site
}

func (k *checker) api(a API) {
	k.listen("api.listen", a.Listen)
	k.exists("api.cert", a.Cert)
	k.secret("api.key", a.Key)
	k.exists("api.gridmap", a.Gridmap)
	if a.Socket != "" {
		k.absolute("api.socket", a.Socket)
	}
	if len(a.Socket) > maxSocket {
		k.complain("api.socket", "", "no socket can have a name of more than %d bytes", maxSocket)
	}
	switch {
	case (a.Cert == "") != (a.Key == ""):
		k.complain("api", "give both cert and key", "a certificate and its key belong together")
	case a.Listen != "" && a.Cert == "":
		k.complain("api.listen", "give cert and key of this host", "clients could not tell that it is this host")
	}
	if a.Listen != "" && !slices.Contains(k.config.Roles, RoleControl) {
		k.complain("api.listen", "give the role to this daemon, or leave it out", "only the role control serves it")
	}
}
