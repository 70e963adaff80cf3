package gridftp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// files returns n files, of 10 bytes each.
func files(n int) []File {
	out := make([]File, n)
	for i := range out {
		out[i] = File{Source: fmt.Sprintf("/s%d", i), Dest: fmt.Sprintf("/d%d", i), Size: 10, Key: i}
	}
	return out
}

func handOut(files []File) func(context.Context) (File, bool) {
	i := 0
	return func(context.Context) (File, bool) {
		if i == len(files) {
			return File{}, false
		}
		i++
		return files[i-1], true
	}
}

// stored is a destination's answer to STOR: markers for n bytes, then 226.
func stored(n int) string {
	return strings.TrimSpace(fmt.Sprintf("125 on\n112-Perf Marker\n Stripe Index: 0\n Stripe Bytes Transferred: %d\n Total Stripe Count: 1\n112 End.\n111 Range Marker 0-%d\n226 done", n, n))
}

// moveAll moves files between two fakes and returns the outcomes.
func moveAll(t *testing.T, src, dst *fakeServer, o Options, files []File) ([]Outcome, error) {
	t.Helper()
	var mu sync.Mutex
	var out []Outcome
	err := ThirdParty(bounded(t), src.dial(), dst.dial(), o, handOut(files), Observer{Done: func(o Outcome) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, o)
	}})
	return out, err
}

func TestThirdPartyInOrder(t *testing.T) {
	src := newFake(t, answers(map[string]string{"RETR": "125 on\n226 done", "CKSM": "213 aa"}))
	dst := newFake(t, func(_ *fakeSession, verb, argument string) string {
		switch verb {
		case "STOR":
			return stored(10)
		case "CKSM":
			return "213 bb"
		}
		return ""
	})
	const n = 250
	out, err := moveAll(t, src, dst, Options{Window: 40, Checksum: "MD5"}, files(n))
	if err != nil || len(out) != n {
		t.Fatalf("%d outcomes, %v", len(out), err)
	}
	for i, o := range out {
		if o.Index != i || o.Key != i || o.Bytes != 10 || o.SourceSum != "aa" || o.DestSum != "bb" || o.Suspect {
			t.Fatalf("outcome %d is %+v", i, o)
		}
	}
	passive := 0
	for _, line := range dst.heardLines() {
		if line == "PASV" {
			passive++
		}
	}
	if passive != 1 {
		t.Errorf("%d PASV for one run", passive)
	}
}

// TestThirdPartyWindow: no more files are asked for than the window holds.
func TestThirdPartyWindow(t *testing.T) {
	src := newFake(t, answers(map[string]string{"RETR": "-"}))
	dst := newFake(t, answers(map[string]string{"STOR": "-"}))
	ctx, cancel := context.WithCancel(bounded(t))
	taken := make(chan int, 100)
	done := make(chan error)
	i := 0
	go func() {
		done <- ThirdParty(ctx, src.dial(), dst.dial(), Options{Window: 7}, func(context.Context) (File, bool) {
			taken <- i
			i++
			return files(100)[i-1], true
		}, Observer{})
	}()
	stor := func() int { return strings.Count(strings.Join(dst.heardLines(), "\n"), "STOR") }
	eventually(t, "the window is full", func() bool { return stor() == 7 })
	cancel()
	var failure *PipelineError
	if err := <-done; !errors.As(err, &failure) || !errors.Is(err, context.Canceled) || failure.Index != -1 || failure.Side != "" || len(failure.Suspect) != 7 {
		t.Errorf("cancelling gave %+v", failure)
	}
	if len(taken) != 7 {
		t.Errorf("%d files were taken", len(taken))
	}
}

