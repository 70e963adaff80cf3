package endpoints

import "context"

// Record is what a site's configuration (later its registry) says about an
// endpoint. URLs without a record get one of their own with the defaults of
// their scheme.
type Record struct {
	Name       string            `json:"name" yaml:"name"` // "user#name"; empty for a plain URL
	Kind       string            `json:"kind" yaml:"kind"` // driver: "gridftp", "posix", "s3", "http", "sftp", "memory"
	Servers    []string          `json:"servers,omitempty" yaml:"servers,omitempty"`
	Scheme     string            `json:"scheme,omitempty" yaml:"scheme,omitempty"`       // gridftp: "gsiftp", "ftp" or "sshftp"; s3: "https" or "http"; http: these, "davs" or "dav"
	User       string            `json:"user,omitempty" yaml:"user,omitempty"`           // login name where the kind has one
	Directory  string            `json:"directory,omitempty" yaml:"directory,omitempty"` // what "/~/" means
	Root       string            `json:"root,omitempty" yaml:"root,omitempty"`           // nothing outside is reachable
	Site       string            `json:"site,omitempty" yaml:"site,omitempty"`           // bound to the host of this name: its own task queue
	Credential string            `json:"credential,omitempty" yaml:"credential,omitempty"`
	MyProxy    string            `json:"myproxy,omitempty" yaml:"myproxy,omitempty"` // HOST or HOST:PORT that issues its users' credentials
	Domain     string            `json:"domain,omitempty" yaml:"domain,omitempty"`   // see SecurityDomain
	Limits     Limits            `json:"limits,omitzero" yaml:"limits,omitempty"`
	Options    map[string]string `json:"options,omitempty" yaml:"options,omitempty"` // the kind's own
}

// Opener opens storage for an owner. Credentials are named by id; only an
// Opener ever sees what they stand for.
type Opener interface {
	// Resolve finds the record behind a location's endpoint part ("user#dtn",
	// or the scheme and host of a URL). NotFound when there is none.
	Resolve(ctx context.Context, endpoint string) (Record, error)

	// Open connects as owner with the credential of that id (empty: the
	// record's own, else the worker's default). The caller closes.
	Open(ctx context.Context, rec Record, owner, credential string) (Storage, error)
}
