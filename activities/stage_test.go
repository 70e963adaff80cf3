package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// stager plays the part of the workflow: it keeps what steps and copies say.
type stager struct {
	*world
	req   transfer.Request
	probe ProbeResult
	in    StageInput
	work  []transfer.Chunk
	files int64 // done
	last  StageResult
	sizes stageSizes
	want  map[string]string
}

// stageSizesOfTests look at everything in each step.
var stageSizesOfTests = stageSizes{
	step: time.Minute, batch: 3, found: 1000,
	look: func(time.Duration) time.Duration { return 0 }, idle: time.Minute,
}

func newStager(t *testing.T, files int, change ...func(*transfer.Request)) *stager {
	w := newWorld(t)
	for i := range files {
		put(t, w.src, fmt.Sprintf("/from/%02d", i), content(uint64(i), 100+i))
	}
	s := &stager{world: w, req: w.request(append(change, func(r *transfer.Request) { r.Route = transfer.RouteRelay })...), sizes: stageSizesOfTests}
	s.probe = w.probe(w.worker("prober"), s.req)
	s.want = tree(t, w.src, "/from")
	s.in = StageInput{Task: testTask, Ends: w.ends(), Policy: s.req.Tuning, OnError: s.req.OnError, Probe: s.probe}
	return s
}

func (s *stager) walk() WalkResult {
	s.t.Helper()
	in := WalkInput{Task: testTask, Ends: s.ends(), Request: s.req, Policy: s.req.Tuning, Probe: s.probe, Ranges: true, Stage: true}
	res, err := s.worker("walker").walkStep(s.ctx(), in, defaultWalkSizes)
	if err != nil || res.Cursor != "" {
		s.t.Fatal(err, res.Cursor)
	}
	s.work = append(s.work, res.Chunks...)
	s.listed(res.Offline)
	return res
}

func (s *stager) listed(l *OfflineList) {
	if l != nil {
		s.in.Lists = append(s.in.Lists, *l)
	}
}

// step runs one step, and records its result.
func (s *stager) step() StageResult {
	s.t.Helper()
	res, err := s.worker("stager").stageStep(s.ctx(), s.in, s.sizes)
	if err != nil {
		s.t.Fatal(err)
	}
	s.record(res)
	return res
}

func (s *stager) record(res StageResult) {
	s.in.Cursor, s.in.Lists, s.in.Done = res.Cursor, nil, nil
	s.work = append(s.work, res.Chunks...)
	s.last = res
}

// copy copies all chunks that there are.
func (s *stager) copy() {
	s.t.Helper()
	for _, c := range s.work {
		in := CopyInput{Task: testTask, Ends: s.ends(), Probe: s.probe, Chunk: c, Options: NewCopyOptions(s.req, s.probe.Route.Path), Schedule: 1, Stage: true}
		res, err := s.worker("copier").copy(s.ctx(), in, nil)
		if err != nil || !res.Complete {
			s.t.Fatalf("chunk %s: %v; %+v", c.ID, err, res)
		}
		s.files += res.Files
		s.listed(res.Offline)
		if c.Staged {
			s.in.Done = append(s.in.Done, c.Sheet)
		}
	}
	s.work = nil
}

// same compares what has arrived with what there was before any of it was
// archived.
func (s *stager) same() {
	s.t.Helper()
	sameTree(s.t, tree(s.t, s.dst, "/to"), s.want)
}

