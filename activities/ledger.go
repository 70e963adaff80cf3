package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// ledger is what a chunk has durably finished, as one attempt left it. Each
// attempt writes under a key of its own epoch and reads its predecessor's, so
// that one that was stopped and goes on late replaces nothing.
type ledger struct {
	Sheet   string    `json:"sheet"`
	Epoch   int64     `json:"epoch"`
	Updated time.Time `json:"updated"`
	Holder  string    `json:"holder,omitempty"` // Data.Identity of the worker

	// Closed: the attempt ended with its sessions closed. Where it is not set,
	// servers may go on with what they were told.
	Closed   bool `json:"closed,omitempty"`
	Complete bool `json:"complete,omitempty"` // nothing is left to try

	Ranged     *transfer.Ranged `json:"ranged,omitempty"`     // of a chunk that is one file, or a range of it
	Generation int              `json:"generation,omitempty"` // of that file: what a join has decided, whether or not it lived to tell

	Files    int             `json:"files"`              // of the sheet
	Reserved int             `json:"reserved,omitempty"` // no file from here on was ever given to a server
	Done     bitmap          `json:"done,omitempty"`     // verified, and at their names
	Partial  map[int]partial `json:"partial,omitempty"`  // large files on their way
	Refused  map[int]refusal `json:"refused,omitempty"`  // files that failed when tried alone
	Changed  map[int]version `json:"changed,omitempty"`  // files that are not what the walk saw
	Aside    bitmap          `json:"aside,omitempty"`    // files in the archive, which Offline lists when all others are settled
	Offline  *OfflineList    `json:"offline,omitempty"`

	// Epochs whose temporary names may still exist, for files that are not done.
	Epochs []int64 `json:"epochs,omitempty"`
	Late   []late  `json:"late,omitempty"`

	NDone        int64             `json:"n_done,omitempty"`
	Skipped      int64             `json:"skipped,omitempty"` // of those done: the checksums were equal
	SkippedBytes int64             `json:"skipped_bytes,omitempty"`
	Bytes        int64             `json:"bytes,omitempty"`
	Unverified   int64             `json:"unverified,omitempty"`
	Checksummed  int64             `json:"checksummed,omitempty"`
	Faults       faultList         `json:"faults,omitempty"`   // of this attempt, and of those before it that could tell nobody
	Schedule     int               `json:"schedule,omitempty"` // CopyInput.Schedule of this attempt
	Pages        int               `json:"pages,omitempty"`    // of results, in the store
	Results      []transfer.Result `json:"results,omitempty"`
}

// partial is a large file on its way, under its temporary name.
type partial struct {
	Epochs []int64           `json:"epochs"`        // one of these attempts' temporary names; the last is the likely one
	Of     version           `json:"of"`            // what the source was
	Tag    string            `json:"tag,omitempty"` // endpoints.Entry.Version of the source, since a part of it was opened
	Have   transfer.RangeSet `json:"have,omitempty"`
	Hash   []byte            `json:"hash,omitempty"` // a relay's digest of the first bytes, those in Have from 0
	Alg    string            `json:"alg,omitempty"`
}

// version tells one state of a source file from another.
type version struct {
	Size    int64     `json:"n"`
	ModTime time.Time `json:"m,omitzero"`
}

// same compares two looks at a file. Servers tell times to the second, and
// some listings to the minute: the coarser of two looks decides.
func (v version) same(w version) bool {
	if v.Size != w.Size {
		return false
	}
	if v.ModTime.IsZero() || w.ModTime.IsZero() || v.ModTime.Equal(w.ModTime) {
		return true
	}
	for _, unit := range []time.Duration{time.Second, time.Minute} {
		a, b := v.ModTime.Truncate(unit), w.ModTime.Truncate(unit)
		coarse := v.ModTime.Equal(a) || w.ModTime.Equal(b)
		if coarse && a.Equal(b) {
			return true
		}
	}
	return false
}

// refusal is a file that failed when it was tried alone.
type refusal struct {
	Tries    int        `json:"tries"`
	Kind     fault.Kind `json:"kind"`
	Message  string     `json:"message"`
	AtSource bool       `json:"at_source,omitempty"`
	Final    bool       `json:"final,omitempty"` // not to be tried again
}

// late is a file to be verified again at the end of the task, because servers
// that had it under way may not have heard that they should stop: the attempt
// did not end cleanly, or lost its connections.
type late struct {
	File  int       `json:"file"`
	Epoch int64     `json:"epoch"` // of that attempt, whose temporary name may turn up again
	Since time.Time `json:"since"` // when that was known
}

// bitmap is a set of small numbers.
type bitmap []byte