// TestBlame: what ended a run is told apart from what followed from it.
func TestBlame(t *testing.T) {
	retr := func(script func(s *fakeSession, i int) string) func(*fakeSession, string, string) string {
		i := -1
		return func(s *fakeSession, verb, _ string) string {
			if verb != "RETR" && verb != "STOR" {
				return ""
			}
			i++
			return script(s, i)
		}
	}
	good := func(*fakeSession, int) string { return "125 on\n226 done" }
	refuse := func(at int, reply string) func(*fakeSession, int) string {
		return func(_ *fakeSession, i int) string {
			if i == at {
				return reply
			}
			if i > at {
				return "-"
			}
			return "125 on\n226 done"
		}
	}
	for name, test := range map[string]struct {
		src, dst func(*fakeSession, int) string
		side     Side
		index    int
		done     int
		text     string
	}{
		"the source refuses":            {refuse(3, "550 no such file"), good, SourceSide, 3, -1, "no such file"},
		"the destination refuses":       {good, refuse(3, "553 no space left"), DestSide, 3, 3, "no space left"},
		"the first file":                {refuse(0, "550 no such file"), good, SourceSide, 0, 0, "no such file"},
		"the last file":                 {good, refuse(9, "550 no"), DestSide, 9, 9, "no"},
		"an answer that is no transfer": {good, refuse(2, "200 ok"), DestSide, 2, 2, "200"},
		// The source's connection broke because the destination refused; its
		// complaint comes first.
		"the consequence first": {
			refuse(2, "426 connection closed"),
			func(_ *fakeSession, i int) string {
				if i == 2 {
					time.Sleep(100 * time.Millisecond)
					return "552 quota exceeded"
				}
				if i > 2 {
					return "-"
				}
				return "125 on\n226 done"
			}, DestSide, 2, 2, "quota exceeded"},
		"a broken data channel alone": {refuse(2, "426 connection closed"), refuse(2, "-"), SourceSide, 2, 2, "connection closed"},
		"a lost connection": {func(s *fakeSession, i int) string {
			if i == 2 {
				s.Close()
			}
			return "125 on\n226 done"
		}, refuse(4, "-"), SourceSide, -1, -1, "EOF"},
	} {
		t.Run(name, bubble(func(t *testing.T) {
			src, dst := newPiped(t, retr(test.src)), newPiped(t, retr(test.dst))
			out, err := moveAll(t, src, dst, Options{Window: 20}, files(10))
			var failure *PipelineError
			if !errors.As(err, &failure) {
				t.Fatalf("got %v", err)
			}
			if failure.Side != test.side || failure.Index != test.index || !strings.Contains(err.Error(), test.text) {
				t.Errorf("blamed %d at the %s: %v", failure.Index, failure.Side, err)
			}
			if test.index >= 0 && failure.File.Key != test.index {
				t.Errorf("file %d has index %d", failure.File.Key, failure.Index)
			}
			if test.done >= 0 && failure.Done > test.done || test.index >= 0 && failure.Done > test.index {
				t.Errorf("%d files were called done", failure.Done)
			}
			if failure.Done+len(failure.Suspect) != 10 || len(out) != 10 {
				t.Errorf("%d done, %d suspect, %d reported of 10", failure.Done, len(failure.Suspect), len(out))
			}
			for i, o := range out {
				if o.Suspect != (i >= failure.Done) || (o.Err != nil) != (i == failure.Index) {
					t.Errorf("outcome %d is %+v", i, o)
				}
			}
		}))
	}
}

// TestCounts: a file whose markers do not add up is not done.
func TestCounts(t *testing.T) {
	src := newFake(t, answers(map[string]string{"RETR": "125 on\n226 done"}))
	for _, n := range []int{0, 9, 11} {
		count := -1
		dst := newFake(t, func(_ *fakeSession, verb, _ string) string {
			if verb != "STOR" {
				return ""
			}
			if count++; count == 4 {
				return stored(n)
			}
			return stored(10)
		})
		_, err := moveAll(t, src, dst, Options{Window: 3}, files(10))
		var failure *PipelineError
		var wrong *CountError
		if !errors.As(err, &failure) || !errors.As(err, &wrong) || failure.Index != 4 || failure.Done != 4 || wrong.Have != int64(n) || wrong.Want != 10 {
			t.Errorf("%d bytes: got %v", n, err)
		}
	}
}

// TestQuietCounts: a server that ends files with range markers is told to leave
// the others out, and then has stored nothing where it says nothing - unless it
// would not be told.
func TestQuietCounts(t *testing.T) {
	src := newFake(t, answers(map[string]string{"RETR": "125 on\n226 done"}))
	for _, told := range []string{"200 ok", "500 what?"} {
		count := -1
		dst := newFake(t, func(_ *fakeSession, verb, argument string) string {
			switch verb {
			case "":
				return "220 fake GridFTP Server ready"
			case "TREV":
				if argument != "PERF -1" {
					t.Errorf("TREV %s", argument)
				}
				return told
			case "STOR":
				if count++; count == 4 {
					return "125 on\n226 done"
				}
				return "125 on\n111 Range Marker 0-10\n226 done"
			}
			return ""
		})
		out, err := moveAll(t, src, dst, Options{Window: 3}, files(10))
		if told == "500 what?" {
			if err != nil || len(out) != 10 || out[4].Bytes != -1 {
				t.Errorf("a server that is not quiet: %d outcomes, %v", len(out), err)
			}
			continue
		}
		var failure *PipelineError
		var wrong *CountError
		if !errors.As(err, &failure) || !errors.As(err, &wrong) || failure.Index != 4 || wrong.Have != 0 || wrong.Want != 10 {
			t.Errorf("a quiet server: %v", err)
		}
	}
}

