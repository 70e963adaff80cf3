package bench

import (
	"fmt"
	"strings"
)

// A route is which two places a comparison is between.
type route int

const (
	thirdParty route = iota // from one server to the other
	relayed                 // from one server to the other, through the worker
	put                     // from the worker's own files to a server
	local                   // from the worker's own files to its own files
	toStore                 // from the worker's own files to an object store
	fromStore               // and back
	toSSH                   // from the worker's own files to an SSH server, by SFTP
)

// stores says that there must be more than GridFTP servers.
func (r route) stores() bool { return r == toStore || r == fromStore || r == toSSH }

// A comparison is one run of the command.
type comparison struct {
	name     string // of the files with its results
	route    route
	classes  string
	peers    string
	verify   string // off when empty
	encrypt  bool
	patience float64 // 0 waits for everybody
}

// everybody is the grid, with yardsticks and variants.
const everybody = "all,null*,gridferry-classic"

// few are one of each kind, of the grid the two that were best most often and
// the two that people start from: a report names those that were not asked.
const few = "guc,guc-fast,guc-fast-p4,guc-fast-pp,guc-fast-pp-cc2,scp,rsync,rclone-16,null,gridferry-classic"

// usualPatience stops, in the warm-up, whom rounds are not to be spent on: it
// would take a default globus-url-copy minutes to copy 20,000 files.
const usualPatience = 2.5

// storeClasses are what object stores and SSH servers are measured with.
const storeClasses = "5000x16KiB 100x10MiB 2x2GiB"

// sets are what `make bench SET=...` can run. Their sizes are those that
// gridferry's claims are about. The minutes are estimates for five rounds on two
// CPUs that do nothing else, from what single copies take there; each class says
// after its warm-up how long its rounds will take at most.
func sets() map[string][]comparison {
	return map[string][]comparison{
		// A look at a part of the grid: 5 minutes.
		"quick": {{name: "quick", classes: "1000x1KiB 50x1MiB 20x10MiB 1x256MiB", peers: few}},

		// Between two servers: 30, 10 and 15 minutes, and all of that. Of the first, warming
		// up was seen to take 5 without verification.
		"small":  {{name: "small", classes: "20000x1KiB", peers: everybody, verify: "both", patience: usualPatience}},
		"medium": {{name: "medium", classes: "200x10MiB", peers: everybody, verify: "both", patience: usualPatience}},
		"large":  {{name: "large", classes: "4x1GiB", peers: everybody, verify: "both", patience: usualPatience}},
		"speed":  {{name: "speed", classes: "20000x1KiB 200x10MiB 4x1GiB", peers: everybody, verify: "both", patience: usualPatience}},

		// One request after another, each by a program of its own: 14 minutes.
		"requests": {{name: "requests", classes: "100x1B/each", peers: "guc,guc-fast,scp"}},

		// Where bytes go through the worker: 8 minutes.
		"relay": {
			{name: "relay-local", route: local, classes: "1x1GiB 100x10MiB 2000x64KiB", peers: "cp"},
			{name: "relay-clear", route: relayed, classes: "1x1GiB", peers: "guc-pipe"},
			{name: "relay-private", route: relayed, classes: "1x1GiB", peers: "guc-pipe", encrypt: true},
			{name: "relay-put", route: put, classes: "1x1GiB 100x10MiB", peers: "guc*", patience: usualPatience},
		},

		// Other storage than GridFTP servers: an hour, half of it to the object store.
		"stores": {
			{name: "stores-put", route: toStore, classes: storeClasses, peers: "rclone*,aws*", patience: usualPatience},
			{name: "stores-get", route: fromStore, classes: storeClasses, peers: "rclone*,aws*", patience: usualPatience},
			{name: "stores-ssh", route: toSSH, classes: storeClasses, peers: "scp,sftp*,rclone,rclone-16,rsync*", patience: usualPatience},
		},

		// For `make bench-wan`, at a Gb/s: 4, 4 and 30 minutes. Of the last one
		// warming up was seen to take 4, and the first round as long.
		"wan":        {{name: "wan", classes: "2000x1KiB 200x1MiB 4x256MiB", peers: farPeers, patience: usualPatience}},
		"wan-small":  {{name: "wan-small", classes: "2000x1KiB", peers: farPeers, patience: usualPatience}},
		"wan-medium": {{name: "wan-medium", classes: "200x1MiB", peers: farPeers, patience: usualPatience}},
		"wan-large":  {{name: "wan-large", classes: "4x256MiB", peers: farPeers, patience: usualPatience}},
	}
}

// farPeers are those that are worth waiting for over a distance.
const farPeers = "guc-fast,guc-fast-*,null*,gridferry-classic"

// chosen are the comparisons of a set, or the one of that name in any set, with
// these classes if there are any; without a set of its own, everybody between two servers.
func chosen(set, classes string) ([]comparison, error) {
	if classes != "" && (set == "" || set == "quick") {
		return []comparison{{name: "bench", classes: classes, peers: everybody}}, nil
	}
	found, ok := sets()[set]
	for _, list := range sets() {
		for _, c := range list {
			if !ok && c.name == set {
				found, ok = []comparison{c}, true
			}
		}
	}
	for i := range found {
		if classes != "" {
			found[i].classes = classes
		}
	}
	if !ok {
		var names []string
		for name := range sets() {
			names = append(names, name)
		}
		return nil, fmt.Errorf("%q is no set; there are %s", set, strings.Join(names, ", "))
	}
	return found, nil
}

// flags are those of the command that say what is compared.
func (c comparison) flags() []string {
	verify := c.verify
	if verify == "" {
		verify = "off"
	}
	flags := []string{"--peers", c.peers, "--verify", verify, "--patience", fmt.Sprint(c.patience)}
	for _, class := range strings.Fields(c.classes) {
		flags = append(flags, "--class", class)
	}
	if c.encrypt {
		flags = append(flags, "--encrypt")
	}
	if c.route == relayed {
		flags = append(flags, "--route", "relay")
	}
	return flags
}