func newBitmap(n int) bitmap { return make(bitmap, (n+7)/8) }

func (b bitmap) has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }
func (b bitmap) set(i int)      { b[i/8] |= 1 << (i % 8) }

// lastLedger returns the ledger of the latest attempt before an epoch, or nil.
func lastLedger(ctx context.Context, blobs blob.Store, task transfer.TaskID, chunk string, before int64) (*ledger, error) {
	var last string
	err := blobs.List(ctx, ledgerPrefix(task, chunk), func(key string) error {
		if _, epoch, ok := splitLedgerKey(task, key); ok && epoch < before {
			last = key
		}
		return nil
	})
	if err != nil || last == "" {
		return nil, err
	}
	l, err := getOne[ledger](ctx, blobs, last)
	if err != nil {
		return nil, err
	}
	return &l, nil
}

// untold says that nobody has heard what an attempt came to, when the workflow
// has scheduled the chunk that often by now: it was lost before it ended, or
// what it said was.
func (l *ledger) untold(schedule int) bool { return !l.Closed || l.Schedule == schedule }

// broken is the fault that an attempt which did not close its ledger is to its
// successor, whatever it met itself: a worker that was killed or stood still, or
// one that could not write its last words.
func (l *ledger) broken(chunk string) error {
	worker := "a worker"
	if l.Holder != "" {
		worker = "the worker " + l.Holder
	}
	return fault.New(fault.Transient, "", "", fmt.Sprintf("%s stopped without a last word while it copied chunk %s, and was last heard of at %s: what it left unproven is looked at again (%s)",
		worker, chunk, l.Updated.UTC().Format(time.RFC3339), transfer.FormatFiles(int64(len(l.suspects())))))
}

// succeed begins the ledger of an attempt from its predecessor's, which may be
// nil.
func succeed(prev *ledger, sheet string, epoch int64, files int, now time.Time) *ledger {
	l := &ledger{Sheet: sheet, Epoch: epoch, Files: files, Done: newBitmap(files),
		Partial: map[int]partial{}, Refused: map[int]refusal{}, Changed: map[int]version{}, Epochs: []int64{epoch}}
	if prev == nil {
		return l
	}
	copy(l.Done, prev.Done)
	l.Reserved = min(prev.Reserved, files)
	l.Aside = slices.Clone(prev.Aside)
	for i, p := range prev.Partial {
		p.Epochs = append(append([]int64(nil), p.Epochs...), epoch)
		l.Partial[i] = p
	}
	for i, r := range prev.Refused {
		l.Refused[i] = r
	}
	for i, v := range prev.Changed {
		l.Changed[i] = v
	}
	l.Epochs = append(append([]int64(nil), prev.Epochs...), epoch)
	l.Late = append(l.Late, prev.Late...)
	if !prev.Closed {
		for _, i := range prev.suspects() {
			l.Late = append(l.Late, late{File: i, Epoch: prev.Epoch, Since: now})
		}
	}
	l.NDone, l.Skipped, l.SkippedBytes, l.Bytes, l.Unverified, l.Checksummed = prev.NDone, prev.Skipped, prev.SkippedBytes, prev.Bytes, prev.Unverified, prev.Checksummed
	l.Pages, l.Results = prev.Pages, append([]transfer.Result(nil), prev.Results...)
	return l
}

// suspects are the files that may have been given to a server and are not
// known to be right.
func (l *ledger) suspects() []int {
	var s []int
	for i := range min(l.Reserved, l.Files) {
		if !l.Done.has(i) && !l.Aside.has(i) { // what was set aside was cleaned up first
			s = append(s, i)
		}
	}
	return s
}

// given says of a suspect that it was certainly given to a server. An attempt
// that ended cleanly wrote down how far it came; of one that did not, all that
// was reserved ahead may never have been touched.
func (l *ledger) given(i int) bool {
	return l.Closed && !slices.ContainsFunc(l.Late, func(o late) bool { return o.File == i })
}

// risky is the size up to which a file that the destination does not have is
// written under its own name, unless it is there as a whole or not at all
// (Caps.AtOnce). See docs/design.md, "Names and time guard the bytes".
const risky = 1 << 20

// ownName says that a file may be written under its final name at once.
func ownName(f transfer.File, atomic bool, caps endpoints.Caps) bool {
	return !f.Exists && !atomic && (f.Size < risky || f.Size <= caps.AtOnce)
}

// tempPath is the temporary name of a file in an attempt.
func tempPath(f transfer.File, task transfer.TaskID, epoch int64, caps endpoints.Caps) string {
	return transfer.TempPath(f.Dest, task, epoch, caps.MaxName)
}
