package posix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// site is a directory and a command for it, in the language of the shell.
func site(t *testing.T, script string) *Archive {
	t.Helper()
	dir := t.TempDir()
	root, command := filepath.Join(dir, "data"), filepath.Join(dir, "stage")
	for _, err := range []error{
		os.Mkdir(root, 0o700),
		os.WriteFile(filepath.Join(root, "a"), []byte("a"), 0o600),
		os.WriteFile(filepath.Join(root, "empty"), nil, 0o600),
		os.WriteFile(command, []byte("#!/bin/sh\n"+script), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{Mounts: map[string]string{"/": root}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return NewArchive(s, command, root)
}

func TestStageCommand(t *testing.T) {
	a := site(t, `tr '\0' '\n' | while read -r p; do
echo "$1 $p" >> "${0%/*}/log"
case "$1 $p" in
release*) ;;
*/torn) echo "refused the tape is torn" ;;
request*) echo coming ;;
*/a) echo online ;;
*) echo offline ;;
esac; done
`)
	ctx, paths := t.Context(), []string{"/a", "/b c", "/torn"}
	asked, err := a.StageRequest(ctx, paths)
	if err != nil || asked[0].State != endpoints.StageComing || asked[1].State != endpoints.StageComing || asked[2].State != endpoints.StageRefused ||
		!fault.Is(asked[2].Err, fault.Unsupported) || !strings.Contains(asked[2].Err.Error(), "/torn: the archive refuses it: the tape is torn") {
		t.Errorf("request: %+v, %v", asked, err)
	}
	polled, err := a.StagePoll(ctx, paths)
	if err != nil || polled[0].State != endpoints.StageOnline || polled[1].State != endpoints.StageOffline {
		t.Errorf("poll: %+v, %v", polled, err)
	}
	if err := a.StageRelease(ctx, paths[:1]); err != nil {
		t.Error(err)
	}
	log, err := os.ReadFile(filepath.Join(filepath.Dir(a.command), "log"))
	if err != nil || !strings.Contains(string(log), "request "+a.root+"/b c\n") || !strings.HasSuffix(string(log), "release "+a.root+"/a\n") {
		t.Errorf("the command was told:\n%s%v", log, err)
	}
	for name, want := range map[string]bool{"/a": true, "/empty": false, "/": false} {
		if e, err := a.Stat(ctx, name); err != nil || e.Offline != want {
			t.Errorf("stat %s: %+v, %v", name, e, err)
		}
	}
	if err := a.List(ctx, "/", func(page []endpoints.Entry) error {
		for _, e := range page {
			if e.Offline != (e.Name == "a") {
				t.Errorf("listed: %+v", e)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A command that does not keep to the protocol is named, and told of.
func TestStageCommandsThatFail(t *testing.T) {
	for what, c := range map[string]struct {
		script string
		kind   fault.Kind
		says   string
	}{
		"a status":       {"echo no robot free >&2; exit 3", fault.Transient, "no robot free"},
		"too few lines":  {"echo online", fault.Internal, "1 lines to 2 paths"},
		"another word":   {"echo online; echo maybe", fault.Internal, `"maybe" is no answer`},
		"offline, asked": {"echo online; echo offline", fault.Internal, `"offline" is no answer`},
		"a flood":        {"head -c 1000000 /dev/zero", fault.Internal, "more than a line"},
		"a long time":    {"exec sleep 60", fault.Transient, "did not end within"},
	} {
		a := site(t, c.script)
		a.timeout = time.Minute
		if what == "a long time" {
			a.timeout = 50 * time.Millisecond
		}
		_, err := a.StageRequest(t.Context(), []string{"/a", "/b"})
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), a.command) {
			t.Errorf("%s: %s: %v", what, fault.KindOf(err), err)
		}
	}
}
