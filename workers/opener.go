package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/endpoints/http"
	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// KindPosix is the kind of endpoints in the file system of a host.
const KindPosix = "posix"

// Opener opens what the configuration and URLs name, for those who may. It is
// where ids of credentials become credentials, and where the drivers are known.
type Opener struct {
	config atomic.Pointer[config.Config]

	condition atomic.Pointer[endpoints.Condition]
	account   string // whom this process runs as: the owner of tasks that name none
	gridftp   *gridftp.Driver
	s3        *s3.Driver
	http      *http.Driver
	sftp      *sftp.Driver
	keys      accessKeys
	drivers   map[string]opens
	now       func() time.Time

	authorities authorities
	vault       Vault // nil: nobody activates anything
	used        used
}

// opens opens storage of one kind for owner. An empty credential is the
// record's own, or the worker's.
type opens func(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error)

var _ endpoints.Opener = (*Opener)(nil)

// NewOpener returns an opener of what c names. Data channels obey Globus's
// variables: GLOBUS_TCP_PORT_RANGE, GLOBUS_TCP_SOURCE_RANGE, GLOBUS_HOSTNAME.
func NewOpener(c *config.Config, log *slog.Logger) (*Opener, error) {
	network, err := data.NetworkFromEnvironment(context.Background())
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "read", "the Globus variables", err)
	}
	o := &Opener{
		account: strconv.Itoa(os.Getuid()), // in a container without /etc/passwd
		gridftp: gridftp.New(gridftp.Config{Network: network, Client: "gridferry", Logger: log}),
		s3:      s3.New(),
		http:    http.New(http.Config{}),
		sftp:    sftp.New(sftp.Config{}),
		now:     time.Now,
	}
	if u, err := user.Current(); err == nil {
		o.account = u.Username
	}
	o.drivers = map[string]opens{gridftp.Kind: o.openGridFTP, KindPosix: o.openPosix, s3.Kind: o.openS3, http.Kind: o.openHTTP, sftp.Kind: o.openSFTP}
	o.config.Store(c)
	return o, nil
}

// Reload takes another configuration. What is open stays as it is.
func (o *Opener) Reload(c *config.Config) error {
	o.config.Store(c)
	return nil
}

// Account is the user whom this process runs as.
func (o *Opener) Account() string { return o.account }

// Close ends all sessions.
func (o *Opener) Close() {
	o.gridftp.Close()
	o.s3.Close()
	o.http.Close()
	o.sftp.Close()
}

// CheckRecord says what is wrong with an endpoint's record, without contacting
// anybody; see config.Check.
func CheckRecord(rec endpoints.Record) error {
	switch rec.Kind {
	case gridftp.Kind:
		return gridftp.Check(rec)
	case KindPosix:
		return checkPosix(rec)
	case s3.Kind:
		return s3.Check(rec)
	case http.Kind:
		return http.Check(rec)
	case sftp.Kind:
		return sftp.Check(rec)
	}
	return fault.New(fault.Invalid, "use", rec.Name+" kind", fmt.Sprintf("%q is none: %s, %s, %s, %s or %s", rec.Kind, gridftp.Kind, KindPosix, s3.Kind, sftp.Kind, http.Kind))
}

// optionSync of a posix record: "off" leaves it to the kernel when files reach
// the disk, which is faster and loses the last ones when the host crashes.
const optionSync = "sync"

// optionSparse of a posix record: "on" leaves holes where zeros would be
// written, whatever they come from.
const optionSparse = "sparse"

// optionStage of a posix record names the site's command for files on tape: see
// posix.Archive.
const optionStage = "stage"

func checkPosix(rec endpoints.Record) error {
	bad := func(what, message string) error {
		return fault.New(fault.Invalid, "use", strings.TrimSpace(rec.Name+" "+what), message)
	}
	switch {
	case rec.Site == "":
		return bad("site", "a posix endpoint needs the name of the host whose directory it is")
	case rec.Root == "" && rec.Name != "":
		return bad("root", "a posix endpoint needs the directory that it serves")
	case len(rec.Servers) > 0 || rec.Scheme != "":
		return bad("servers", "a file system has neither servers nor a scheme")
	}
	for key, value := range rec.Options {
		if key == optionStage {
			if !filepath.IsAbs(value) || rec.Name == "" {
				return bad("options."+key, fmt.Sprintf("%q is not the absolute path of a command", value))
			}
			continue
		}
		if key != optionSync && key != optionSparse || value != "on" && value != "off" {
			return bad("options."+key, fmt.Sprintf("%q: the options are %s and %s, each on or off, and %s, a command", value, optionSparse, optionSync, optionStage))
		}
	}
	return nil
}

