package transfer

import (
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// Location is a path at an endpoint, taken apart from the text that people
// write.
type Location struct {
	// Endpoint is "scheme://host:port" with the scheme's default port filled
	// in, "scheme://user@host:port" when a login name was given,
	// "file://host", Here for a file URL without a host, "s3://bucket", or the
	// name of an endpoint record ("user#dtn").
	Endpoint string

	// Path is absolute and cleaned. "/~" and what is below it are relative to
	// the endpoint's default directory; see HomeRelative.
	Path string

	// Dir says that the text ended in a slash and so can only mean a
	// directory. It is a hint, and no part of what the location names.
	Dir bool
}

// The schemes of URLs, with their default ports. gsiftp is 2811 as IANA has
// it; sshftp is GridFTP over ssh, and sftp the protocol of that name.
var schemePorts = [...]struct{ scheme, port string }{
	{"gsiftp", "2811"}, {"ftp", "21"}, {"sshftp", "22"}, {"sftp", "22"}, {"file", ""}, {"s3", ""},
	{"https", "443"}, {"http", "80"}, {"davs", "443"}, {"dav", "80"},
}

// Here is the endpoint of file URLs without a host. It means something only to
// who wrote it: a request that others carry out has to name the host.
const Here = "file://"

const locationForms = "write gsiftp://HOST/path, ftp://HOST/path, sshftp://HOST/path, sftp://HOST/path, file://HOST/path, s3://BUCKET/path, https://HOST/path, davs://HOST/path or NAME:/path"

// maxLocation bounds a location's length in bytes: Linux's PATH_MAX, and room
// for a host and percent-encoding.
const maxLocation = 16 << 10

// ParseLocation takes a URL (gsiftp, ftp, sshftp, sftp, file, s3, and https,
// http, davs and dav) or NAME:/path apart.
//
// In URLs, the path is percent-decoded (RFC 3986, 2.1) and "?" and "#" are
// ordinary characters, because these schemes have neither queries nor
// fragments; only http and https have, see parseWebPath. As with globus-url-copy, gsiftp://host/a means the absolute path
// /a (RFC 1738 would have it relative to the login directory),
// gsiftp://host//a means the same, and gsiftp://host/~/a is relative to the
// login directory. In NAME:/path nothing is decoded. In both, repeated
// slashes and "." elements are dropped; ".." is refused, since what it means
// behind a symbolic link depends on the server.
//
// Errors are Invalid and say what would be right. They name text itself;
// Validate puts a request's field name in its place.
func ParseLocation(text string) (Location, error) {
	loc, err := parseLocation(text)
	if err != nil {
		err.Path = quoteShort(withoutPassword(text))
		return Location{}, err
	}
	return loc, nil
}

// withoutPassword hides what may be a password between the first colon and
// the last "@" of a URL. It hides too much rather than too little.
func withoutPassword(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	colon, at := strings.IndexByte(rest, ':'), strings.LastIndexByte(rest, '@')
	if !ok || colon < 0 || at < colon {
		return text
	}
	return scheme + "://" + rest[:colon+1] + "***" + rest[at:]
}

// parseLocation leaves it to the caller to say which location it was, because
// a request's field is a better name for it than its text.
func parseLocation(text string) (Location, *fault.Error) {
	switch {
	case text == "":
		return Location{}, invalid("", "is empty", locationForms)
	case len(text) > maxLocation:
		return Location{}, invalid("", fmt.Sprintf("is longer than %d bytes", maxLocation), "")
	}
	if r, ok := controlCharacter(text); ok {
		return Location{}, invalid("", fmt.Sprintf("holds the control character %U", r), "control characters are not allowed in locations")
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok && !strings.ContainsAny(scheme, "/#") {
		return parseURL(strings.ToLower(scheme), rest)
	}
	name, p, ok := strings.Cut(text, ":")
	if !ok || strings.Contains(name, "/") {
		return Location{}, invalid("", fmt.Sprintf("%s does not say at which endpoint", quoteShort(text)), locationForms)
	}
	if strings.EqualFold(name, "file") && strings.HasPrefix(p, "/") {
		return parseURL("file", p) // RFC 8089, 2: file:/path is file:///path
	}
	for _, s := range schemePorts {
		if strings.EqualFold(name, s.scheme) {
			return Location{}, invalid("", fmt.Sprintf("%q is not followed by //", name+":"), "write "+s.scheme+"://HOST/path")
		}
	}
	if !validName(name) {
		return Location{}, invalid("", fmt.Sprintf("%q is not the name of an endpoint", name), "names are like dtn or user#dtn; or "+locationForms)
	}
	if !strings.HasPrefix(p, "/") {
		return Location{}, invalid("", fmt.Sprintf("%q is a relative path", p),
			fmt.Sprintf("write %s:/%s, or %s:/~/%s for the default directory", name, p, name, p))
	}
	return finishLocation(name, p)
}

func parseURL(scheme, rest string) (Location, *fault.Error) {
	port, known := "", false
	for _, s := range schemePorts {
		if s.scheme == scheme {
			port, known = s.port, true
		}
	}
	if !known {
		return Location{}, invalid("", fmt.Sprintf("scheme %s is not known", quoteShort(scheme+"://")), locationForms)
	}
	authority, p := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, p = rest[:i], rest[i:]
	}
	if isWeb(scheme) {
		endpoint, err := parseAuthority(scheme, authority, port)
		if err != nil {
			return Location{}, err
		}
		return parseWebPath(endpoint, p)
	}
	p, err := percentDecode(p)
	if err != nil {
		return Location{}, invalid("", err.Error(), "write %25 for a percent sign")
	}
	if r, ok := controlCharacter(p); ok {
		return Location{}, invalid("", fmt.Sprintf("holds the control character %U", r), "control characters are not allowed in locations")
	}
	endpoint, ferr := parseAuthority(scheme, authority, port)
	if ferr != nil {
		return Location{}, ferr
	}
	return finishLocation(endpoint, p)
}

// parseAuthority normalises [user@]host[:port], or a bucket, into an endpoint.
func parseAuthority(scheme, authority, defaultPort string) (string, *fault.Error) {
	if scheme == "s3" {
		if !validBucket(authority) {
			// Not quoted: who writes keys into a URL should not find them in a log.
			return "", invalid("", "has no name of a bucket between s3:// and the path",
				"write s3://BUCKET/path; which store the bucket is in, and with which keys, an endpoint of the configuration says")
		}
		return "s3://" + authority, nil
	}
	user, hostport := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hostport = authority[:i], authority[i+1:]
		if strings.Contains(user, ":") {
			// Locations are kept in histories that others may read.
			return "", invalid("", "has a password in it", "leave the password out; a site keeps it as a credential and names it by id")
		}
		if !validUser(user) {
			return "", invalid("", fmt.Sprintf("%s is not a login name", quoteShort(user)), "write "+scheme+"://USER@HOST/path")
		}
		user += "@"
	}
	host, port := hostport, defaultPort
	if h, p, err := net.SplitHostPort(hostport); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			// Not quoted: it may be a part of a password.
			return "", invalid("", "has a port that is no number", "ports are 1 to 65535")
		}
		host, port = h, strings.TrimLeft(p, "0")
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Count(host, ":") > 1 {
		return "", invalid("", fmt.Sprintf("%s is not a host", quoteShort(host)), "put an IPv6 address in brackets: [2001:db8::1]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if scheme == "file" {
		switch {
		case user != "" || strings.Contains(hostport, ":"):
			return "", invalid("", "a file URL has neither login name nor port", "write file://HOST/path")
		case host == "" || host == "localhost": // RFC 8089, 2
			return Here, nil
		case !validHost(host):
			return "", invalid("", fmt.Sprintf("%s is not a host name", quoteShort(host)), "write file://HOST/path")
		}
		return "file://" + host, nil
	}
	if host == "" {
		return "", invalid("", "names no host", "write "+scheme+"://HOST/path")
	}
	if net.ParseIP(host) == nil && !validHost(host) {
		return "", invalid("", fmt.Sprintf("%s is not a host name", quoteShort(host)), "write "+scheme+"://HOST/path")
	}
	return scheme + "://" + user + net.JoinHostPort(host, port), nil
}

