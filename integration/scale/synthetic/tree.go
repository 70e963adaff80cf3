// Package synthetic is storage without bytes, for tests of very many files: a
// source that makes up the listing and the content of a tree when they are
// asked for, and a sink that compares what it is sent with what the same tree
// should hold, and keeps one byte for each file.
package synthetic

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// Shape is how the files of a Tree lie in directories.
type Shape string

// The shapes.
const (
	Wide Shape = "wide" // directories of 1,000 files, 1,000 of them in each directory above
	Flat Shape = "flat" // one directory with all files
	Deep Shape = "deep" // each directory holds 100 files and the next directory, 800 levels down at most
	Many Shape = "many" // every file has a directory of its own
)

// Tree describes a tree of files.
type Tree struct {
	Files int64
	Shape Shape
}

// kind is what a node of a tree is.
type kind byte

const (
	root  kind = 'r'
	group kind = 'g' // a directory of directories
	dir   kind = 'd' // a directory of files
	file  kind = 'f'
)

// node is a name in a tree. Those of a kind are counted from 0.
type node struct {
	kind kind
	n    int64
}

// maxSize is the largest file, in bytes.
const maxSize = 4096

// dirsPerGroup is how many directories of files a directory above them holds.
const dirsPerGroup = 1000

// deepest keeps paths below PATH_MAX: "/d000" is five bytes.
const deepest = 800

// perDir is how many files a directory holds.
func (t Tree) perDir() int64 {
	switch t.Shape {
	case Wide:
		return 1000
	case Deep:
		return max(100, (t.Files+deepest-1)/deepest)
	case Many:
		return 1
	}
	return max(t.Files, 1)
}

func (t Tree) dirs() int64 {
	if t.Shape == Flat {
		return 0
	}
	return (t.Files + t.perDir() - 1) / t.perDir()
}

func (t Tree) groups() int64 {
	if t.Shape == Flat || t.Shape == Deep {
		return 0
	}
	return (t.dirs() + dirsPerGroup - 1) / dirsPerGroup
}

// appendPath appends where a node is.
func (t Tree) appendPath(b []byte, x node) []byte {
	switch {
	case x.kind == root:
		return append(b, '/')
	case x.kind == dir && t.Shape == Deep:
		for level := int64(0); level <= x.n; level++ {
			b = appendName(append(b, '/'), node{dir, level})
		}
		return b
	case x.kind == dir:
		b = t.appendPath(b, node{group, x.n / dirsPerGroup})
	case x.kind == file && t.Shape != Flat:
		b = t.appendPath(b, node{dir, x.n / t.perDir()})
	}
	return appendName(append(b, '/'), x)
}

// appendName appends the last element of a node's path.
func appendName(b []byte, x node) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], x.n, 10)
	width := 3
	switch x.kind {
	case group:
		width = 5
	case file:
		width = 8
	}
	b = append(b, byte(x.kind))
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

func name(x node) string { return string(appendName(nil, x)) }

// find is the node at a path, which must be exactly where it belongs.
func (t Tree) find(p string) (node, bool) {
	if p == "/" {
		return node{kind: root}, true
	}
	last := p[strings.LastIndexByte(p, '/')+1:]
	if len(last) < 2 {
		return node{}, false
	}
	n, err := strconv.ParseInt(last[1:], 10, 64)
	x := node{kind(last[0]), n}
	if err != nil || n < 0 || n >= t.count(x.kind) {
		return node{}, false
	}
	var right [128]byte
	return x, string(t.appendPath(right[:0], x)) == p
}

func (t Tree) count(k kind) int64 {
	switch k {
	case group:
		return t.groups()
	case dir:
		return t.dirs()
	case file:
		return t.Files
	}
	return 0
}

// span is nodes of one kind, from and up to but not including to.
type span struct {
	kind     kind
	from, to int64
}

// children are what a directory holds.
func (t Tree) children(x node) []span {
	part := func(k kind, n, each int64) span { return span{k, n * each, min((n+1)*each, t.count(k))} }
	switch {
	case x.kind == root && t.Shape == Flat:
		return []span{{file, 0, t.Files}}
	case x.kind == root && t.Shape == Deep:
		return []span{{dir, 0, min(1, t.dirs())}}
	case x.kind == root:
		return []span{{group, 0, t.groups()}}
	case x.kind == group:
		return []span{part(dir, x.n, dirsPerGroup)}
	case x.kind == dir && t.Shape == Deep:
		return []span{part(file, x.n, t.perDir()), {dir, x.n + 1, min(x.n+2, t.dirs())}}
	}
	return []span{part(file, x.n, t.perDir())}
}

// mix is a bijection that leaves no likeness between neighbours (splitmix64).
func mix(n int64) uint64 {
	z := uint64(n) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// size is how many bytes a file holds, 0 to maxSize.
func size(n int64) int64 { return int64(mix(n) % (maxSize + 1)) }

// noise is what the contents of files are cut from.
type noise [1 << 20]byte

func newNoise() *noise {
	n := &noise{}
	_, _ = rand.NewChaCha8([32]byte{'g', 'f'}).Read(n[:]) // never fails
	return n
}

// content writes what a file holds into b, which has room for maxSize bytes,
// and returns it. Its first bytes tell it from any other's.
func (z *noise) content(n int64, b []byte) []byte {
	id := mix(n)
	b = b[:size(n)]
	at := int(id>>20) % (len(z) - maxSize)
	copy(b, z[at:])
	if len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, id)
	}
	return b
}

// modTime is that of everything.
func modTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func entry(name string, x node) endpoints.Entry {
	if x.kind == file {
		return endpoints.Entry{Name: name, Type: endpoints.File, Size: size(x.n), ModTime: modTime(), Mode: 0o644}
	}
	return endpoints.Entry{Name: name, Type: endpoints.Dir, ModTime: modTime(), Mode: 0o755}
}

// Path is where file n is, for those who ask for its result.
func (t Tree) Path(n int64) string { return string(t.appendPath(nil, node{file, n})) }

// String names a tree.
func (t Tree) String() string { return fmt.Sprintf("%s of %d files", t.Shape, t.Files) }