// TestStall: silence is named, with the addresses; silence in which the server
// computes a checksum is not.
func TestStall(t *testing.T) { synctest.Test(t, testStall) }

func testStall(t *testing.T) {
	src := newPiped(t, answers(map[string]string{"RETR": "-"}))
	dst := newPiped(t, answers(map[string]string{"STOR": "150 opening\n112-Perf Marker\n Stripe Bytes Transferred: 0\n112 End"}))
	_, err := moveAll(t, src, dst, Options{FirstByte: 50 * time.Millisecond}, files(3))
	var stall *StallError
	if !errors.As(err, &stall) || !stall.First || !stall.Timeout() || !strings.Contains(err.Error(), "127.0.0.1 to [127.0.0.1:2000]") {
		t.Errorf("a blocked channel gave %v", err)
	}
	dst = newPiped(t, answers(map[string]string{"STOR": "150 opening\n111 Range Marker 0-5"}))
	_, err = moveAll(t, src, dst, Options{FirstByte: time.Minute, Stall: 50 * time.Millisecond}, files(3))
	if !errors.As(err, &stall) || stall.First {
		t.Errorf("a channel that stopped gave %v", err)
	}
	src = newPiped(t, answers(map[string]string{"RETR": "125 on\n226 done", "CKSM": "213 aa"}))
	var slow sync.Once // longer than the stall, and than it takes to look for one
	dst = newPiped(t, func(_ *fakeSession, verb, _ string) string {
		switch verb {
		case "STOR":
			return stored(10)
		case "CKSM":
			slow.Do(func() { time.Sleep(watchInterval + time.Second) })
			return "213 aa"
		}
		return ""
	})
	if _, err = moveAll(t, src, dst, Options{Stall: time.Second, Checksum: "MD5"}, files(3)); err != nil {
		t.Errorf("a slow checksum gave %v", err)
	}
}

func TestFileChecks(t *testing.T) {
	for name, f := range map[string]File{
		"part backwards":         {Source: "/s", Dest: "/d", Part: &Range{5, 5}},
		"part and restart":       {Source: "/s", Dest: "/d", Part: &Range{5, 6}, Have: RangeSet{{0, 1}}},
		"more than there is":     {Source: "/s", Dest: "/d", Size: 5, Have: RangeSet{{0, 6}}},
		"gaps in stream mode":    {Source: "/s", Dest: "/d", Size: -1, Have: RangeSet{{0, 1}, {2, 3}}},
		"a gap at the beginning": {Source: "/s", Dest: "/d", Size: -1, Have: RangeSet{{2, 3}}},
	} {
		if f.check(Stream) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	src, dst := newFake(t, answers(map[string]string{"RETR": "226 done"})), newFake(t, answers(map[string]string{"STOR": "226 done"}))
	list := files(3)
	list[1].Dest = "/x\nQUIT"
	_, err := moveAll(t, src, dst, Options{}, list)
	var failure *PipelineError
	if !errors.As(err, &failure) || failure.Index != 1 || failure.Side != "" {
		t.Errorf("got %v", err)
	}
}

// TestSameChannels: data connections serve the next run of the same pair, and
// nothing else does.
func TestSameChannels(t *testing.T) {
	src, dst := newFake(t, answers(map[string]string{"RETR": "226 done"})), newFake(t, answers(map[string]string{"STOR": "226 done"}))
	a, b := src.dial(), dst.dial()
	passive := func() int { return strings.Count(strings.Join(dst.heardLines(), "\n"), "PASV") }
	for i, step := range []struct {
		o    Options
		want int
	}{{Options{}, 1}, {Options{Window: 3}, 1}, {Options{Parallelism: 2}, 2}, {Options{Mode: Stream}, 5}, {Options{Parallelism: 2}, 6}} {
		if err := ThirdParty(bounded(t), a, b, step.o, handOut(files(3)), Observer{}); err != nil {
			t.Fatal(err)
		}
		if got := passive(); got != step.want {
			t.Errorf("after step %d: %d PASV, want %d", i, got, step.want)
		}
	}
}