func finishLocation(endpoint, p string) (Location, *fault.Error) {
	for _, e := range strings.Split(p, "/") {
		if e == ".." {
			return Location{}, invalid("", fmt.Sprintf("path %s goes up with \"..\"", quoteShort(p)), "write the path without \"..\"")
		}
	}
	return Location{Endpoint: endpoint, Path: path.Clean(p), Dir: strings.HasSuffix(p, "/")}, nil
}

// String is the shortest text that ParseLocation takes for the same location.
func (l Location) String() string {
	p := l.Path
	if l.Dir && p != "/" {
		p += "/"
	}
	scheme, authority, ok := strings.Cut(l.Endpoint, "://")
	if !ok {
		return l.Endpoint + ":" + p
	}
	for _, s := range schemePorts {
		if s.scheme == scheme && s.port != "" {
			authority = strings.TrimSuffix(authority, ":"+s.port)
		}
	}
	if isWeb(scheme) {
		return scheme + "://" + authority + webPath(p)
	}
	return scheme + "://" + authority + percentEncode(p)
}

// HomeRelative reports whether the path is relative to the endpoint's default
// directory, and what it is below that: "" for the directory itself.
func (l Location) HomeRelative() (rest string, ok bool) {
	if l.Path == "/~" {
		return "", true
	}
	return strings.CutPrefix(l.Path, "/~/")
}

