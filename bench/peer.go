package bench

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Contender is a program with flags that takes part.
type Contender struct {
	Name    string   `json:"name"`
	Program string   `json:"program"` // its name on the PATH; Own for gridferry itself
	Flags   []string `json:"flags,omitempty"`

	// Many says that the flags are about several files: with one they are the
	// same as another contender.
	Many bool `json:"many,omitempty"`
	// For is what the flags are about, "object stores" or "ssh": for anything
	// else they are the same as another contender.
	For string `json:"for,omitempty"`
	// Null says that it is no peer that anybody would use, but the least that
	// does the work: a yardstick, and never the best of the peers.
	Null bool `json:"null,omitempty"`
}

// Own is the program that is compared with the others.
const Own = "gridferry"

// Ours is what every comparison is about.
func Ours() Contender { return Contender{Name: Own, Program: Own} }

// Own says that the contender is gridferry, with whatever flags.
func (c Contender) Own() bool { return c.Program == Own }

// String is what a person would type, without the locations.
func (c Contender) String() string { return strings.Join(append([]string{c.Program}, c.Flags...), " ") }

// Peers are those that gridferry can be compared with. The flags of
// globus-url-copy are those that its experts turn: what is best depends on the
// files and on the network, so the grid holds the good choices for each. Those
// that do best with many files come first: the fastest so far is what says how
// long the others are waited for.
// Yardsticks and variants of gridferry come last.
func Peers() []Contender {
	flags := func(text string) []string { return strings.Fields(text) }
	return []Contender{
		{Name: "guc-fast-pp", Program: urlCopy, Flags: flags("-fast -pp"), Many: true},
		{Name: "guc-fast-pp-cc2", Program: urlCopy, Flags: flags("-fast -pp -cc 2"), Many: true},
		{Name: "guc-fast-pp-cc4", Program: urlCopy, Flags: flags("-fast -pp -cc 4"), Many: true},
		{Name: "guc-fast-pp-cc8", Program: urlCopy, Flags: flags("-fast -pp -cc 8"), Many: true},
		{Name: "guc-fast-pp-cc16", Program: urlCopy, Flags: flags("-fast -pp -cc 16"), Many: true},
		{Name: "guc-fast-pp-p4-cc2", Program: urlCopy, Flags: flags("-fast -pp -p 4 -cc 2"), Many: true},
		{Name: "guc-fast-pp-p4-cc4-bs8M", Program: urlCopy, Flags: flags("-fast -pp -p 4 -cc 4 -tcp-bs 8388608"), Many: true},
		{Name: "guc-fast", Program: urlCopy, Flags: flags("-fast")},
		{Name: "guc-fast-p4", Program: urlCopy, Flags: flags("-fast -p 4")},
		{Name: "guc-fast-p4-bs8M", Program: urlCopy, Flags: flags("-fast -p 4 -tcp-bs 8388608")},
		{Name: "guc-fast-p8", Program: urlCopy, Flags: flags("-fast -p 8")},
		{Name: "guc-fast-cc4", Program: urlCopy, Flags: flags("-fast -cc 4"), Many: true},
		{Name: "guc", Program: urlCopy},
		{Name: "guc-p4", Program: urlCopy, Flags: flags("-p 4")},
		{Name: "guc-cc4", Program: urlCopy, Flags: flags("-cc 4"), Many: true},
		{Name: "guc-pipe", Program: shell},
		{Name: "scp", Program: scp},
		{Name: "rsync", Program: rsync},
		{Name: "rsync-whole", Program: rsync, Flags: flags("--whole-file --inplace")},
		{Name: "rclone", Program: rclone},
		{Name: "rclone-16", Program: rclone, Flags: flags("--transfers 16 --checkers 16"), Many: true},
		{Name: "rclone-s3-4x8", Program: rclone, Flags: flags("--transfers 4 --s3-upload-concurrency 8 --s3-chunk-size 16M --s3-disable-checksum --multi-thread-streams 8"), For: objectStore},
		{Name: "rclone-s3-16x4", Program: rclone, Flags: flags("--transfers 16 --checkers 16 --s3-upload-concurrency 4 --s3-chunk-size 16M --s3-disable-checksum --multi-thread-streams 4"), For: objectStore, Many: true},
		{Name: "rclone-s3-64", Program: rclone, Flags: flags("--transfers 64 --checkers 64 --s3-disable-checksum"), For: objectStore, Many: true},
		{Name: "aws", Program: aws},
		{Name: "aws-32", Program: aws, Flags: flags("--profile gridferry-bench-32")},
		{Name: "aws-64x64M", Program: aws, Flags: flags("--profile gridferry-bench-64x64M")},
		{Name: "sftp", Program: sftp},
		{Name: "sftp-R256-B256k", Program: sftp, Flags: flags("-R 256 -B 261120")},
		{Name: "cp", Program: cp},
		{Name: "null", Program: nullCopy, Null: true},
		{Name: "null-2", Program: nullCopy, Flags: flags("-pairs 2"), Many: true, Null: true},
		{Name: "null-p4", Program: nullCopy, Flags: flags("-p 4"), Null: true},
		{Name: "gridferry-classic", Program: Own, Flags: flags("--tuning classic")},
	}
}

// AllPeers selects every peer that is neither gridferry itself nor a yardstick.
const AllPeers = "all"

// Select returns the peers with these names, in the order of the grid: names,
// patterns ("guc-fast*", as path.Match has them), or AllPeers.
func Select(names []string) ([]Contender, error) {
	var chosen []Contender
	used := make([]bool, len(names))
	for _, peer := range Peers() {
		for i, name := range names {
			match, err := path.Match(name, peer.Name)
			if err != nil {
				return nil, fmt.Errorf("%q is not a pattern", name)
			}
			if !match && (name != AllPeers || peer.Own() || peer.Null) {
				continue
			}
			used[i] = true
			if !slices.ContainsFunc(chosen, func(c Contender) bool { return c.Name == peer.Name }) {
				chosen = append(chosen, peer)
			}
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return nil, fmt.Errorf("%q is no peer; there are %s", names[i], strings.Join(peerNames(), ", "))
	}
	return chosen, nil
}

// NotAsked are the peers that are not among these.
func NotAsked(chosen []Contender) []Contender {
	return slices.DeleteFunc(Peers(), func(peer Contender) bool {
		return slices.ContainsFunc(chosen, func(c Contender) bool { return c.Name == peer.Name })
	})
}

func peerNames() []string {
	var names []string
	for _, p := range Peers() {
		names = append(names, p.Name)
	}
	return names
}
