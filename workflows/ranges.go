package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/transfer"
)

// A file that is copied in ranges (transfer.Ranged) is one Work, whose copy
// joins the ranges, and one more for each range that has been begun and is not
// done. They are made when there is room for them, so that a state holds hardly
// more of them than copies are under way. Only a walk that was asked for them,
// by a workflow that knows them, answers with files in ranges: histories from
// before have none, and need no patch.

// Ranges is the part of a Work that is about the ranges of its file.
type Ranges struct {
	Begun  int                    `json:"begun,omitempty"`  // ranges of this generation that have, or had, a Work
	Ranged int64                  `json:"ranged,omitempty"` // bytes that they count as done
	Upset  *activities.FailedFile `json:"upset,omitempty"`  // what one of them met that is the whole file's
}

// rangesOf returns the ranges of a file that have been begun and are not done.
func (s *State) rangesOf(file *Work) []*Work {
	var found []*Work
	for _, w := range s.Work {
		if w.File == file.Chunk.ID {
			found = append(found, w)
		}
	}
	return found
}

// fileOf returns the file that a range is of.
func (s *State) fileOf(w *Work) *Work {
	i := slices.IndexFunc(s.Work, func(f *Work) bool { return f.Chunk.ID == w.File })
	if i < 0 {
		return &Work{} // given up meanwhile
	}
	return s.Work[i]
}

// dropRanges forgets the ranges of a file, and what they have counted.
func (s *State) dropRanges(file *Work) {
	s.Work = slices.DeleteFunc(s.Work, func(w *Work) bool { return w.File == file.Chunk.ID })
	s.Task.Progress.BytesDone = max(0, s.Task.Progress.BytesDone-file.Ranged)
	file.Ranges = Ranges{}
}

// startRanges begins copies of ranges of a file while there is room: first of
// those that were begun before, then of others; and when none is left, the one
// that joins them. It is false when there was no room.
func (r *run) startRanges(ctx workflow.Context, file *Work) bool {
	now := workflow.Now(ctx)
	begun := r.rangesOf(file)
	if file.Upset != nil && !slices.ContainsFunc(begun, func(w *Work) bool { return w.flying }) {
		begun = nil // none goes on: the file is judged
	}
	for _, w := range begun {
		if file.Upset != nil || w.flying || now.Before(w.NotBefore) {
			continue
		}
		if !r.room(w) {
			return false
		}
		r.startCopy(ctx, w)
	}
	for file.Upset == nil && file.Begun < file.Chunk.Ranged.Count {
		w := &Work{Chunk: file.Chunk.InRange(file.Begun + 1), File: file.Chunk.ID, Last: file.Last}
		if !r.room(w) {
			return false
		}
		file.Begun++
		r.Work, begun = append(r.Work, w), append(begun, w)
		r.startCopy(ctx, w)
	}
	if len(begun) > 0 {
		return true
	}
	if !r.room(file) {
		return false
	}
	r.startCopy(ctx, file)
	return true
}

// upset stops the ranges of a file, of which one has met what is the whole
// file's: when they have landed, the copy that would join them decides.
func (r *run) upset(w *Work, by activities.FailedFile) {
	file := r.fileOf(w)
	if file.Upset == nil {
		file.Upset = &by
	}
	for _, other := range r.rangesOf(file) {
		if other.flying {
			other.stop()
		}
	}
}

// again begins the next generation of a file: its source has changed, or what
// was joined is not right, or one end refused it and is to be tried again.
func (r *run) again(ctx workflow.Context, file *Work, res activities.CopyResult) {
	r.dropRanges(file)
	next := *res.Again
	file.Chunk.Ranged, file.Chunk.Bytes = &next, next.Size
	r.event(ctx, transfer.Event{
		Code: transfer.EventProgress, Chunk: file.Chunk.ID,
		Description: fmt.Sprintf("%s: all of it is copied again (generation %d)", file.Chunk.Describe(), next.Generation),
	})
	if res.NFailed > 0 {
		r.refused(ctx, file, res)
	}
}