// Files in an archive wait, the others go on, and every one is copied once.
func TestFilesComeFromTheArchive(t *testing.T) {
	s := newStager(t, 20)
	archive := s.src.Archive()
	var away []string
	for i := range 12 {
		away = append(away, fmt.Sprintf("/from/%02d", i))
	}
	archive.Take(away...)
	var mu sync.Mutex
	written := map[string]int{}
	s.dst.Faults().Hook(func(_ context.Context, op memory.Op, p string, _ int64) error {
		mu.Lock()
		defer mu.Unlock()
		if op == memory.Create {
			written[p]++
		}
		return nil
	})
	found := s.walk()
	if found.Found.Files != 20 || found.Offline == nil || found.Offline.Files != 12 || archive.Asked() != 0 {
		t.Fatalf("the walk found %+v, offline %+v", found.Found, found.Offline)
	}
	s.copy()
	if s.files != 8 {
		t.Fatalf("%d files were copied while the others waited", s.files)
	}
	// A step whose result nobody has heard of asks for nothing that the next
	// one does not ask for, too.
	if _, err := s.worker("lost").stageStep(t.Context(), s.in, s.sizes); err != nil {
		t.Fatal(err)
	}
	if res := s.step(); res.Files != 12 || len(res.Chunks) != 0 || len(archive.Coming()) != 12 {
		t.Fatalf("after asking: %+v, coming %v", res, archive.Coming())
	}
	archive.Bring(away[:5]...)
	if res, err := s.worker("lost").stageStep(t.Context(), s.in, s.sizes); err != nil || res.Files != 7 {
		t.Fatalf("%+v, %v", res, err)
	}
	if res := s.step(); res.Files != 7 || len(res.Chunks) != 1 || res.Chunks[0].Files != 5 || !res.Chunks[0].Staged {
		t.Fatalf("five have come: %+v", res)
	}
	s.copy()
	archive.Bring()
	s.step()
	s.copy()
	if res := s.step(); res.Files != 0 || s.files != 20 {
		t.Fatalf("%d files done; %+v", s.files, res)
	}
	if got := archive.Released(); len(got) != 12 {
		t.Errorf("released: %v", got)
	}
	s.same()
	for p, n := range written {
		if n != 1 {
			t.Errorf("%s was written %d times", p, n)
		}
	}
	if n := len(s.keys("offline/")); n > 6 {
		t.Errorf("%d keys are left, and each lost step leaves two", n)
	}
}

