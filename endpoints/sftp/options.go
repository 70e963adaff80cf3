package sftp

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// The options that a record of this kind may have.
const (
	optionKnownHosts  = "known_hosts" // file of host keys, as ssh's; default: the identity's
	optionJump        = "jump"        // [USER@]HOST[:PORT],...: by way of these, as ssh -J
	optionConnections = "connections" // 1 to 64 of each worker for one owner; default 4
	optionSync        = "sync"        // "on" (default): files are on the server's disk before they count, where it can; "off": it decides
)

// defaultConnections is how many one process opens for one owner. sshd begins to
// drop logins when 10 are waiting (MaxStartups), and each connection is a
// process there, which encrypts on one core.
const defaultConnections = 4

const maxConnections = 64

// maxJumps bounds how many hosts lead to a server.
const maxJumps = 8

// options is a record, taken apart.
type options struct {
	servers     []string // HOST:PORT
	user        string
	jumps       []hop
	knownHosts  []string
	connections int
	sync        bool
	root        string // "" or "/a/b"
}

// hop is a host on the way, and as whom.
type hop struct {
	user, addr string // user is empty where it is that of the server
}

// Check says what is wrong with a record, as Invalid, without contacting
// anybody.
func Check(rec endpoints.Record) error {
	_, err := parse(rec)
	return err
}

func parse(rec endpoints.Record) (options, error) {
	o := options{user: rec.User, connections: defaultConnections, sync: true, root: strings.TrimSuffix(rec.Root, "/")}
	bad := func(what, format string, args ...any) (options, error) {
		return o, fault.New(fault.Invalid, "use", nameOf(rec)+" "+what, fmt.Sprintf(format, args...))
	}
	if rec.Root != "" {
		if err := endpoints.CheckPath("use", rec.Root); err != nil {
			return o, err
		}
	}
	switch {
	case rec.Scheme != "" && rec.Scheme != Kind:
		return bad("scheme", "%q is not %s", rec.Scheme, Kind)
	case len(rec.Servers) == 0:
		return bad("servers", "there is none: write HOST or HOST:PORT")
	}
	for _, s := range rec.Servers {
		addr, err := address(s)
		if err != nil {
			return bad("servers", "%s", err)
		}
		o.servers = append(o.servers, addr)
	}
	for _, key := range slices.Sorted(maps.Keys(rec.Options)) {
		if err := o.set(key, rec.Options[key]); err != nil {
			return bad("options."+key, "%s", err)
		}
	}
	if n := rec.Limits.Sessions; n > 0 {
		o.connections = min(o.connections, n)
	}
	return o, nil
}

func (o *options) set(key, value string) error {
	switch key {
	case optionKnownHosts:
		if !filepath.IsAbs(value) {
			return fmt.Errorf("%q is not an absolute path", value)
		}
		o.knownHosts = []string{value}
	case optionJump:
		var err error
		o.jumps, err = parseJumps(value)
		return err
	case optionConnections:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > maxConnections {
			return fmt.Errorf("%q is not a number from 1 to %d", value, maxConnections)
		}
		o.connections = n
	case optionSync:
		if value != "on" && value != "off" {
			return fmt.Errorf("%q is neither on nor off", value)
		}
		o.sync = value == "on"
	default:
		return fmt.Errorf("is not an option: there are %s", strings.Join([]string{optionKnownHosts, optionJump, optionConnections, optionSync}, ", "))
	}
	return nil
}

// parseJumps takes [USER@]HOST[:PORT],... apart.
func parseJumps(text string) ([]hop, error) {
	var hops []hop
	for one := range strings.SplitSeq(text, ",") {
		var h hop
		var err error
		one = strings.TrimSpace(one)
		if at := strings.LastIndexByte(one, '@'); at >= 0 {
			if h.user, one = one[:at], one[at+1:]; h.user == "" || strings.ContainsAny(h.user, ": /@") {
				return nil, fmt.Errorf("%q is not a login name", h.user)
			}
		}
		if h.addr, err = address(one); err != nil {
			return nil, err
		}
		if hops = append(hops, h); len(hops) > maxJumps {
			return nil, fmt.Errorf("there are more than %d hosts on the way", maxJumps)
		}
	}
	return hops, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}
