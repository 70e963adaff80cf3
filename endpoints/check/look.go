package check

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

const (
	// mostListed is how many entries of a directory are looked at.
	mostListed = 100_000
	// mostFolders is how many directories below the given one are searched for
	// files to read.
	mostFolders = 5
	// smallFile is the longest file that is read whole, in bytes.
	smallFile = 1 << 20
)

// thing is a name that is there.
type thing struct {
	path  string
	entry endpoints.Entry // as it was listed
}

// login tells of the login, which has been.
func (v *visit) login() {
	v.look("login", "", func(context.Context) answer {
		seen := "done"
		if v.o.Login > 0 {
			seen = "took " + span(v.o.Login)
		}
		var means string
		if rtt := v.caps.RTT; rtt > 0 {
			seen += ", round trip " + span(rtt)
		}
		if rtt := v.caps.RTT; rtt >= time.Millisecond {
			means = fmt.Sprintf("one session that waits for each answer does %.0f requests a second at most", 1/rtt.Seconds())
		}
		if e, ok := v.Storage.(endpoints.Expirer); ok && !e.Expires().IsZero() {
			seen += ", with a credential for " + transfer.FormatDuration(time.Until(e.Expires()))
			means = strings.TrimPrefix(means+"; tasks that last longer wait for a new credential", "; ")
		}
		a := works(seen, means)
		a.took = v.o.Login
		return a
	})
}

// reach looks at what was given.
func (v *visit) reach() {
	v.look("folder", "nothing below it can be moved", func(ctx context.Context) answer {
		e, err := v.Stat(ctx, v.o.Path)
		switch {
		case fault.Is(err, fault.Unsupported):
			// A server that shows its files and nothing else.
			return cannot(err.Error(), "single files can be copied, as items of a task, and trees cannot")
		case err != nil:
			return v.ends(err)
		case e.Type == endpoints.File:
			v.sample = &thing{v.o.Path, e}
			v.consider(*v.sample)
			return works("a file of "+transfer.FormatBytes(e.Size), "")
		}
		found := tally{}
		err = v.list(ctx, v.o.Path, func(at thing) { found.add(at); v.consider(at) })
		switch {
		case fault.Is(err, fault.Unsupported):
			return cannot(err.Error(), "single files can be copied, as items of a task, and trees cannot")
		case err != nil:
			return v.ends(err)
		}
		v.folder = true
		if v.small == nil || v.large == nil {
			for _, dir := range found.dirs {
				// They are somebody's, and may be closed to us.
				_ = v.list(ctx, dir, v.consider)
			}
		}
		return works(found.seen(), found.means())
	})
}

// ends has the check end with a fault.
func (v *visit) ends(err error) answer {
	if v.ctx.Err() == nil {
		v.out.Fault = &transfer.Fault{Kind: fault.KindOf(err), Message: clip(err.Error()), Path: clip(v.o.Path)}
	}
	return failed(err)
}

// errEnough ends a listing.
var errEnough = errors.New("enough was listed")

