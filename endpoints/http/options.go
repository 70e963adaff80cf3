package http

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// The options that a record of this kind may have.
const (
	optionWebDAV   = "webdav"   // "auto" (default): what OPTIONS says; "on" where a server keeps that to itself; "off": read single files
	optionRanges   = "ranges"   // of a file that is written, PUT with Content-Range: "auto" (default): where the server is Apache's; "on", "off"
	optionETags    = "etags"    // "on" (default); "off" where each server behind one name has its own: then size and time tell versions apart
	optionInsecure = "insecure" // "on": credentials may go over plain http, and redirects from https to http are followed
	optionTimes    = "times"    // whether PROPPATCH sets modification times: "auto" (default): where the server is Nextcloud's, ownCloud's or rclone's; "on", "off"
	optionDigests  = "digests"  // that the server tells of files: "auto" (default): Adler-32 where it is dCache or XRootD; "off"; names of algorithms with commas
	optionCAFile   = "ca_file"  // PEM file of the authorities to believe, instead of the system's
)

// choice is an option that is on, off, or left to the driver.
type choice string

const (
	auto choice = "auto"
	on   choice = "on"
	off  choice = "off"
)

// options is a record, taken apart.
type options struct {
	base     url.URL // scheme and host
	root     string  // "" or a path
	user     string
	webdav   choice
	ranges   choice
	times    choice
	etags    bool
	digests  []string // nil: as the server's name suggests
	insecure bool
	caFile   string
	queries  bool // a "?" in a path begins a query: the endpoint is that of an http URL
}

// Check says what is wrong with a record, as Invalid, without contacting
// anybody.
func Check(rec endpoints.Record) error {
	_, err := parse(rec)
	return err
}

// The schemes of records and URLs. Those of WebDAV are how storage of the grid
// (dCache, StoRM, XRootD) is written.
const (
	schemeHTTPS = "https"
	schemeHTTP  = "http"
	schemeDAVS  = "davs"
	schemeDAV   = "dav"
)

// Schemes are the schemes of URLs that this driver opens.
func Schemes() []string { return []string{schemeHTTPS, schemeHTTP, schemeDAVS, schemeDAV} }

func parse(rec endpoints.Record) (options, error) {
	o := options{root: strings.TrimSuffix(rec.Root, "/"), user: rec.User, webdav: auto, ranges: auto, times: auto, etags: true}
	bad := func(what, format string, args ...any) (options, error) {
		return o, fault.New(fault.Invalid, "use", strings.TrimSpace(rec.Name+" "+what), fmt.Sprintf(format, args...))
	}
	if rec.Root != "" {
		if err := endpoints.CheckPath("use", rec.Root); err != nil {
			return o, err
		}
	}
	o.queries = rec.Name == "" && (rec.Scheme == schemeHTTP || rec.Scheme == schemeHTTPS)
	switch rec.Scheme {
	case "", schemeHTTPS:
		o.base.Scheme = schemeHTTPS
	case schemeHTTP:
		o.base.Scheme = schemeHTTP
	case schemeDAVS:
		o.base.Scheme, o.webdav = schemeHTTPS, on
	case schemeDAV:
		o.base.Scheme, o.webdav = schemeHTTP, on
	default:
		return bad("scheme", "%q is not one of %s", rec.Scheme, strings.Join(Schemes(), ", "))
	}
	if len(rec.Servers) != 1 {
		return bad("servers", "an http endpoint is at one HOST or HOST:PORT")
	}
	u, err := url.Parse(o.base.Scheme + "://" + rec.Servers[0])
	if err != nil || u.Host != rec.Servers[0] || u.Hostname() == "" {
		return bad("servers", "%q is not HOST or HOST:PORT", rec.Servers[0])
	}
	o.base.Host = withoutDefaultPort(u)
	for _, key := range slices.Sorted(maps.Keys(rec.Options)) {
		if err := o.set(key, rec.Options[key]); err != nil {
			return bad("options."+key, "%s", err)
		}
	}
	return o, nil
}

// withoutDefaultPort keeps a port that goes without saying out of the Host
// header: some servers compare the host of MOVE's Destination with it.
func withoutDefaultPort(u *url.URL) string {
	if u.Port() == map[string]string{schemeHTTPS: "443", schemeHTTP: "80"}[u.Scheme] {
		return strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	return u.Host
}

func (o *options) set(key, value string) error {
	var err error
	oneOf := func(c *choice, allowed ...choice) {
		if *c = choice(value); !slices.Contains(allowed, *c) {
			err = fmt.Errorf("%q is not one of %v", value, allowed)
		}
	}
	onOff := func(b *bool) {
		var c choice
		oneOf(&c, on, off)
		*b = c == on
	}
	switch key {
	case optionWebDAV:
		oneOf(&o.webdav, auto, on, off)
	case optionRanges:
		oneOf(&o.ranges, auto, on, off)
	case optionTimes:
		oneOf(&o.times, auto, on, off)
	case optionETags:
		onOff(&o.etags)
	case optionInsecure:
		onOff(&o.insecure)
	case optionDigests:
		o.digests, err = parseDigests(value)
	case optionCAFile:
		if o.caFile = value; !filepath.IsAbs(value) {
			err = fmt.Errorf("%q is not an absolute path", value)
		}
	default:
		err = fmt.Errorf("is not an option: there are %s", strings.Join([]string{optionWebDAV, optionRanges, optionETags, optionTimes, optionDigests, optionInsecure, optionCAFile}, ", "))
	}
	return err
}

// parseDigests reads a list of algorithms, and returns them strongest first.
func parseDigests(value string) ([]string, error) {
	switch choice(value) {
	case auto:
		return nil, nil
	case off:
		return []string{}, nil
	}
	wanted := strings.Split(strings.ReplaceAll(value, " ", ""), ",")
	algs, known := []string{}, []string{}
	for _, d := range digestNames() {
		known = append(known, d.alg)
		if slices.Contains(wanted, d.alg) {
			algs = append(algs, d.alg)
		}
	}
	if len(algs) != len(wanted) {
		return nil, fmt.Errorf("%q is none of auto, off and a list of %s", value, strings.Join(known, ", "))
	}
	return algs, nil
}
