// Package tree makes trees of files for demonstrations, tests and benchmarks,
// and compares two of them byte for byte. The same seed makes the same tree.
package tree

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Spec describes a tree.
type Spec struct {
	Seed    uint64
	Files   int     // regular files in all, the large and odd ones included
	Bytes   int64   // in all; reached exactly unless the large files alone exceed it
	Large   []int64 // sizes of files to be made besides the small ones
	Odd     bool    // names with spaces, quotes, percent signs, other scripts, leading dashes
	Deep    int     // depth of the deepest folder
	Empties int     // folders that hold nothing
}

// Summary counts what was made.
type Summary struct {
	Files, Dirs int
	Bytes       int64
}

// OddNames are names that careless software trips over. All are valid on any
// POSIX file system and none holds a line break, which FTP cannot carry.
func OddNames() []string {
	return []string{
		"with space", " leading space", "trailing space ", "tab\there",
		"quote'single", `quote"double`, `back\slash`, "percent%41", "100%",
		"hash#tag", "question?mark", "star*", "[bracket]", "semi;colon",
		"a=b;c=d;", "amp&ersand", "plus+plus", "dollar$HOME", "tilde~", "~",
		"-dash", "--help", ".hidden", "...", "ünïcödé", "日本語", "😀",
		"e\u0301 combining", "comma,colon:at@", "pipe|less<more>", "(paren)", "!bang",
	}
}

// Make writes the tree below dir, which must exist. progress, when not nil,
// is called as files are finished.
func Make(dir string, spec Spec, progress func(files int, bytes int64)) (Summary, error) {
	m := &maker{root: dir, spec: spec, rng: rand.New(rand.NewPCG(spec.Seed, 1)), progress: progress}
	if err := m.run(); err != nil {
		return m.made, fmt.Errorf("make a tree in %s: %w", dir, err)
	}
	return m.made, nil
}

type maker struct {
	root     string
	spec     Spec
	rng      *rand.Rand
	made     Summary
	progress func(int, int64)
}

func (m *maker) run() error {
	var largest int64
	for _, n := range m.spec.Large {
		largest += n
	}
	names := m.names()
	sizes := m.sizes(len(names)-len(m.spec.Large), m.spec.Bytes-largest)
	sizes = append(sizes, m.spec.Large...)
	for i, name := range names {
		if err := m.file(name, sizes[i], uint64(i)); err != nil {
			return err
		}
	}
	for i := range m.spec.Empties {
		if err := m.mkdir(filepath.Join("empty", fmt.Sprintf("folder %02d", i), "inner")); err != nil {
			return err
		}
	}
	return nil
}

// names chooses a path for every file; the last ones are the large files'.
func (m *maker) names() []string {
	var names []string
	if m.spec.Odd {
		for _, n := range OddNames() {
			names = append(names, filepath.Join("odd names", n))
			names = append(names, filepath.Join("odd names", "in "+n, n))
		}
	}
	deep := "deep"
	for i := range m.spec.Deep {
		deep = filepath.Join(deep, fmt.Sprintf("level-%02d", i))
		names = append(names, filepath.Join(deep, "here.txt"))
	}
	small := max(0, m.spec.Files-len(m.spec.Large))
	if len(names) > small {
		names = names[:small]
	}
	for i := 0; len(names) < small; i++ {
		names = append(names, filepath.Join(fmt.Sprintf("run-%03d", i/200), fmt.Sprintf("frame-%05d.dat", i)))
	}
	for i := range m.spec.Large {
		names = append(names, filepath.Join("large", fmt.Sprintf("volume-%02d.h5", i)))
	}
	return names
}

// sizes deals total bytes out to n files, from empty ones to a few of many
// times the mean. Research trees are like this: most files are small, most
// bytes are in the others.
func (m *maker) sizes(n int, total int64) []int64 {
	sizes := make([]int64, n)
	if n == 0 || total <= 0 {
		return sizes
	}
	weights := make([]float64, n)
	var sum float64
	for i := range weights {
		if i%50 == 7 {
			continue // stays empty
		}
		w := m.rng.ExpFloat64()
		weights[i] = w * w * w
		sum += weights[i]
	}
	if sum == 0 {
		sizes[0] = total
		return sizes
	}
	left := total
	last := 0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		sizes[i] = min(left, int64(float64(total)*w/sum))
		left -= sizes[i]
		last = i
	}
	sizes[last] += left
	return sizes
}

func (m *maker) mkdir(rel string) error {
	return os.MkdirAll(filepath.Join(m.root, rel), 0o755)
}

func (m *maker) file(rel string, size int64, n uint64) error {
	if err := m.mkdir(filepath.Dir(rel)); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(m.root, rel), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := io.Copy(w, io.LimitReader(Content(m.spec.Seed, n), size)); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	m.made.Files++
	m.made.Bytes += size
	if m.progress != nil {
		m.progress(m.made.Files, m.made.Bytes)
	}
	return nil
}

// Content is an endless stream of bytes that differs from file to file and
// does not compress, so that no two files can be taken for one another.
func Content(seed, file uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[0:], seed)
	binary.LittleEndian.PutUint64(key[8:], file)
	return rand.NewChaCha8(key)
}