// list calls fn with what is in a directory.
func (v *visit) list(ctx context.Context, dir string, fn func(thing)) error {
	n := 0
	err := v.List(ctx, dir, func(page []endpoints.Entry) error {
		for _, e := range page {
			fn(thing{join(dir, e.Name), e})
		}
		if n += len(page); n >= mostListed {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// consider keeps what the looks at existing files are done with.
func (v *visit) consider(at thing) {
	if endpoints.CheckPath("read", at.path) != nil {
		return
	}
	if e := at.entry; v.sample == nil || v.sample.entry.Type != endpoints.File && e.Type == endpoints.File {
		v.sample = &at
	}
	if at.entry.Type != endpoints.File || at.entry.Offline || at.entry.Size == 0 {
		return
	}
	if at.entry.Size <= smallFile && (v.small == nil || at.entry.Size > v.small.entry.Size) {
		v.small = &at
	}
	if v.large == nil || at.entry.Size > v.large.entry.Size {
		v.large = &at
	}
}

// tally is what a listing shows.
type tally struct {
	n, files, offline, timeless, sized int
	bytes                              int64
	dirs                               []string
}

func (t *tally) add(at thing) {
	t.n++
	switch at.entry.Type {
	case endpoints.Dir:
		if len(t.dirs) < mostFolders {
			t.dirs = append(t.dirs, at.path)
		}
	case endpoints.File:
		t.files++
		t.bytes += at.entry.Size
		if at.entry.Size > 0 {
			t.sized++
		}
		if at.entry.ModTime.IsZero() {
			t.timeless++
		}
		if at.entry.Offline {
			t.offline++
		}
	}
}

func (t *tally) seen() string {
	more := ""
	if t.n >= mostListed {
		more = " and more"
	}
	return fmt.Sprintf("%d entries%s, of which %s of %s", t.n, more, transfer.FormatFiles(int64(t.files)), transfer.FormatBytes(t.bytes))
}

func (t *tally) means() string {
	var said []string
	if t.timeless > 0 {
		said = append(said, "listings tell no times to the second: --sync mtime asks for each file, or copies it again")
	}
	if t.offline > 0 {
		said = append(said, fmt.Sprintf("%s may be in an archive, and a task that reads them waits until they are online", transfer.FormatFiles(int64(t.offline))))
	}
	return strings.Join(said, "; ")
}

// reading looks at what is there, and alters nothing.
func (v *visit) reading() {
	v.look("stat", "a walk would copy what it should not, or leave out what it should", v.stat)
	v.look("missing names", "what is missing at a destination would be taken for trouble, and tried again", func(ctx context.Context) answer {
		if !v.folder {
			return untried("there is no directory to look in", "")
		}
		_, err := v.Stat(ctx, join(v.o.Path, v.o.Name+"-is-not-there"))
		switch {
		case err == nil:
			return wrong("a name that is not there is described")
		case fault.Is(err, fault.NotFound):
			return works("told as such", "")
		}
		return failed(err)
	})
	v.look("reading", "nothing can be copied from here", v.readSmall)
	v.look("reading ranges", "a file that is interrupted begins again, and large ones cannot be read by several sessions", v.readRange)
}

// stat compares a listing with what is told of one name.
func (v *visit) stat(ctx context.Context) answer {
	if v.sample == nil {
		return untried("there is nothing in the folder", "")
	}
	least := time.Duration(0)
	for range 3 {
		begun := time.Now()
		e, err := v.Stat(ctx, v.sample.path)
		if err != nil {
			return failed(err)
		}
		if took := time.Since(begun); least == 0 || took < least {
			least = took
		}
		switch was := v.sample.entry; {
		case e.Type != was.Type:
			return wrong("%s is listed as a %s, and is a %s", v.sample.path, was.Type, e.Type)
		case e.Size != was.Size && !v.changed(ctx, e):
			return wrong("%s is listed with %d bytes, and has %d", v.sample.path, was.Size, e.Size)
		}
	}
	return works("answered in "+span(least), "")
}

// changed says whether a file has been altered since it was listed: it is
// somebody's.
func (v *visit) changed(ctx context.Context, now endpoints.Entry) bool {
	if !now.ModTime.IsZero() && now.ModTime.After(v.sample.entry.ModTime) && !v.sample.entry.ModTime.IsZero() {
		return true
	}
	later, err := v.Stat(ctx, v.sample.path)
	return err != nil || later.Size != now.Size
}

// noFile is the answer of looks that need a file.
func noFile() answer {
	return untried("there is no file of up to 1 MiB in the folder", "")
}

// readSmall reads a file that is there.
func (v *visit) readSmall(ctx context.Context) answer {
	if v.small == nil {
		return noFile()
	}
	data, err := v.readAll(ctx, v.small.path, 0, -1)
	if err != nil {
		return failed(err)
	}
	if int64(len(data)) != v.small.entry.Size {
		if e, err := v.Stat(ctx, v.small.path); err != nil || e.Size != v.small.entry.Size {
			return untried(v.small.path+" is being changed", "")
		}
		return wrong("%s has %d bytes, and %d came", v.small.path, v.small.entry.Size, len(data))
	}
	return works(fmt.Sprintf("%s of %s", v.small.path, transfer.FormatBytes(int64(len(data)))), "")
}

// readRange reads a file that is there, once more in part.
func (v *visit) readRange(ctx context.Context) answer {
	if v.small == nil {
		return noFile()
	}
	whole, err := v.readAll(ctx, v.small.path, 0, -1)
	if err != nil {
		return failed(err)
	}
	off, end := len(whole)/3, len(whole)-len(whole)/3
	part, err := v.readAll(ctx, v.small.path, int64(off), int64(end-off))
	if err != nil {
		return failed(err)
	}
	if !bytes.Equal(part, whole[off:end]) {
		if again, err := v.readAll(ctx, v.small.path, 0, -1); err != nil || !bytes.Equal(again, whole) {
			return untried(v.small.path+" is being changed", "")
		}
		return wrong("%d bytes of %s from %d are not those that it has there", end-off, v.small.path, off)
	}
	return works(fmt.Sprintf("%d bytes from %d", end-off, off), "a file goes on where it was interrupted, and several sessions read one large file")
}

// readAll reads what is known to be short.
func (v *visit) readAll(ctx context.Context, path string, off, length int64) ([]byte, error) {
	r, err := v.Open(ctx, path, off, length)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, smallFile+1))
	if closed := r.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	if len(data) > smallFile {
		return nil, fault.New(fault.Integrity, "read", path, "more comes than the file has")
	}
	return data, v.o.Pay(ctx, int64(len(data)))
}

// digest is a checksum as package endpoints has it.
func digest(alg string, data []byte) string {
	h := endpoints.NewHash(alg)
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
