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
)

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

// usualPatience leaves out, after the warm-up, whom rounds are not to be spent on:
// it would take a default globus-url-copy minutes to copy 20,000 files.
const usualPatience = 2.5

// sets are what `make bench SET=...` can run. Their sizes are those that
// gridferry's claims are about.
func sets() map[string][]comparison {
	return map[string][]comparison{
		// A look, in minutes.
		"quick": {{name: "quick", classes: "1000x1KiB 50x1MiB 20x10MiB 1x256MiB", peers: everybody}},

		// Between two servers.
		"small":  {{name: "small", classes: "20000x1KiB", peers: everybody, verify: "both", patience: usualPatience}},
		"medium": {{name: "medium", classes: "200x10MiB", peers: everybody, verify: "both", patience: usualPatience}},
		"large":  {{name: "large", classes: "4x1GiB", peers: everybody, verify: "both", patience: usualPatience}},
		"speed":  {{name: "speed", classes: "20000x1KiB 200x10MiB 4x1GiB", peers: everybody, verify: "both", patience: usualPatience}},

		// One request after another, each by a program of its own.
		"requests": {{name: "requests", classes: "100x1B/each", peers: "guc,guc-fast,scp"}},

		// Where bytes go through the worker.
		"relay": {
			{name: "relay-local", route: local, classes: "1x1GiB 100x10MiB 2000x64KiB", peers: "cp"},
			{name: "relay-clear", route: relayed, classes: "1x1GiB", peers: "guc-pipe"},
			{name: "relay-private", route: relayed, classes: "1x1GiB", peers: "guc-pipe", encrypt: true},
			{name: "relay-put", route: put, classes: "1x1GiB 100x10MiB", peers: "guc*", patience: usualPatience},
		},

		// For `make bench-wan`.
		"wan":       {{name: "wan", classes: "2000x1KiB 200x1MiB 4x256MiB", peers: "guc-fast,guc-fast-*,null*,gridferry-classic", patience: 10}},
		"wan-small": {{name: "wan-small", classes: "2000x1KiB", peers: "guc-fast-pp*,null*,gridferry-classic", patience: 40}},
	}
}

// chosen are the comparisons of a set, or, where there are classes, one of
// them between two servers.
func chosen(set, classes string) ([]comparison, error) {
	if classes != "" {
		return []comparison{{name: "bench", classes: classes, peers: everybody}}, nil
	}
	found, ok := sets()[set]
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
