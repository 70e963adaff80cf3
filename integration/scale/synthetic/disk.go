package synthetic

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Disk is what a Sink has been given, in files that outlive the process that
// writes them: what a write has returned for is in the kernel's hands, and no
// kill takes it back.
type Disk struct {
	tree   Tree
	states *os.File // a byte for each file, then one for each directory and group
	wrong  *os.File // a line for everything that should never happen
	temps  string   // directory: files under temporary names
}

// state is the byte of a name: what is there, and above that how often the
// file was completed.
type state byte

const (
	absent  state = 0
	right   state = 1 // complete, and the bytes are those of the tree
	bad     state = 2 // complete, and they are not
	partial state = 3 // begun
	whatIs  state = 3 // mask
	once    state = 4 // one completion
)

func (s state) what() state { return s & whatIs }

// completed counts one completion more, as far as the byte can count.
func (s state) completed(what state) state {
	if n := s &^ whatIs; n+once > n {
		s = n + once
	}
	return s&^whatIs | what
}

// OpenDisk opens the disk in a directory, which it makes when it is not there.
func OpenDisk(at string, t Tree) (*Disk, error) {
	d := &Disk{tree: t, temps: filepath.Join(at, "temps")}
	err := os.MkdirAll(d.temps, 0o755)
	if err == nil {
		d.states, err = os.OpenFile(filepath.Join(at, "states"), os.O_CREATE|os.O_RDWR, 0o644)
	}
	if err == nil {
		err = d.states.Truncate(t.Files + t.dirs() + t.groups())
	}
	if err == nil {
		d.wrong, err = os.OpenFile(filepath.Join(at, "wrong"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
	}
	return d, err
}

// Close closes the disk's files.
func (d *Disk) Close() error { return errors.Join(d.states.Close(), d.wrong.Close()) }

func (d *Disk) at(x node) int64 {
	switch x.kind {
	case dir:
		return d.tree.Files + x.n
	case group:
		return d.tree.Files + d.tree.dirs() + x.n
	}
	return x.n
}

func (d *Disk) get(x node) (state, error) {
	var b [1]byte
	_, err := d.states.ReadAt(b[:], d.at(x))
	return state(b[0]), err
}

func (d *Disk) set(x node, s state) error {
	_, err := d.states.WriteAt([]byte{byte(s)}, d.at(x))
	return err
}

// span is the states of a span.
func (d *Disk) span(s span) ([]byte, error) {
	b := make([]byte, s.to-s.from)
	_, err := d.states.ReadAt(b, d.at(node{s.kind, s.from}))
	return b, err
}

// complain notes what should never happen.
func (d *Disk) complain(format string, args ...any) error {
	_, err := fmt.Fprintf(d.wrong, format+"\n", args...)
	return err
}

// Tally is what a Disk holds.
type Tally struct {
	Right   int64 // files that are there once, with the bytes of the tree
	Begun   int64 // files that are there and were never completed
	Bad     int64 // files with other bytes
	Again   int64 // completions beyond each file's first
	Dirs    int64 // directories
	Temps   int   // files under temporary names
	Wrong   string
	Missing []string // the first files that are not there as they should be, at most 10
}

// Tally counts.
func (d *Disk) Tally() (Tally, error) {
	var t Tally
	const block = 1 << 20
	for from := int64(0); from < d.tree.Files; from += block {
		states, err := d.span(span{file, from, min(from+block, d.tree.Files)})
		if err != nil {
			return t, err
		}
		for i, b := range states {
			switch s := state(b); s.what() {
			case right:
				t.Right++
				t.Again += int64(s/once) - 1
				continue
			case bad:
				t.Bad++
			case partial:
				t.Begun++
			}
			if len(t.Missing) < 10 {
				t.Missing = append(t.Missing, d.tree.Path(from+int64(i)))
			}
		}
	}
	for _, k := range []kind{dir, group} {
		states, err := d.span(span{k, 0, d.tree.count(k)})
		if err != nil {
			return t, err
		}
		for _, b := range states {
			t.Dirs += int64(b)
		}
	}
	temps, err := os.ReadDir(d.temps)
	if err != nil {
		return t, err
	}
	t.Temps = len(temps)
	if _, err := d.wrong.Seek(0, io.SeekStart); err != nil {
		return t, err
	}
	wrong, err := io.ReadAll(io.LimitReader(d.wrong, 4<<10))
	t.Wrong = string(wrong)
	return t, err
}

// Dirs is how many directories the tree has below its root.
func (t Tree) Dirs() int64 { return t.dirs() + t.groups() }
