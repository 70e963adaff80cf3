package activities

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// StageInput is one step of bringing a task's files online, 30 s at most,
// unless one call of the archive's takes longer.
type StageInput struct {
	Task    transfer.TaskID  `json:"task"`
	Ends    Ends             `json:"ends"`
	Policy  transfer.Policy  `json:"policy"`
	OnError transfer.OnError `json:"on_error,omitempty"`
	Probe   ProbeResult      `json:"probe"`
	Cursor  string           `json:"cursor,omitempty"` // blob key of where the last step left it; empty is the beginning
	Lists   []OfflineList    `json:"lists,omitempty"`  // files to be staged beside those that the cursor leads to
	Done    []string         `json:"done,omitempty"`   // sheets of staged files that are not needed any more
	Abandon bool             `json:"abandon,omitempty"`
}

// StageResult says how far the files are. Every file that was asked for and is
// online is in one of Chunks, and waits no more.
type StageResult struct {
	Cursor  string           `json:"cursor,omitempty"` // of the next step; empty when none is left
	Files   int64            `json:"files,omitempty"`  // that still wait
	Bytes   int64            `json:"bytes,omitempty"`
	Next    time.Duration    `json:"next,omitempty"` // when the next step is worth its requests; 0 is at once
	Chunks  []transfer.Chunk `json:"chunks,omitempty"`
	Failed  []FailedFile     `json:"failed,omitempty"` // the first 25; all are in the results
	NFailed int64            `json:"n_failed,omitempty"`
	Faults  []transfer.Fault `json:"faults,omitempty"`
	Blocked *transfer.Fault  `json:"blocked,omitempty"`
}

// stageSizes are the numbers of a step.
type stageSizes struct {
	step  time.Duration // nothing new is begun after this long
	batch int           // files of one call
	found int           // files online after which nothing new is begun either
	look  func(waited time.Duration) time.Duration
	back  time.Duration // before a file is looked at that was said to be online and was not
	idle  time.Duration // between steps that only wait for copies to make room
}

var defaultStageSizes = stageSizes{
	step: 20 * time.Second, batch: 500, found: transfer.SegmentLimit, look: transfer.StageLook, back: time.Minute, idle: 10 * time.Minute,
}

// stageState is where staging stands between two steps.
type stageState struct {
	Step    int           `json:"step"`
	Pages   []offlinePage `json:"pages,omitempty"`
	Held    int64         `json:"held,omitempty"`    // files that came online and were not released
	Done    []string      `json:"done,omitempty"`    // sheets of some of them, to be released
	Garbage []string      `json:"garbage,omitempty"` // keys that only the step before needs, if it is done again
}

// StageStep asks the source's archive for files, looks how far those are that
// it was asked for, and makes chunks of what is online. What it asks for it may
// have asked for before: a step that was lost is done again.
func (d *Data) StageStep(ctx context.Context, in StageInput) (StageResult, error) {
	res, err := d.stageStep(ctx, in, defaultStageSizes)
	return res, toTemporal(err)
}

// stage is one step under way.
type stage struct {
	d       *Data
	in      StageInput
	sizes   stageSizes
	run     string
	begun   time.Time
	clock   clock
	st      stageState
	ends    *pair
	archive endpoints.Stager
	res     StageResult
	faults  faultList
	asked   int64 // files that wait and were asked for
	online  []transfer.File
	lost    []transfer.Result // files that the archive does not give out
	written int               // pages
}

