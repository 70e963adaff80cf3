package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/transfer"
)

// The programs of peers.
const (
	urlCopy = "globus-url-copy"
	scp     = "scp"
	rsync   = "rsync"
	rclone  = "rclone"
	cp      = "cp"
	aws     = "aws"

	// nullCopy is integration/bench/nullcopy.
	nullCopy = "nullcopy"
	// shell runs a get that is piped into a put: how a person relays.
	shell = "sh"
	// sftp is told what to do by a file.
	sftp = "sftp"
)

// A Job is what all contenders do: copy a directory to one that does not exist
// yet, in a directory that does, or one file into a directory that exists.
type Job struct {
	// The two directories. Each may be known by several names, such as a
	// gsiftp and an sshftp URL; gridferry is given the first, and peers the
	// first that they understand. A directory of this machine is one of scheme
	// file without a host.
	Source, Destination []transfer.Location
	File                string // a name in Source; empty is all that is there

	// List names a file that holds what WriteList has written, for contenders
	// that take one.
	List string

	Verify  bool // compare checksums afterwards
	Encrypt bool // encrypt the data on its way
	NoDCAU  bool // peers leave data channels unauthenticated

	Route string // of gridferry, as its --route has it; empty is its own choice
}

// Command returns the arguments for the contender's program, or an error that
// says why it cannot do this.
func (c Contender) Command(j Job) ([]string, error) {
	switch {
	case c.Many && j.File != "":
		return nil, errors.New("its flags make no difference to one file")
	case c.Own():
		return c.own(j), nil
	case c.For != "" && !slices.ContainsFunc(slices.Concat(j.Source, j.Destination), func(l transfer.Location) bool { return place(l).speaks(c.For) }):
		return nil, fmt.Errorf("its flags are about %s", c.For)
	case j.Verify && !c.verifies():
		return nil, errors.New("it does not compare checksums of what has been written")
	}
	for src, dst := range j.sites() {
		if args := c.between(src, dst, j); args != nil {
			return args, nil
		}
	}
	return nil, fmt.Errorf("%s cannot copy from %s to %s%s", c.Program, schemes(j.Source), schemes(j.Destination), map[bool]string{true: " encrypted"}[j.Encrypt])
}

// verifies says that the contender can have a copy read again. Rsync compares
// what came over the line, and the others nothing.
func (c Contender) verifies() bool {
	return slices.Contains([]string{Own, urlCopy, nullCopy, rclone}, c.Program)
}

// Lists says that the contender takes what it is to do from the file Job.List.
func (c Contender) Lists(j Job) bool { return c.Program == sftp || c.Prepared(j) }

// Prepared says that the contender is given the names of all files, and finds
// the directories made. Globus-url-copy that verifies asks for checksums of the
// directories that it meets, too, which servers refuse: it can verify only what
// is listed. That saves it a walk, which gridferry's time has in it.
func (c Contender) Prepared(j Job) bool { return c.Program == urlCopy && j.Verify && j.File == "" }

// WriteList writes what Job.List is to name: for sftp the one thing that it is
// to do, for others a pair of URLs for each file, given by their names below the
// job's directories.
func (c Contender) WriteList(w io.Writer, j Job, files iter.Seq[string]) error {
	buf := bufio.NewWriter(w)
	for src, dst := range j.sites() {
		if c.between(src, dst, j) == nil {
			continue
		}
		// An error stays with the buffer until it is flushed.
		if c.Program == sftp {
			fmt.Fprintln(buf, map[bool]string{true: "put", false: "get"}[src.local], "-r", quote(src.remote(j.File)), quote(dst.remote(j.File)))
			break
		}
		for name := range files {
			fmt.Fprintln(buf, src.url(name), dst.url(name))
		}
		break
	}
	return buf.Flush()
}

// quote writes a word as sftp reads it.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}

// sites are the ways to name both ends, the preferred one first.
func (j Job) sites() iter.Seq2[site, site] {
	return func(yield func(site, site) bool) {
		for _, src := range j.Source {
			for _, dst := range j.Destination {
				if !yield(place(src), place(dst)) {
					return
				}
			}
		}
	}
}

func (c Contender) own(j Job) []string {
	verify := "none"
	if j.Verify {
		verify = "checksum"
	}
	args := append([]string{"transfer", "--wait", "--verify", verify}, c.Flags...)
	if j.Route != "" {
		args = append(args, "--route", j.Route)
	}
	if j.Encrypt {
		args = append(args, "--encrypt")
	}
	src, dst := j.Source[0], j.Destination[0]
	if j.File != "" {
		return append(args, below(src, j.File), below(dst, j.File))
	}
	return append(args, "--recursive", below(src, ""), below(dst, ""))
}