// Resolve implements endpoints.Opener.
func (o *Opener) Resolve(_ context.Context, endpoint string) (endpoints.Record, error) {
	const op = "find endpoint"
	scheme, authority, isURL := strings.Cut(endpoint, "://")
	if !isURL {
		rec, ok := o.config.Load().Endpoints[endpoint]
		if !ok {
			return rec, &fault.Error{Kind: fault.NotFound, Op: op, Path: endpoint,
				Err: errors.New("the configuration of this site names no such endpoint"), Hint: "name one that it does, or write a URL"}
		}
		return rec, nil
	}
	switch scheme {
	case "file":
		rec := endpoints.Record{Kind: KindPosix, Site: authority}
		return rec, checkPosix(rec)
	case s3.Kind:
		return o.bucket(authority)
	case "https", "http", "davs", "dav":
		return webServer(scheme, authority)
	case string(wire.GSIFTP), string(wire.FTP), string(wire.SSHFTP), sftp.Kind:
		rec := endpoints.Record{Kind: gridftp.Kind, Scheme: scheme}
		if scheme == sftp.Kind {
			rec.Kind = sftp.Kind
		}
		if at := strings.LastIndexByte(authority, '@'); at >= 0 {
			rec.User, authority = authority[:at], authority[at+1:]
		}
		rec.Servers = []string{authority}
		return rec, CheckRecord(rec)
	}
	return endpoints.Record{}, fault.New(fault.Invalid, op, endpoint, scheme+":// is not a kind of location that is known here")
}

// Open implements endpoints.Opener.
func (o *Opener) Open(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	open, ok := o.drivers[rec.Kind]
	if !ok {
		return nil, fault.New(fault.Invalid, "open", rec.Name, fmt.Sprintf("there is no driver for %q among %v", rec.Kind, slices.Sorted(maps.Keys(o.drivers))))
	}
	if out := o.Drained(rec); out != nil {
		return nil, fault.Wrap(fault.Busy, "use", rec.Name, &endpoints.DrainedError{Drain: *out})
	}
	if owner == "" {
		owner = o.account
	}
	return open(ctx, rec, owner, credential)
}

// openPosix opens the part of this host's file system that the configuration
// allows to owner: of a record its root, which must be inside; of a URL all of
// it, each directory under its own name.
func (o *Opener) openPosix(_ context.Context, rec endpoints.Record, owner, _ string) (endpoints.Storage, error) {
	if err := checkPosix(rec); err != nil {
		return nil, err
	}
	c := o.config.Load()
	if !strings.EqualFold(rec.Site, c.Site) {
		return nil, fault.New(fault.Unsupported, "open", "file://"+rec.Site, "this worker is on "+c.Site+" and reaches the files of no other host")
	}
	allowed := c.RootsOf(owner)
	mounts := map[string]string{}
	if rec.Root != "" {
		if slices.ContainsFunc(allowed, func(dir string) bool { return transfer.Inside(rec.Root, dir) }) {
			mounts["/"] = rec.Root
		}
	} else {
		for _, dir := range allowed {
			if fi, err := os.Stat(dir); err == nil && fi.IsDir() { // one that is missing must not keep the others away
				mounts[dir] = dir
			}
		}
	}
	if len(mounts) == 0 {
		return nil, &fault.Error{Kind: fault.Permission, Op: "open", Path: "file://" + rec.Site + rec.Root,
			Err:  fmt.Errorf("%q may not reach it", owner),
			Hint: "an operator allows directories of this host under roots in its configuration"}
	}
	stage := rec.Options[optionStage]
	if stage != c.Endpoints[rec.Name].Options[optionStage] {
		return nil, &fault.Error{Kind: fault.Permission, Op: "open", Path: rec.Name, Err: fmt.Errorf("the configuration of this host does not have its stage command %q", stage),
			Hint: "commands are run only where the host's own configuration names them, under the same endpoint"}
	}
	s, err := posix.Open(posix.Options{Mounts: mounts, NoSync: rec.Options[optionSync] == "off", Sparse: rec.Options[optionSparse] == "on"})
	if err != nil {
		return nil, err
	}
	if stage != "" {
		return posix.NewArchive(s, stage, rec.Root), nil
	}
	return s, nil
}

func (o *Opener) openGridFTP(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	id, err := o.identity(ctx, rec, owner, credential)
	if err != nil {
		return nil, err
	}
	s, err := o.gridftp.Open(ctx, rec, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}
