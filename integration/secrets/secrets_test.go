package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
)

// TestNowhere plants secrets, and canaries beside them; activates endpoints in
// all ways, and in all ways wrongly; runs tasks that succeed, fail and wait for
// a credential; and then searches everything.
func TestNowhere(t *testing.T) {
	s := newSite(t)
	p := plant(s)
	s.mistakes(p)
	s.work(p)
	p.addKept(s)
	histories := s.histories()
	for _, endpoint := range []string{viaMyProxy, viaProxy, viaSigned} {
		s.good("", "endpoint", "deactivate", endpoint)
	}

	search := NewSearcher(p.secrets...)
	for _, process := range []*harness.Process{s.worker, s.control, s.temporal.Process} {
		process.Freeze()
	}
	log := func(text string) func(string) ([]Finding, error) {
		return func(at string) (found []Finding, _ error) {
			for line := range strings.Lines(text) {
				found = merge(found, search.Search(at, []byte(line)))
			}
			return found, nil
		}
	}
	memory := func(process *harness.Process) func(string) ([]Finding, error) {
		return func(at string) ([]Finding, error) {
			found, err := search.Memory(at, process.PID())
			if errors.Is(err, fs.ErrPermission) {
				harness.Lacking(t, "needs the right to read the memory of the processes it has started (ptrace)")
			}
			return found, err
		}
	}
	for _, place := range []struct {
		name     string
		canaries []string // that must be there
		search   func(place string) ([]Finding, error)
	}{
		{"Temporal's database", []string{label, fileName}, func(at string) ([]Finding, error) {
			return search.SQLite(t, at, s.database)
		}},
		{"the histories", []string{label, fileName}, func(at string) (found []Finding, _ error) {
			for _, h := range histories {
				more, err := search.History(at, h)
				if err != nil {
					return nil, err
				}
				found = merge(found, more)
			}
			return found, nil
		}},
		{"the store", []string{label, fileName}, func(at string) ([]Finding, error) {
			return search.SQLite(t, at, filepath.Join(s.data, "store.db"))
		}},
		{"the blobs", []string{fileName}, func(at string) ([]Finding, error) {
			return search.Directory(at, filepath.Join(s.data, "blobs"))
		}},
		{"the worker's directory", nil, func(at string) ([]Finding, error) { return search.Directory(at, s.own) }},
		{"the worker's memory", []string{fileName}, memory(s.worker)},
		{"Temporal's memory", []string{label, fileName}, memory(s.temporal.Process)},
		{"the control daemon's log", []string{label, fileName}, log(s.control.Log())},
		{"the worker's log", []string{fileName}, log(s.worker.Log())},
		{"Temporal's log", nil, log(s.temporal.Log())},
		{"the MyProxy server's log", nil, log(s.myproxy.Log())},
		{"the GridFTP servers' logs", []string{fileName}, log(s.src.SessionLog() + s.dst.SessionLog())},
		{"what commands said", []string{label, fileName}, log(strings.Join(s.said, "\n"))},
	} {
		found, err := place.search(place.name)
		must(t, err)
		for _, f := range found {
			if !canary(f) {
				t.Errorf("found: %s", f)
			}
		}
		proven(t, place.name, found, place.canaries...)
	}

	// The daemon that takes credentials and opens the vault cannot but have had
	// them all in its memory, where Go leaves them until it is used again; all
	// but the key that was never given to it.
	found, err := memory(s.control)("the control daemon's memory")
	must(t, err)
	proven(t, "the control daemon's memory", found, label, fileName)
	left := map[string]bool{}
	for _, f := range found {
		if f.Secret == userKey {
			t.Errorf("found: %s", f)
		}
		if !canary(f) && !left[f.Secret] {
			left[f.Secret] = true
			t.Logf("still in the control daemon's memory: %s", f.Secret)
		}
	}
}

func canary(f Finding) bool { return f.Secret == label || f.Secret == fileName }

// proven fails the test when the search has not found what is there.
func proven(t *testing.T, place string, found []Finding, canaries ...string) {
	t.Helper()
	for _, want := range canaries {
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Secret == want }) {
			t.Errorf("%s was not found in %s: the search proves nothing there", want, place)
		}
	}
}