// below names a file in a directory, or, with a slash at the end, the
// directory itself.
func below(dir transfer.Location, file string) string {
	loc := dir.At(path.Join(dir.Path, file))
	loc.Dir = file == ""
	text := loc.String()
	if loc.Dir && !strings.HasSuffix(text, "/") {
		text += "/"
	}
	return text
}

// between returns nil where the program cannot do it.
func (c Contender) between(src, dst site, j Job) []string {
	ssh := (src.local || src.speaks(overSSH)) && (dst.local || dst.speaks(overSSH))
	store := src.local && dst.speaks(objectStore) || src.speaks(objectStore) && dst.local
	switch {
	case c.Program == urlCopy && src.globus() && dst.globus():
		return c.urlCopy(src, dst, j)
	case c.Program == nullCopy && src.scheme == "gsiftp" && dst.scheme == "gsiftp":
		return c.nullCopy(src, dst, j)
	case c.Program == shell && src.globus() && dst.globus() && j.File != "":
		return c.pipe(src, dst, j)
	case c.Program == cp && src.local && dst.local && !j.Encrypt:
		return append(append([]string{"-rT"}, c.Flags...), src.join(j.File), dst.join(j.File))
	case c.Program == aws && store && !j.Encrypt:
		args := append([]string{"s3", "cp", "--only-show-errors"}, c.Flags...)
		if j.File == "" {
			args = append(args, "--recursive")
		}
		return append(args, src.aws(j.File), dst.aws(j.File))
	case c.Program == rclone && store && !j.Encrypt:
		return c.rclone(src, dst, j)
	case !ssh || j.Encrypt && src.local && dst.local:
		return nil
	case c.Program == sftp && src.local != dst.local:
		far, _ := remote(src, dst)
		args := append([]string{"-q", "-o", "BatchMode=yes", "-b", j.List}, c.Flags...)
		return append(args, "-P", far.port, far.login())
	case c.Program == scp:
		// Without the progress, and asking nobody for a password.
		return append(append([]string{"-q", "-B", "-r"}, c.Flags...), src.scp(j.File), dst.scp(j.File))
	case c.Program == rsync && (src.local || dst.local):
		args := append([]string{"-a"}, c.Flags...)
		if far, ok := remote(src, dst); ok {
			args = append(args, "-e", far.ssh())
		}
		return append(args, src.rsync(j.File), dst.rsync(j.File))
	case c.Program == rclone:
		return c.rclone(src, dst, j)
	}
	return nil
}

func (c Contender) rclone(src, dst site, j Job) []string {
	verb := "copy"
	if j.File != "" {
		verb = "copyto"
	}
	args := append([]string{verb}, c.Flags...)
	if !j.Verify {
		args = append(args, "--ignore-checksum")
	}
	return append(args, src.rclone(j.File), dst.rclone(j.File))
}

func (c Contender) urlCopy(src, dst site, j Job) []string {
	args := append([]string(nil), c.Flags...)
	if j.Verify {
		args = append(args, "-verify-checksum")
	}
	if j.Encrypt {
		args = append(args, "-dcpriv")
	}
	if j.NoDCAU {
		args = append(args, "-nodcau")
	}
	switch {
	case c.Lists(j):
		return append(args, "-f", j.List)
	case j.File == "":
		args = append(args, "-r", "-cd")
	}
	return append(args, src.url(j.File), dst.url(j.File))
}

func (c Contender) nullCopy(src, dst site, j Job) []string {
	args := append([]string(nil), c.Flags...)
	for _, f := range []struct {
		name string
		on   bool
	}{{"-verify", j.Verify}, {"-encrypt", j.Encrypt}, {"-nodcau", j.NoDCAU}} {
		if f.on {
			args = append(args, f.name)
		}
	}
	return append(args, src.url(j.File), dst.url(j.File))
}

// pipe is one globus-url-copy that writes to another, both with the same flags.
func (c Contender) pipe(src, dst site, j Job) []string {
	flags := ""
	if j.Encrypt {
		flags += " -dcpriv"
	}
	if j.NoDCAU {
		flags += " -nodcau"
	}
	return []string{"-c", fmt.Sprintf(`%[1]s%[2]s "$0" - | %[1]s%[2]s - "$1"`, urlCopy, flags), src.url(j.File), dst.url(j.File)}
}

