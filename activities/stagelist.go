package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/transfer"
)

// OfflineList names files that wait for an archive. They are in the store, so
// that a history holds one key, however many they are.
type OfflineList struct {
	Key   string `json:"key"` // of the list of its pages
	Files int64  `json:"files"`
	Bytes int64  `json:"bytes"`
	Again bool   `json:"again,omitempty"` // the archive has called them online before, and they were not
}

// offlinePage is some thousands of files that are looked at together.
type offlinePage struct {
	Key   string    `json:"k"`
	Files int64     `json:"f"`
	Bytes int64     `json:"b"`
	Asked time.Time `json:"a,omitzero"` // when they were asked for; zero: not yet
	Look  time.Time `json:"l,omitzero"` // they are not looked at before
}

// asked is how many of the files were asked for.
func (p offlinePage) asked() int64 {
	if p.Asked.IsZero() {
		return 0
	}
	return p.Files
}

// offlineFile is a line of such a page.
type offlineFile struct {
	fileLine     // with names that are packed
	Tries    int `json:"y,omitempty"` // how often the archive has refused it
}

func (f offlineFile) unpacked() transfer.File {
	f.Source, f.Dest, f.Link = transfer.UnpackName(f.Source), transfer.UnpackName(f.Dest), transfer.UnpackName(f.Link)
	return transfer.File(f.fileLine)
}

// offlinePageSize is how many files make a page: a page is read as a whole, and
// written anew when some of its files have come.
const offlinePageSize = 5000

func offlineKey(task transfer.TaskID, of, run string, page int) string {
	return fmt.Sprintf("%soffline/%s-%s/%06d", taskKey(task), of, run, page)
}

// offlineLister writes pages. A nil one has nothing to write.
type offlineLister struct {
	blobs blob.Store
	key   string // of the list of the pages
	lines *lister[offlineFile]
	pages []offlinePage
}

// newOfflineLister writes what an execution of a step, or of a copy, has found.
func newOfflineLister(blobs blob.Store, task transfer.TaskID, of, run string) *offlineLister {
	l := &offlineLister{blobs: blobs, key: fmt.Sprintf("%soffline/%s-%s/list", taskKey(task), of, run)}
	key := func(page int) string { return offlineKey(task, of, run, page) }
	l.lines = newLister[offlineFile](blobs, offlinePageSize, key)
	l.lines.wrote = func(page int, lines []offlineFile) {
		p := offlinePage{Key: key(page), Files: int64(len(lines))}
		for i := range lines {
			p.Bytes += lines[i].Size
		}
		l.pages = append(l.pages, p)
	}
	return l
}

// add adds files.
func (l *offlineLister) add(ctx context.Context, files ...transfer.File) error {
	for _, f := range files {
		f.Source, f.Dest, f.Link = transfer.PackName(f.Source), transfer.PackName(f.Dest), transfer.PackName(f.Link)
		if err := l.lines.add(ctx, offlineFile{fileLine: fileLine(f)}); err != nil {
			return err
		}
	}
	return nil
}

// list ends the writing; nil when there were no files.
func (l *offlineLister) list(ctx context.Context) (*OfflineList, error) {
	if l == nil {
		return nil, nil
	}
	if err := l.lines.flush(ctx); err != nil || len(l.pages) == 0 {
		return nil, err
	}
	list := &OfflineList{Key: l.key}
	for _, p := range l.pages {
		list.Files += p.Files
		list.Bytes += p.Bytes
	}
	return list, putLines(ctx, l.blobs, l.key, l.pages)
}