// In returns the absolute path, with home, itself absolute, for the default
// directory.
func (l Location) In(home string) string {
	if rest, ok := l.HomeRelative(); ok {
		return path.Join(home, rest)
	}
	return l.Path
}

// At returns the location of another path at the same endpoint.
func (l Location) At(p string) Location { return Location{Endpoint: l.Endpoint, Path: path.Clean(p)} }

// Site returns the host that a file URL's endpoint part is bound to. Which
// host a record is bound to stands in the record.
func Site(endpoint string) (host string, bound bool) {
	host, ok := strings.CutPrefix(endpoint, "file://")
	return host, ok && host != ""
}

// Inside reports whether the cleaned absolute path p is dir or below it.
func Inside(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

func validName(s string) bool {
	if n := strings.Count(s, "#"); n > 1 {
		return false
	}
	for _, part := range strings.Split(s, "#") {
		if part == "" || len(part) > 128 || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || strings.IndexByte("._-", part[0]) >= 0 {
			return false
		}
	}
	return true
}

// validBucket is Amazon's rule for general purpose buckets, and some of what was
// allowed before it.
func validBucket(s string) bool {
	return len(s) >= 3 && len(s) <= 63 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == "" &&
		strings.IndexByte(".-_", s[0]) < 0 && strings.IndexByte(".-_", s[len(s)-1]) < 0 && !strings.Contains(s, "..")
}

func validHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			alnum := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
			// Underscores are no part of host names, but of names in container networks.
			if !alnum && c != '_' && (c != '-' || i == 0) {
				return false
			}
		}
	}
	return true
}

func validUser(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._-+=", c) >= 0) {
			return false
		}
	}
	return s != "" && len(s) <= 256 && s[0] != '-' // ssh would take it for an option
}

// controlCharacter finds the first C0 or C1 control character or DEL. A byte
// that is not UTF-8 is none: file names may hold any.
func controlCharacter(s string) (rune, bool) {
	for _, r := range s {
		if r < 0x20 || 0x7f <= r && r < 0xa0 {
			return r, true
		}
	}
	return 0, false
}

func percentDecode(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("ends inside a percent-encoded byte")
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%q is not a percent-encoded byte", s[i:i+3])
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), nil
}

// percentEncode encodes what is no unreserved character (RFC 3986, 2.3) nor
// one that people read more easily plain.
func percentEncode(s string) string {
	const plain = "/-._~!$&'()*+,;=:@"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// quoteShort quotes text from outside for a message, shortened to what a line
// can hold.
func quoteShort(s string) string {
	const limit = 100
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:limit]) + "..."
}

// invalid is the error of everything in a request that cannot be right: the
// field, what is wrong with it and what would be right.
func invalid(field, wrong, right string) *fault.Error {
	return &fault.Error{Kind: fault.Invalid, Path: field, Err: errors.New(wrong), Hint: right}
}
