package activities

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// BrowseOp is what a person asks of a place.
type BrowseOp string

// The operations.
const (
	BrowseList   BrowseOp = "list"
	BrowseStat   BrowseOp = "stat"
	BrowseMkdir  BrowseOp = "mkdir"
	BrowseRename BrowseOp = "rename"
)

// errNoEmptyDirs is why a person is told that a directory was not made.
var errNoEmptyDirs = errors.New("folders are there only while something is in them")

// BrowseInput is one operation at a place. Names may be packed
// (transfer.PackName).
type BrowseInput struct {
	Op       BrowseOp      `json:"op"`
	Endpoint string        `json:"endpoint"` // as in Ends
	Path     string        `json:"path"`
	To       string        `json:"to,omitempty"` // path, of a rename
	Owner    string        `json:"owner,omitempty"`
	Cred     string        `json:"credential,omitempty"`
	Page     transfer.Page `json:"page,omitzero"`
}

// BrowseResult is its answer. Names and targets that are not UTF-8 are packed.
type BrowseResult struct {
	Entry   endpoints.Entry  `json:"entry,omitzero"`   // of a stat
	Listing transfer.Listing `json:"listing,omitzero"` // of a list: sorted by name
}

// Browse looks at or alters one name at an endpoint, for a person who waits.
func (d *Data) Browse(ctx context.Context, in BrowseInput) (BrowseResult, error) {
	defer d.beat(ctx)()
	out, err := d.browse(ctx, in)
	return out, atOnce(err)
}

// browsePatience is how long somebody waits for a prompt before a server that
// does not answer.
const browsePatience = 5 * time.Second

func (d *Data) browse(ctx context.Context, in BrowseInput) (BrowseResult, error) {
	var at *place
	err := insist(ctx, browsePatience, func() (err error) {
		at, err = d.open(ctx, in.Endpoint, in.Owner, in.Cred)
		return err
	})
	if err != nil {
		return BrowseResult{}, err
	}
	defer at.Close()
	p, err := at.at(ctx, transfer.Location{Endpoint: in.Endpoint, Path: transfer.UnpackName(in.Path)})
	if err != nil {
		return BrowseResult{}, err
	}
	var out BrowseResult
	switch in.Op {
	case BrowseStat:
		out.Entry, err = at.Stat(ctx, p)
		out.Entry = packEntry(out.Entry)
	case BrowseMkdir:
		if err = at.Mkdir(ctx, p); err == nil && at.Caps().NoEmptyDirs {
			err = &fault.Error{Kind: fault.Unsupported, Op: "make directory", Path: p, Err: errNoEmptyDirs, Hint: "write into it: it comes with what is in it"}
		}
	case BrowseRename:
		var to string
		if to, err = at.at(ctx, transfer.Location{Endpoint: in.Endpoint, Path: transfer.UnpackName(in.To)}); err == nil {
			err = at.Rename(ctx, p, to)
		}
	case BrowseList:
		out.Listing, err = listPage(ctx, at, p, in.Page)
	default:
		err = fault.New(fault.Invalid, "browse", in.Path, "operation "+string(in.Op)+" is not known")
	}
	return out, err
}

func packEntry(e endpoints.Entry) endpoints.Entry {
	e.Name, e.Target = transfer.PackName(e.Name), transfer.PackName(e.Target)
	return e
}

// listPage returns the entries after the token's name. It keeps one page in
// memory, whatever the size of the directory.
func listPage(ctx context.Context, s endpoints.Storage, dir string, p transfer.Page) (transfer.Listing, error) {
	limit := p.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	after := transfer.UnpackName(p.Token)
	var page lastFirst
	more := false
	err := s.List(ctx, dir, func(entries []endpoints.Entry) error {
		for _, e := range entries {
			if p.Token != "" && e.Name <= after {
				continue
			}
			heap.Push(&page, e)
			if page.Len() > limit {
				heap.Pop(&page)
				more = true
			}
		}
		return nil
	})
	if err != nil {
		return transfer.Listing{}, err
	}
	slices.SortFunc(page, func(a, b endpoints.Entry) int { return strings.Compare(a.Name, b.Name) })
	var out transfer.Listing
	for _, e := range page {
		out.Entries = append(out.Entries, packEntry(e))
	}
	if more {
		out.Next = out.Entries[len(out.Entries)-1].Name
	}
	return out, nil
}

// lastFirst is a heap with the last name on top.
type lastFirst []endpoints.Entry

func (h lastFirst) Len() int           { return len(h) }
func (h lastFirst) Less(i, j int) bool { return h[i].Name > h[j].Name }
func (h lastFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *lastFirst) Push(x any)        { *h = append(*h, x.(endpoints.Entry)) }
func (h *lastFirst) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}