func (d *Data) stageStep(ctx context.Context, in StageInput, sizes stageSizes) (_ StageResult, err error) {
	s := &stage{d: d, in: in, sizes: sizes, run: newRun(), begun: time.Now(), clock: newClock(ctx)}
	vitals, faults := d.vitals(ctx, "asked the archive")
	defer func() { vitals.ends(ctx, err) }()
	defer beatWith(ctx, func() any { return vitals })()
	s.faults = faults
	if in.Cursor != "" {
		if s.st, err = getOne[stageState](ctx, d.Blobs, in.Cursor); err != nil {
			return StageResult{}, err
		}
	}
	// Whoever recorded the cursor has no use for what was before it.
	if err := d.Blobs.Delete(ctx, s.st.Garbage...); err != nil {
		return StageResult{}, err
	}
	s.st.Garbage = nil
	if err := s.adopt(ctx); err != nil {
		return StageResult{}, err
	}
	err = insist(ctx, patience, func() (err error) {
		s.ends, err = d.openEnds(ctx, in.Ends)
		return err
	})
	if err == nil {
		defer s.ends.Close()
		err = s.work(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return StageResult{}, fault.Wrap(fault.Canceled, "stage files of", in.Ends.Source, ctx.Err())
	case errors.As(err, new(*ownTrouble)), err != nil && isDrained(err):
		return StageResult{}, err
	case err != nil:
		f := toFault(err, "", time.Now().UTC())
		s.res.Blocked = &f
	}
	return s.finish(ctx)
}

// ownTrouble is an error of gridferry's own store, and not of an end.
type ownTrouble struct{ error }

func (e *ownTrouble) Unwrap() error { return e.error }

// own marks an error of the store's.
func own(err error) error {
	if err == nil {
		return nil
	}
	return &ownTrouble{err}
}

// adopt takes over lists that others have made. Their pages are used as they are.
func (s *stage) adopt(ctx context.Context) error {
	now := s.clock.now()
	for _, list := range s.in.Lists {
		pages, err := getLines[offlinePage](ctx, s.d.Blobs, list.Key)
		if err != nil {
			return err
		}
		for i := range pages {
			if list.Again {
				pages[i].Asked, pages[i].Look = now, now.Add(s.sizes.back)
			}
		}
		s.st.Pages = append(s.st.Pages, pages...)
		s.st.Garbage = append(s.st.Garbage, list.Key)
	}
	s.st.Done = append(s.st.Done, s.in.Done...)
	for _, p := range s.st.Pages {
		s.asked += p.asked()
	}
	return nil
}

// work releases what is done with, and then looks at one page after the other.
func (s *stage) work(ctx context.Context) error {
	var ok bool
	if s.archive, ok = s.ends.src.Storage.(endpoints.Stager); !ok {
		return fault.New(fault.Invalid, "stage files of", s.ends.src.name, "the endpoint has no archive any more")
	}
	if err := s.release(ctx); err != nil {
		return err
	}
	if s.in.Abandon {
		return s.abandon(ctx)
	}
	todo, left := s.st.Pages, []offlinePage(nil)
	var err error
	for n, p := range todo {
		if err != nil || s.over(ctx) {
			// First thing in the next step.
			left = append(slices.Clone(todo[n:]), left...)
			break
		}
		var rest []offlinePage
		rest, err = s.page(ctx, p)
		left = append(left, rest...)
		s.asked -= p.asked()
		for _, p := range rest {
			s.asked += p.asked()
		}
	}
	s.st.Pages = left
	return err
}

// over says that the step has lasted for long enough, or found enough.
func (s *stage) over(ctx context.Context) bool {
	if len(s.online) >= s.sizes.found || time.Since(s.begun) > s.sizes.step || ctx.Err() != nil {
		return true
	}
	select {
	case <-s.d.Stopping:
		return true
	default:
		return false
	}
}

// room is how many more files may be asked for.
func (s *stage) room() int64 {
	limit := int64(s.archive.StageLimit())
	if limit <= 0 {
		return math.MaxInt64
	}
	return limit - s.st.Held - s.asked - int64(len(s.online))
}

// page looks at a page, and returns the pages that are left of it. Its error
// ends the step; what is returned holds all the same.
func (s *stage) page(ctx context.Context, p offlinePage) ([]offlinePage, error) {
	now, fresh := s.clock.now(), p.Asked.IsZero()
	room := p.Files
	if fresh {
		room = s.room()
	}
	if room <= 0 || now.Before(p.Look) {
		return []offlinePage{p}, nil
	}
	lines, err := getLines[offlineFile](ctx, s.d.Blobs, p.Key)
	if err != nil {
		return []offlinePage{p}, own(err)
	}
	var left []offlinePage
	if int64(len(lines)) > room {
		later, err := s.put(ctx, lines[room:])
		if err != nil {
			return []offlinePage{p}, err
		}
		left, lines = append(left, later), lines[:room]
	}
	if fresh {
		p.Asked = now
	}
	before, tries := len(lines), triesOf(lines)
	var rest []offlineFile
	var failed error
	for batch := range slices.Chunk(lines, s.sizes.batch) {
		if failed == nil && ctx.Err() != nil {
			failed = fault.Wrap(fault.Canceled, "stage files of", s.ends.src.name, ctx.Err())
		}
		if failed != nil {
			rest = append(rest, batch...)
			continue
		}
		var waits []offlineFile
		waits, failed = s.ask(ctx, batch, fresh)
		rest = append(rest, waits...)
	}
	p.Look = now.Add(s.sizes.look(now.Sub(p.Asked)))
	if failed != nil {
		p.Look = time.Time{}
	}
	switch {
	case len(rest) == 0:
		s.st.Garbage = append(s.st.Garbage, p.Key)
	case len(rest) == before && len(left) == 0 && triesOf(rest) == tries:
		left = append(left, p)
	default:
		kept, err := s.put(ctx, rest)
		if err != nil {
			return nil, err // of the whole step: the store keeps nothing of it
		}
		s.st.Garbage = append(s.st.Garbage, p.Key)
		kept.Asked, kept.Look = p.Asked, p.Look
		left = append(left, kept)
	}
	return left, failed
}

func triesOf(lines []offlineFile) (n int) {
	for i := range lines {
		n += lines[i].Tries
	}
	return n
}

// put writes a page.
func (s *stage) put(ctx context.Context, lines []offlineFile) (offlinePage, error) {
	p := offlinePage{Key: offlineKey(s.in.Task, fmt.Sprintf("stage-%06d", s.st.Step), s.run, s.written), Files: int64(len(lines))}
	s.written++
	for i := range lines {
		p.Bytes += lines[i].Size
	}
	return p, own(putLines(ctx, s.d.Blobs, p.Key, lines))
}

// ask asks for a batch of files, or looks how far they are, and returns those
// that still wait. With an error none was dealt with.
func (s *stage) ask(ctx context.Context, batch []offlineFile, fresh bool) ([]offlineFile, error) {
	paths := make([]string, len(batch))
	for i, f := range batch {
		paths[i] = transfer.UnpackName(f.Source)
	}
	call := s.archive.StagePoll
	if fresh {
		call = s.archive.StageRequest
	}
	states, err := s.call(ctx, call, paths)
	if err != nil {
		return batch, err
	}
	var lost []int // forgotten by the archive, or taken back by it
	for i, st := range states {
		if st.State == endpoints.StageOffline {
			lost = append(lost, i)
		}
	}
	if len(lost) > 0 {
		again := make([]string, len(lost))
		for n, i := range lost {
			again[n] = paths[i]
		}
		asked, err := s.call(ctx, s.archive.StageRequest, again)
		if err != nil {
			return batch, err
		}
		for n, i := range lost {
			states[i] = asked[n]
		}
	}
	var waits []offlineFile
	for i, st := range states {
		switch st.State {
		case endpoints.StageOnline:
			s.online = append(s.online, batch[i].unpacked())
		case endpoints.StageRefused:
			if f := batch[i]; s.refused(&f, st.Err) {
				waits = append(waits, f)
			}
		default:
			waits = append(waits, batch[i])
		}
	}
	return waits, nil
}

type stageCall func(context.Context, []string) ([]endpoints.Staged, error)

func (s *stage) call(ctx context.Context, call stageCall, paths []string) (states []endpoints.Staged, err error) {
	err = insist(ctx, patience, func() (err error) {
		states, err = call(ctx, paths)
		return err
	})
	if err == nil && len(states) != len(paths) {
		err = fault.New(fault.Internal, "stage files of", s.ends.src.name, fmt.Sprintf("%d answers to %d questions", len(states), len(paths)))
	}
	return states, err
}

// refused deals with a file that the archive does not give out. It is true for
// one that is to be asked for again.
func (s *stage) refused(line *offlineFile, err error) bool {
	f := line.unpacked()
	line.Tries++
	told := toFault(err, f.Source, time.Now().UTC())
	if !ofOneName(told.Kind) {
		told.Kind = fault.Unsupported
	}
	s.faults.add(told)
	answer := transfer.AnswerTo(transfer.Trouble{Kind: told.Kind, Attempt: line.Tries, OnError: s.in.OnError})
	if answer.Action == transfer.Again {
		return true
	}
	s.res.NFailed++
	if len(s.res.Failed) < maxListed {
		s.res.Failed = append(s.res.Failed, FailedFile{Path: told.Path, Kind: told.Kind, Message: told.Message, AtSource: true})
	}
	s.lost = append(s.lost, failedResult(f, refusal{Tries: line.Tries, Kind: told.Kind, Message: told.Message}))
	return false
}

// release tells the archive of files that were copied. That it does not hear of
// it is a fault, and no reason to wait.
func (s *stage) release(ctx context.Context) error {
	for _, sheet := range s.st.Done {
		files, err := getFiles(ctx, s.d.Blobs, sheet, 0)
		if err != nil {
			return own(err)
		}
		paths := make([]string, len(files))
		for i := range files {
			paths[i] = files[i].Source
		}
		s.st.Held = max(0, s.st.Held-int64(len(files)))
		s.forget(ctx, paths)
	}
	s.st.Done = nil
	return nil
}

func (s *stage) forget(ctx context.Context, paths []string) {
	for batch := range slices.Chunk(paths, s.sizes.batch) {
		err := insist(ctx, patience, func() error { return s.archive.StageRelease(ctx, batch) })
		if err != nil && ctx.Err() == nil {
			s.faults.add(toFault(err, "", time.Now().UTC()))
		}
	}
}

// abandon releases everything that was asked for.
func (s *stage) abandon(ctx context.Context) error {
	for len(s.st.Pages) > 0 && !s.over(ctx) {
		p := s.st.Pages[0]
		if !p.Asked.IsZero() {
			lines, err := getLines[offlineFile](ctx, s.d.Blobs, p.Key)
			if err != nil {
				return own(err)
			}
			paths := make([]string, len(lines))
			for i := range lines {
				paths[i] = transfer.UnpackName(lines[i].Source)
			}
			s.forget(ctx, paths)
		}
		s.st.Pages = s.st.Pages[1:]
	}
	return nil
}

// finish makes chunks of what is online, and stores where the next step goes on.
func (s *stage) finish(ctx context.Context) (StageResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if len(s.online) > 0 {
		s.st.Held += int64(len(s.online))
		c := &cutter{blobs: s.d.Blobs, task: s.in.Task, run: s.run, policy: s.in.Policy, probe: s.in.Probe, ends: s.ends, ranges: true}
		chunks, err := c.cut(ctx, fmt.Sprintf("stage%04d", s.st.Step+1), s.online)
		if err != nil {
			return StageResult{}, err
		}
		for i := range chunks {
			chunks[i].Staged = true
		}
		s.res.Chunks = chunks
	}
	if err := s.putLost(ctx); err != nil {
		return StageResult{}, err
	}
	s.res.Faults = s.faults
	for _, p := range s.st.Pages {
		s.res.Files += p.Files
		s.res.Bytes += p.Bytes
	}
	s.res.Next = s.next()
	if s.in.Cursor != "" {
		s.st.Garbage = append(s.st.Garbage, s.in.Cursor)
	}
	s.st.Step++
	s.res.Cursor = fmt.Sprintf("%soffline/state-%06d-%s", taskKey(s.in.Task), s.st.Step, s.run)
	return s.res, putLines(ctx, s.d.Blobs, s.res.Cursor, []stageState{s.st})
}

// putLost writes the results of files that do not come.
func (s *stage) putLost(ctx context.Context) error {
	group, epoch := fmt.Sprintf("stage-%06d", s.st.Step), s.clock.now().UnixNano()
	var indexes []pageIndex
	for lines := range slices.Chunk(s.lost, resultsPage) {
		page := len(indexes)
		if err := putLines(ctx, s.d.Blobs, resultsKey(s.in.Task, group, page, epoch), lines); err != nil {
			return err
		}
		indexes = append(indexes, newPageIndex(page, epoch, lines))
	}
	if len(indexes) == 0 {
		return nil
	}
	return putIndex(ctx, s.d.Blobs, s.in.Task, group, epoch, indexes)
}

// next is how long it is until something is worth a look.
func (s *stage) next() time.Duration {
	next, now := s.sizes.idle, s.clock.now()
	for _, p := range s.st.Pages {
		if p.Asked.IsZero() && s.archive != nil && s.room() <= 0 {
			continue
		}
		next = min(next, max(0, p.Look.Sub(now)))
	}
	return next
}
