package matrix_test

import (
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/http"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/sftp"
)

// A kind is storage of one sort, as the daemon knows it, and where its server
// keeps the files on this host.
type kind struct {
	name       string
	server     string // as the documentation calls it
	record     string // the endpoint's, in YAML
	credential string // the same, of the credential "file:NAME"
	local      bool   // the daemon itself reads the disk
	disk       string
	refuses    []class
	times      bool // it keeps the times that it is given
	hidesTimes bool // and not as those of files on the disk
}

// class is a sort of names that not every kind can hold. Files of one are in
// a folder of that name.
type class string

const (
	plain   class = "plain"   // odd, and of printable ASCII alone: any kind holds these
	foreign class = "foreign" // of other alphabets
	starred class = "starred" // folders with a "*"
	long    class = "long"    // as long as file systems allow: 255 bytes
	control class = "control" // control characters
	raw     class = "raw"     // bytes that are not UTF-8
)

func classes() []class { return []class{plain, foreign, starred, long, control, raw} }

func (k *kind) holds(c class) bool { return !slices.Contains(k.refuses, c) }

func (k *kind) endpoint() string { return "matrix#" + k.name }

// at is a location below the endpoint's root.
func (k *kind) at(name string) string { return k.endpoint() + ":/" + name }

// start starts a server of each kind.
func (s *site) start() []*kind {
	s.Helper()
	gsi, ours := globus.NewServer(s, globus.Options{CA: s.ca}), s.gridftpd()
	unprotected, vsftpd, proftpd := globus.NewServer(s, globus.Options{Plain: true}), globus.NewVsftpd(s, ""), globus.NewProftpd(s, "")
	store, ssh, apache := s3.NewStore(s, s3.StoreOptions{}), sftp.NewServer(s), http.NewApache(s)
	password := s.file("password", globus.PlainPassword+"\n")
	keys := s.file("keys", fmt.Sprintf("[lab]\naws_access_key_id = %s\naws_secret_access_key = %s\n", store.Access, store.Secret))
	posix := s.TempDir()
	return []*kind{
		{name: "posix", server: "Linux", disk: posix, local: true, times: true, record: fmt.Sprintf("kind: posix, site: here, root: %q", posix)},
		{name: "globus", server: "Globus", disk: gsi.Root, times: true, record: fmt.Sprintf("kind: gridftp, servers: [%q], root: %q", gsi.Addr(), gsi.Root)},
		{name: "ours", server: "gridferryd", disk: ours.root, times: true, record: fmt.Sprintf("kind: gridftp, servers: [%q]", ours.addr)},
		{
			name: "globus-plain", server: "Globus, `ftp://`", disk: unprotected.Root, times: true, refuses: []class{foreign, control, raw},
			record: fmt.Sprintf("kind: gridftp, scheme: ftp, servers: [%q], root: %q", unprotected.Addr(), unprotected.Root),
		},
		{name: "vsftpd", server: "vsftpd", disk: vsftpd.Root, record: fmt.Sprintf("kind: gridftp, scheme: ftp, servers: [%q], root: %q", vsftpd.Addr(), vsftpd.Root)},
		{
			name: "proftpd", server: "ProFTPD", disk: proftpd.Root, times: true, refuses: []class{starred}, credential: fmt.Sprintf("password_file: %q", password),
			record: fmt.Sprintf("kind: gridftp, scheme: ftp, servers: [%q], root: %q, user: %s, credential: \"file:proftpd\"", proftpd.Addr(), proftpd.Root, globus.PlainUser),
		},
		{
			name: "s3", server: "versitygw", disk: filepath.Join(store.Dir, store.Bucket), times: true, hidesTimes: true, refuses: []class{control, raw},
			credential: fmt.Sprintf("aws_file: %q, aws_profile: lab", keys),
			record:     fmt.Sprintf("kind: s3, scheme: http, servers: [%q], credential: \"file:s3\", root: \"/%s\"", store.Addr, store.Bucket),
		},
		{
			name: "sftp", server: "OpenSSH", disk: ssh.Files, times: true, credential: fmt.Sprintf("ssh_key: %q", ssh.KeyFile()),
			record: fmt.Sprintf("kind: sftp, servers: [%q], user: %q, credential: \"file:sftp\", root: %q, options: {known_hosts: %q}", ssh.Addr, ssh.User, ssh.Files, ssh.KnownHosts()),
		},
		{
			name: "webdav", server: "Apache, WebDAV", disk: filepath.Join(apache.Dir, "dav"),
			credential: fmt.Sprintf("password_file: %q", s.file("web", apache.Password+"\n")),
			record:     fmt.Sprintf("kind: http, scheme: http, servers: [%q], root: /dav, user: %s, credential: \"file:webdav\", options: {insecure: \"on\"}", apache.Addr, apache.User),
		},
	}
}

type gridftpd struct{ addr, root string }

// gridftpd starts our own GridFTP server, with GSI.
func (s *site) gridftpd() gridftpd {
	s.Helper()
	u, err := user.Current()
	must(s, err)
	port := harness.FreePort(s)
	g := gridftpd{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), s.TempDir()}
	cert, key := s.ca.PairFiles(s.ca.Host("127.0.0.1"))
	gridmap := s.file("gridmap", fmt.Sprintf("%q %s\n", globus.Identity, u.Username))
	conf := s.file("gridftpd.yaml", fmt.Sprintf("roles: [gridftp]\ndata_dir: %q\ntrust_dir: %q\ngridftp: {listen: %q, root: %q, cert: %q, key: %q, gridmap: %q}\n",
		filepath.Join(s.dir, "gridftpd"), s.ca.Dir, g.addr, g.root, cert, key, gridmap))
	p := harness.Start(s, harness.Command{
		Name: "gridftpd", Path: harness.Binary(s, "gridferryd"), Args: []string{"run", "--config", conf}, Env: harness.Environment("GLOBUS_HOSTNAME=127.0.0.1"),
	})
	p.Ready(time.Minute, harness.Listening("127.0.0.1", port, "220"))
	return g
}
