package wire_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp"
)

// TestG1 refuses one file at every position of a pipeline, at either side, and
// checks what a caller may rely on: nothing that was reported done is wrong,
// everything else is named suspect, and running the suspects again, as a
// caller does, leaves every file with its own bytes and the refused name with
// what it held before.
func TestG1(t *testing.T) {
	w := newWorld(t)
	a, b := w.server(), w.server()
	const files = 9
	for _, side := range []gridftp.Side{gridftp.SourceSide, gridftp.DestSide} {
		for position := range files {
			for _, window := range []int{3, files} {
				t.Run(fmt.Sprintf("%s/%d of %d, window %d", side, position, files, window), func(t *testing.T) {
					injectFailure(t, w, a, b, side, position, files, window)
				})
			}
		}
	}
}

func injectFailure(t *testing.T, w *world, a, b *globus.Server, side gridftp.Side, position, n, window int) {
	dir := t.Name()
	var files []gridftp.File
	for i := range n {
		// Sizes from nothing up, so that a neighbour's bytes show in the count
		// sometimes and only in the content at others.
		size := []int{100, 100, 0, 3000, 100, 70_000, 0, 100}[i%8]
		name := fmt.Sprintf("%s/f%d", dir, i)
		if i != position || side != gridftp.SourceSide {
			write(t, a, name, content(i, size))
		}
		write(t, b, name, []byte("old "+name))
		temporary := fmt.Sprintf("%s/.f%d.part", dir, i)
		if i == position && side == gridftp.DestSide {
			temporary = dir + "/no such folder/f"
		}
		files = append(files, gridftp.File{Source: a.Path(name), Dest: b.Path(temporary), Size: int64(size), Key: i})
	}

	done := map[int]bool{}
	var failed []int
	todo := files
	for attempt := 0; len(todo) > 0; attempt++ {
		if attempt > 2*n {
			t.Fatalf("still %d files to do after %d attempts", len(todo), attempt)
		}
		if attempt > 0 {
			window = max(1, window/3)
		}
		src, dst := w.dial(a), w.dial(b)
		var reported []gridftp.Outcome
		err := gridftp.ThirdParty(bounded(t), src, dst, gridftp.Options{Window: window}, list(todo), gridftp.Observer{
			Done: func(o gridftp.Outcome) { reported = append(reported, o) },
		})
		for i, o := range reported {
			if o.Key != todo[i].Key || o.Index != i {
				t.Fatalf("outcome %d is of file %d, index %d", i, o.Key, o.Index)
			}
			if o.Suspect {
				continue
			}
			if done[o.Key] {
				t.Errorf("file %d was reported done twice", o.Key)
			}
			done[o.Key] = true
			// The caller's part: only what is proven gets its name.
			must(t, os.Rename(o.Dest, b.Path(fmt.Sprintf("%s/f%d", dir, o.Key))))
		}
		if err == nil {
			if len(reported) != len(todo) {
				t.Fatalf("success, but %d of %d files were reported", len(reported), len(todo))
			}
			break
		}
		var failure *gridftp.PipelineError
		if !errors.As(err, &failure) {
			t.Fatal(err)
		}
		if src.Err() == nil || dst.Err() == nil {
			t.Error("a session outlived the failure")
		}
		if failure.Side != side || failure.File.Key != position {
			t.Fatalf("blamed file %d at the %s: %v", failure.File.Key, failure.Side, err)
		}
		var refusal *gridftp.ReplyError
		if !errors.As(err, &refusal) || !refusal.NotFound() {
			t.Errorf("the error is not the server's refusal: %v", err)
		}
		if failure.Done+len(failure.Suspect) != len(reported) {
			t.Errorf("%d done and %d suspect, but %d reported", failure.Done, len(failure.Suspect), len(reported))
		}
		for i, f := range failure.Suspect {
			if o := reported[failure.Done+i]; !o.Suspect || o.Key != f.Key || (o.Err != nil) != (f.Key == position) {
				t.Errorf("suspect %d was reported as %+v", f.Key, o)
			}
		}
		failed = append(failed, failure.File.Key)
		// Run again what is not proven, without the file that was refused.
		var rest []gridftp.File
		for _, f := range todo {
			if !done[f.Key] && f.Key != failure.File.Key {
				_ = os.Remove(f.Dest) // it may not have been made
				rest = append(rest, f)
			}
		}
		todo = rest
	}
	if len(failed) != 1 || failed[0] != position {
		t.Errorf("files %v were blamed, want %d alone", failed, position)
	}
	for i, f := range files {
		final := b.Path(fmt.Sprintf("%s/f%d", dir, i))
		if i == position {
			want(t, final, []byte(fmt.Sprintf("old %s/f%d", dir, i)))
			continue
		}
		if !done[i] {
			t.Errorf("file %d was never done", i)
		}
		want(t, final, content(i, int(f.Size)))
	}
}