// mistakes is what is refused, with the secret in hand.
func (s *site) mistakes(p *planted) {
	s.t.Helper()
	file := s.ca.ProxyFile(p.pasted)
	text, err := os.ReadFile(file)
	must(s.t, err)
	pem := string(text)
	byFile := func(endpoint, file string) []string {
		return []string{"endpoint", "activate", endpoint, "--proxy-file", file}
	}
	for _, m := range []struct {
		stdin string
		args  []string
		words string
	}{
		{p.wrong, logOn(viaMyProxy, "ada"), "wrong pass phrase"},
		{p.right, logOn(viaMyProxy, "nobody"), "check the user"},
		{p.right, logOn(unready, "ada"), "127.0.0.1:1"},
		{p.right, logOn("lab#none", "ada"), "no such endpoint"},
		{p.right, logOn(viaProxy, "ada"), "names no MyProxy server"},
		{"", byFile(viaProxy, file), "no key is kept here for so long"},
		{pem[:len(pem)/2], byFile(viaProxy, "-"), "your proxy"},
		{pem, byFile(pem, "-"), "(a private key)"},
		{"", []string{"identity", "add", "ssh", "--", pem}, "never a key or a password"},
		{"", []string{"identity", "add", "ssh", pem}, "(a private key)"},
	} {
		if said, code := s.run(m.stdin, m.args...); code == 0 || !strings.Contains(said, m.words) {
			s.t.Errorf("gridferry %s ended with %d, and nothing of %q: %s", strings.Join(m.args[:2], " "), code, m.words, said)
		}
	}
}

func logOn(endpoint, user string) []string {
	return []string{"endpoint", "activate", endpoint, "--myproxy", "--user", user, "--passphrase-stdin"}
}

// work activates the endpoints and runs tasks there. The credential of one is
// about to end, so that its task waits for another.
func (s *site) work(p *planted) {
	s.t.Helper()
	dir := "run-" + p.fileName
	must(s.t, os.Mkdir(s.src.Path(dir), 0o755))
	for i := range 40 {
		must(s.t, os.WriteFile(filepath.Join(s.src.Path(dir), fmt.Sprintf("%s-%d.dat", p.fileName, i)), []byte("42\n"), 0o600))
	}
	s.good("", "identity", "add", "x509", "/O=Test/CN=Ada")
	s.good(p.right, logOn(viaMyProxy, "ada")...)
	s.good("", "endpoint", "activate", viaSigned, "--delegate", "--proxy-file", s.ca.ProxyFile(p.own))
	s.good("", "endpoint", "activate", viaProxy, "--proxy-file", s.ca.ProxyFile(p.soon()))

	title := "beam time " + p.label
	from := func(endpoint, name string) string { return endpoint + ":" + s.src.Path(name) + "/" }
	to := func(name string) string { return viaSigned + ":" + s.dst.Path(name) + "/" }
	suspended := s.submit(title, from(viaProxy, dir), from(viaProxy, "copied"))
	succeeding := s.submit(title, from(viaMyProxy, dir), to(dir))
	failing := s.submit(title, from(viaMyProxy, "no-"+p.fileName), to("none"))
	s.becomes(succeeding, transfer.Succeeded)
	s.becomes(failing, transfer.Failed)
	s.becomes(suspended, transfer.Inactive)

	harness.Eventually(s.t, 30*time.Second, func() error {
		if time.Now().Before(p.brief.NotAfter()) {
			return fmt.Errorf("the proxy lives until %s", p.brief.NotAfter())
		}
		return nil
	})
	if said, code := s.run("", "endpoint", "activate", viaProxy, "--proxy-file", s.ca.ProxyFile(p.brief)); code == 0 || !strings.Contains(said, "expired") {
		s.t.Errorf("an expired proxy: %d, %s", code, said)
	}
	s.good("", "endpoint", "activate", viaProxy, "--proxy-file", s.ca.ProxyFile(p.lasting))
	s.becomes(suspended, transfer.Succeeded)
	for _, command := range [][]string{
		{"endpoint", "status", "--json"}, {"identity", "list", "--json"}, {"tasks", "--json"},
		{"details", string(failing)}, {"details", string(failing), "--json"}, {"events", string(suspended)}, {"results", string(succeeding)},
	} {
		s.good("", command...)
	}
}

// histories are those of all workflows.
func (s *site) histories() []*historypb.History {
	s.t.Helper()
	c := s.temporal.Client()
	var all []*historypb.History
	list, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
	must(s.t, err)
	for _, e := range list.GetExecutions() {
		h := new(historypb.History)
		for events := c.GetWorkflowHistory(s.t.Context(), e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			event, err := events.Next()
			must(s.t, err)
			h.Events = append(h.Events, event)
		}
		all = append(all, h)
	}
	if len(all) < 3 {
		s.t.Fatalf("%d histories of three tasks", len(all))
	}
	return all
}
