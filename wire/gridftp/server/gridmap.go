package server

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// A Gridmap maps certificate holders to local users, as the Globus tools have
// it: lines of a DN in double quotes and a list of users, the first of whom
// counts where none is named.
type Gridmap struct {
	file string // read again when it changes; empty for a fixed map

	mu      sync.Mutex
	read    stamp
	entries []gridmapEntry
}

type gridmapEntry struct {
	dn    string
	users []string
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// LoadGridmap reads a gridmap file, and reads it again at a login after it
// changed.
func LoadGridmap(file string) (*Gridmap, error) {
	g := &Gridmap{file: file}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.refresh(); err != nil {
		return nil, err
	}
	return g, nil
}

// ParseGridmap reads a gridmap's text.
func ParseGridmap(text string) (*Gridmap, error) {
	entries, err := parseGridmap(text)
	return &Gridmap{entries: entries}, err
}

// maxGridmap bounds a gridmap file in bytes.
const maxGridmap = 64 << 20

func (g *Gridmap) refresh() error {
	if g.file == "" {
		return nil
	}
	info, err := os.Stat(g.file)
	if err != nil {
		return fmt.Errorf("read gridmap: %w", err)
	}
	now := stamp{info.ModTime(), info.Size()}
	if now == g.read {
		return nil
	}
	if info.Size() > maxGridmap {
		return fmt.Errorf("read gridmap: %s is larger than %d bytes", g.file, maxGridmap)
	}
	text, err := os.ReadFile(g.file)
	if err != nil {
		return fmt.Errorf("read gridmap: %w", err)
	}
	entries, err := parseGridmap(string(text))
	if err != nil {
		return fmt.Errorf("read gridmap %s: %w", g.file, err)
	}
	g.entries, g.read = entries, now
	return nil
}

func parseGridmap(text string) ([]gridmapEntry, error) {
	var entries []gridmapEntry
	number := 0
	text = strings.TrimPrefix(text, "\ufeff") // of editors that begin files with it
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		dn, rest, err := cutDN(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		users := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		if len(users) == 0 {
			return nil, fmt.Errorf("line %d: %q is mapped to nobody", number, dn)
		}
		entries = append(entries, gridmapEntry{dn, users})
	}
	return entries, nil
}

// cutDN cuts the DN, quoted or without blanks, from the front of a line. A
// backslash takes the next character's meaning away.
func cutDN(line string) (dn, rest string, err error) {
	if line[0] != '"' {
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return line, "", nil
		}
		return line[:i], line[i:], nil
	}
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch line[i] {
		case '"':
			return b.String(), line[i+1:], nil
		case '\\':
			if i++; i < len(line) && line[i] != '"' && line[i] != '\\' {
				b.WriteByte('\\') // one of the DN's own escapes
			}
		}
		if i < len(line) {
			b.WriteByte(line[i])
		}
	}
	return "", "", errors.New("a quotation mark is not closed")
}

// Users returns the local users that a DN may be, the first one its default;
// none when the DN is not in the map.
func (g *Gridmap) Users(dn string) ([]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.refresh(); err != nil {
		return nil, err
	}
	var users []string
	for _, e := range g.entries {
		if gsi.SameDN(e.dn, dn) {
			users = append(users, e.users...)
		}
	}
	return users, nil
}