func (s *stager) keys(prefix string) (keys []string) {
	s.t.Helper()
	if err := s.blobs.List(s.ctx(), taskKey(testTask)+prefix, func(key string) error {
		keys = append(keys, key)
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return keys
}

// What the listing did not tell is found out by reading, and comes back by the
// same way: small files, files in parts, and files in ranges.
func TestFilesThatTurnOutToBeArchived(t *testing.T) {
	s := newStager(t, 4)
	put(t, s.src, "/from/parts", content(100, 300<<10))
	s.want = tree(t, s.src, "/from")
	found := s.walk()
	if found.Offline != nil {
		t.Fatalf("%+v", found.Offline)
	}
	archive := s.src.Archive()
	archive.Take("/from/01", "/from/parts")
	s.copy()
	if s.files != 3 || len(s.in.Lists) == 0 {
		t.Fatalf("%d files, lists %+v", s.files, s.in.Lists)
	}
	s.step()
	archive.Bring()
	s.step()
	s.copy()
	if s.files != 5 {
		t.Errorf("%d files", s.files)
	}
	s.same()
}

// A worker that is lost after it has set files aside sets no file aside twice.
func TestSettingAsideSurvivesAWorker(t *testing.T) {
	s := newStager(t, 6)
	s.walk()
	s.src.Archive().Take("/from/02", "/from/03")
	in := CopyInput{Task: testTask, Ends: s.ends(), Probe: s.probe, Chunk: s.work[0], Options: NewCopyOptions(s.req, s.probe.Route.Path), Schedule: 1, Stage: true}
	first, err := s.worker("one").copy(t.Context(), in, nil)
	if err != nil || first.Offline == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	in.Schedule = 2 // nobody heard of the first
	second, err := s.worker("two").copy(t.Context(), in, nil)
	if err != nil || second.Offline == nil || *second.Offline != *first.Offline || second.Files != 4 {
		t.Fatalf("%+v, %v; first %+v", second, err, first)
	}
	// Giving the task up does not touch what others may have copied since.
	s.work = nil
	s.listed(second.Offline)
	s.step()
	s.src.Archive().Bring()
	s.step()
	s.copy()
	if _, err := s.worker("three").Finish(t.Context(), FinishInput{Task: testTask, Ends: s.ends(), Probe: s.probe, Options: in.Options, Abandon: true}); err != nil {
		t.Fatal(err)
	}
	s.same()
}

// No more is asked for than the archive has room for, until copies are done.
func TestStagingLimit(t *testing.T) {
	s := newStager(t, 10)
	archive := s.src.Archive()
	for i := range 10 {
		archive.Take(fmt.Sprintf("/from/%02d", i))
	}
	archive.Limit(4)
	s.walk()
	rounds := 0
	for ; s.files < 10 && rounds < 10; rounds++ {
		s.step()
		if n := len(archive.Coming()); n > 4 {
			t.Fatalf("%d files are asked for at once", n)
		}
		archive.Bring()
		s.step()
		s.step() // there is room for nothing while they are online
		if n := len(archive.Coming()); n > 0 {
			t.Fatalf("%d files are asked for beside those that are online", n)
		}
		s.copy()
	}
	if rounds != 3 || s.files != 10 {
		t.Errorf("%d files in %d rounds", s.files, rounds)
	}
	s.same()
}

// A file that the archive has lost is tried again, told of, and keeps nobody.
func TestArchiveThatRefuses(t *testing.T) {
	s := newStager(t, 3)
	archive := s.src.Archive()
	archive.Take("/from/00", "/from/01")
	archive.Refuse("/from/00", fault.New(fault.Unsupported, "stage", "/from/00", "the tape is torn"))
	s.walk()
	s.step()
	archive.Bring()
	tries := 1
	for ; s.last.Files > 0 && tries < 20; tries++ {
		s.step()
	}
	s.copy()
	if s.files != 2 || tries != transfer.TriesRefused || s.last.NFailed != 1 || len(s.last.Failed) != 1 || !strings.Contains(s.last.Failed[0].Message, "torn") {
		t.Errorf("%d files, %d tries, %+v", s.files, tries, s.last)
	}
	if n := len(s.keys("results/stage-")); n != 1 {
		t.Errorf("%d pages of results tell of it", n)
	}
	// One that the archive calls online and that is not is no reason to spin.
	t.Run("lies", func(t *testing.T) {
		s := newStager(t, 1)
		s.sizes.back = time.Hour
		s.src.Archive().Take("/from/00")
		s.walk()
		s.step()
		s.src.Archive().Bring()
		s.step()
		s.src.Faults().Fail(memory.Open, "/from/00", 1, fault.Wrap(fault.Unsupported, "open", "/from/00", endpoints.ErrOffline))
		s.copy()
		if res := s.step(); res.Files != 1 || len(res.Chunks) != 0 || res.Next < time.Second {
			t.Errorf("%+v", res)
		}
	})
}

// An archive that does not answer holds the step up, and nothing is lost of
// what it has said before.
func TestArchiveInTrouble(t *testing.T) {
	s := newStager(t, 6)
	for i := range 6 {
		s.src.Archive().Take(fmt.Sprintf("/from/%02d", i))
	}
	s.walk()
	s.src.Faults().Fail(memory.Stage, "/from/04", 1, fault.New(fault.Credential, "stage", "/from/04", "the ticket has expired"))
	res := s.step()
	if res.Blocked == nil || res.Blocked.Kind != fault.Credential || res.Files != 6 || len(s.src.Archive().Coming()) < 3 {
		t.Fatalf("%+v, coming %v", res, s.src.Archive().Coming())
	}
	s.src.Archive().Bring()
	s.step()
	s.src.Archive().Bring()
	s.step()
	s.copy()
	if s.files != 6 {
		t.Errorf("%d files", s.files)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.worker("stager").StageStep(ctx, s.in); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
}

// What a task that is given up has asked for is released.
func TestStagingIsGivenUp(t *testing.T) {
	s := newStager(t, 6)
	for i := range 5 {
		s.src.Archive().Take(fmt.Sprintf("/from/%02d", i))
	}
	s.walk()
	s.step()
	s.src.Archive().Bring("/from/00")
	s.step()
	for _, c := range s.work {
		if c.Staged {
			s.in.Done = append(s.in.Done, c.Sheet)
		}
	}
	s.in.Abandon = true
	if res := s.step(); res.Files != 0 || len(s.src.Archive().Released()) != 5 || len(s.src.Archive().Coming()) != 0 {
		t.Errorf("%+v; released %v", res, s.src.Archive().Released())
	}
}
