package myproxyd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/myproxy"
)

// A RootsDir hands out a directory of trusted authorities.
type RootsDir struct {
	dir string

	mu    sync.Mutex
	files []myproxy.RootFile
	err   error
	read  time.Time
}

// NewRootsDir returns what hands out the files of dir that are a part of trust:
// certificates, signing policies and revocation lists under hashed names.
func NewRootsDir(dir string) *RootsDir { return &RootsDir{dir: dir} }

const (
	// rootsAge is how old what was read may be: anybody may ask, and reading
	// is not to be work that anybody can cause.
	rootsAge = time.Minute
	maxRoots = 8 << 20 // bytes of all files
)

var rootName = regexp.MustCompile(`^[0-9a-f]{8}\.(r?[0-9]|signing_policy)$`)

// Files returns the files as they were within the last minute.
func (d *RootsDir) Files() ([]myproxy.RootFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read.IsZero() || time.Since(d.read) > rootsAge {
		d.files, d.err = readRoots(d.dir)
		d.read = time.Now()
	}
	return d.files, d.err
}

func readRoots(dir string) ([]myproxy.RootFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read trust roots: %w", err)
	}
	var files []myproxy.RootFile
	size := 0
	for _, entry := range entries {
		if !rootName.MatchString(entry.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read trust roots: %w", err)
		}
		if size += len(content); size > maxRoots {
			return nil, fmt.Errorf("read trust roots: %s holds more than %d bytes of them", dir, maxRoots)
		}
		files = append(files, myproxy.RootFile{Name: entry.Name(), Content: content})
	}
	return files, nil
}
