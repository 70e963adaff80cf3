package activities

import (
	"context"
	"errors"

	"github.com/gridferry/gridferry/endpoints"
)

// inArchive says that a file could not be read because it has to be staged, and
// that whoever asked for the copy knows what to do about it. The listing may
// not have told so, or the file has gone back since it was online.
func (c *copier) inArchive(err error, atSource bool) bool {
	if !c.in.Stage || !atSource || !errors.Is(err, endpoints.ErrOffline) {
		return false
	}
	_, ok := c.ends.src.Storage.(endpoints.Stager)
	return ok
}

// setAside leaves a file that is under way to those who bring it online: it is
// in none of this chunk's counts. The caller holds mu.
func (c *copier) setAside(i int, err error) {
	if c.in.Chunk.Staged { // the archive has said that it is online
		c.note(err, c.files[i].Source)
	}
	if c.in.Chunk.Ranged.IsRange() {
		first := c.upsetBy == nil
		c.upset(i, err, true)
		c.upsetBy.Offline = c.upsetBy.Offline || first
		return
	}
	delete(c.led.Partial, i)
	delete(c.led.Refused, i)
	c.temp.set(i)
	c.chore(func(ctx context.Context) {
		c.clean(ctx, i)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.led.setAside(i)
		c.state[i] = aside
		c.busy--
		delete(c.moving, i)
		if c.in.Chunk.Ranged.Joins() {
			c.spent(i)
		}
		c.book.dirty = true
		c.changed.Broadcast()
	})
}

// setAside notes a file that is in the archive.
func (l *ledger) setAside(i int) {
	if l.Aside == nil {
		l.Aside = newBitmap(l.Files)
	}
	l.Aside.set(i)
}

// putAside lists the files that were set aside, when all others are settled.
func (c *copier) putAside(ctx context.Context) error {
	c.mu.Lock()
	l := newOfflineLister(c.d.Blobs, c.in.Task, "copy-"+c.in.Chunk.ID, newRun())
	files := c.files
	aside := c.led.Aside
	c.mu.Unlock()
	for i := range files {
		if aside.has(i) {
			if err := l.add(ctx, files[i]); err != nil {
				return err
			}
		}
	}
	list, err := l.list(ctx)
	if list != nil {
		list.Again = c.in.Chunk.Staged
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.led.Offline = list
	return err
}
