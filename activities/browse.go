package activities

import (
	"context"

	"github.com/gridferry/gridferry/endpoints"
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

// BrowseInput is one operation at a place.
type BrowseInput struct {
	Op       BrowseOp      `json:"op"`
	Endpoint string        `json:"endpoint"` // as in Ends
	Path     string        `json:"path"`
	To       string        `json:"to,omitempty"` // path, of a rename
	Owner    string        `json:"owner,omitempty"`
	Cred     string        `json:"credential,omitempty"`
	Page     transfer.Page `json:"page,omitzero"`
}

// BrowseResult is its answer.
type BrowseResult struct {
	Entry   endpoints.Entry  `json:"entry,omitzero"`   // of a stat
	Listing transfer.Listing `json:"listing,omitzero"` // of a list: sorted by name
}

// Browse looks at or alters one name at an endpoint, for a person who waits.
func (d *Data) Browse(ctx context.Context, in BrowseInput) (BrowseResult, error) {
	return BrowseResult{}, nil
}
