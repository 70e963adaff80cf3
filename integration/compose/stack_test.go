package compose

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
)

// TestSiteMovesData starts the services that have an image of ours, each by its
// own command, and moves a tree through all three GridFTP servers. Temporal,
// which is others', is the embedded one under the same name.
func TestSiteMovesData(t *testing.T) {
	harness.Need(t, "globus-gridftp-server")
	s := newStack(t)
	s.temporal()

	setup := s.run("setup")
	if err := setup.Wait(time.Minute); err != nil {
		t.Fatalf("setup: %v", err)
	}
	if out := setup.Log(); !strings.Contains(out, "GridferryOwner") {
		t.Errorf("setup said %q", out)
	}
	worker := s.run("worker")
	for _, name := range []string{"dtn-a", "dtn-b", "dtn-own"} {
		s.run(name).healthy()
	}
	worker.healthy()

	raw := filepath.Join(s.volumes["dtn-a"], "run7")
	if err := os.Mkdir(raw, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Make(raw, tree.Spec{Seed: 7, Files: 60, Bytes: 20 << 20, Odd: true, Deep: 5, Empties: 2}, nil); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ from, to, volume string }{
		{"gsiftp://dtn-a/data/run7/", "gsiftp://dtn-b/data/copy/", "dtn-b"},
		{"site#b:/data/copy/", "site#own:/copy/", "dtn-own"},
	} {
		if out, err := worker.output(2*time.Minute, "gridferry", "transfer", "-r", "--wait", step.from, step.to); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		_, differences, err := tree.Compare(raw, filepath.Join(s.volumes[step.volume], "copy"))
		if err != nil || len(differences) > 0 {
			t.Errorf("%s to %s: %v %v", step.from, step.to, differences, err)
		}
	}
	if err := worker.stop(time.Minute); err != nil {
		t.Errorf("the worker did not stop in order: %v", err)
	}
}

// temporal starts the embedded server where the stack's own would be.
func (s *stack) temporal() {
	s.t.Helper()
	host := s.hosts["temporal"]
	p := harness.Start(s.t, harness.Command{
		Name:      "temporal",
		Path:      harness.Binary(s.t, "gridferry-standalone"),
		Args:      []string{"temporal", "-host", host.Address, "-port", "7233", "-namespace", "gridferry"},
		Namespace: host.Namespace,
	})
	p.Ready(2*time.Minute, func() error {
		if !strings.Contains(p.Log(), host.Address+":7233") {
			return errors.New("it has not said where it is")
		}
		return nil
	})
}

func TestMyProxyServerAnswers(t *testing.T) {
	harness.Need(t, "myproxy-server")
	s := newStack(t)
	s.run("myproxy").healthy()
}