// remote is the one of the two that is not here.
func remote(src, dst site) (site, bool) {
	switch {
	case !src.local:
		return src, true
	case !dst.local:
		return dst, true
	}
	return site{}, false
}

// What peers speak beside GridFTP, as people call it.
const (
	objectStore = "object stores"
	overSSH     = "ssh"
)

// speaks says that the site is reached in such a way.
func (s site) speaks(way string) bool {
	switch way {
	case objectStore:
		return s.scheme == "s3"
	case overSSH:
		return s.scheme == "sshftp" || s.scheme == "sftp"
	}
	return false
}

// globus says that globus-url-copy can reach the site.
func (s site) globus() bool {
	return slices.Contains([]string{"gsiftp", "ftp", "sshftp", "file"}, s.scheme)
}

// A site is a location as peers name it.
type site struct {
	scheme           string // empty for endpoints by name, which peers do not know
	local            bool
	user, host, port string
	path             string // "~/..." for what is relative to the login directory
	location         transfer.Location
}

func place(loc transfer.Location) site {
	s := site{path: loc.Path, location: loc}
	if rest, ok := loc.HomeRelative(); ok {
		s.path = "~/" + strings.TrimPrefix(rest, "/")
	}
	u, err := url.Parse(loc.Endpoint)
	if err != nil || !strings.Contains(loc.Endpoint, "://") || u.Scheme == "file" && u.Host != "" {
		return s
	}
	s.scheme, s.host, s.port, s.user = u.Scheme, u.Hostname(), u.Port(), u.User.Username()
	s.local = s.scheme == "file"
	return s
}

func (s site) join(file string) string { return path.Join(s.path, file) }

func (s site) url(file string) string { return below(s.location, file) }

// scp is a path, or a URI, which unlike host:path can hold a port. What follows
// its first slash is relative to the login directory unless it is absolute.
func (s site) scp(file string) string {
	if s.local {
		return s.join(file)
	}
	u := url.URL{Scheme: "scp", Host: net.JoinHostPort(s.host, s.port), Path: "/" + strings.TrimPrefix(s.join(file), "~/")}
	if s.user != "" {
		u.User = url.User(s.user)
	}
	return u.String()
}

// login is the user and host as ssh takes them.
func (s site) login() string {
	if s.user != "" {
		return s.user + "@" + s.host
	}
	return s.host
}

// remote is the path as it is where the site is: what is relative to the login
// directory has no slash before it.
func (s site) remote(file string) string { return strings.TrimPrefix(s.join(file), "~/") }

// aws names an object, or with a slash all of them below it.
func (s site) aws(file string) string {
	name := s.join(file)
	if file == "" {
		name += "/"
	}
	if s.local {
		return name
	}
	return "s3://" + s.host + name
}

func (s site) ssh() string { return "ssh -o BatchMode=yes -p " + s.port }

// rsync takes a directory's name with a slash for what is in it.
func (s site) rsync(file string) string {
	p := s.join(file)
	if file == "" {
		p += "/"
	}
	if s.local {
		return p
	}
	host := s.login()
	if strings.Contains(s.host, ":") {
		host = strings.Replace(host, s.host, "["+s.host+"]", 1)
	}
	return host + ":" + strings.TrimPrefix(p, "~/")
}

// rclone gets ssh itself to log in, so that all use the same keys. Versions
// before 1.62 do not know that option, and log in with the agent's. Of which
// service a bucket is, the environment says (RCLONE_S3_ENDPOINT and so on).
func (s site) rclone(file string) string {
	if s.local {
		return s.join(file)
	}
	if s.speaks(objectStore) {
		return ":s3:" + s.host + s.join(file)
	}
	user := ""
	if s.user != "" {
		user = ",user=" + s.user
	}
	return fmt.Sprintf(`:sftp,host="%s",port=%s%s,ssh="%s %s":%s`, s.host, s.port, user, s.ssh(), s.login(), strings.TrimPrefix(s.join(file), "~/"))
}

func schemes(locs []transfer.Location) string {
	var names []string
	for _, l := range locs {
		if s := place(l); s.scheme != "" {
			names = append(names, s.scheme)
		} else {
			names = append(names, l.Endpoint)
		}
	}
	return strings.Join(names, " or ")
}
