package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// secret writes a secret as an operator does.
func secret(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(p, []byte(text+"\n"), 0o600))
	return p
}

// received is what a web server was sent.
type received struct {
	mu     sync.Mutex
	header []http.Header
	body   [][]byte
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header, r.body = append(r.header, req.Header), append(r.body, body)
	w.WriteHeader(http.StatusAccepted)
}

func (r *received) all() ([]http.Header, [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.header, r.body
}

// TestMail follows a task that succeeds and one that fails to the mail that
// its owner reads, over STARTTLS, and to a web hook.
func TestMail(t *testing.T) {
	t.Parallel()
	ca := gsitest.NewCA(t)
	cert, key := ca.PairFiles(ca.Host("127.0.0.1"))
	authority, err := filepath.Glob(filepath.Join(ca.Dir, "*.0"))
	must(t, err)
	box := newMailbox(t, cert, key)
	hook := &received{}
	web := httptest.NewServer(hook)
	defer web.Close()
	const webSecret = "a secret of 24 bytes and more"
	s := newSite(t, fmt.Sprintf(`from: ferry@example.org, owners: {"*": "owner@example.org,failed"}, smtp: {server: %q, ca_file: %q}, webhook: {url: %q, secret_file: %q}`,
		box.address, authority[0], web.URL, secret(t, webSecret)))
	s.Daemon(t, "gridferryd")

	good := s.submit("results.dat", "ada@example.org,succeeded")
	bad := s.submit("missing.dat", "")
	if task := s.ended(good); task.Status != transfer.Succeeded {
		t.Fatalf("the good task: %s", task.Verdict)
	}
	if task := s.ended(bad); task.Status != transfer.Failed {
		t.Fatalf("the bad task: %s", task.Status)
	}
	harness.Eventually(t, time.Minute, func() error {
		if n, hooks := len(box.letters()), len(hook.bodies()); n < 2 || hooks < 2 {
			return fmt.Errorf("%d mails and %d requests", n, hooks)
		}
		return nil
	})
	for _, l := range box.letters() {
		id, want := good, []string{"Status: SUCCEEDED", "Files: 1", "Bytes: 3 (3 B)"}
		switch to := l.Get("To"); to {
		case "<ada@example.org>":
		case "<owner@example.org>":
			id, want = bad, []string{"Status: FAILED", "no such file", "gridferry events " + string(bad)}
		default:
			t.Errorf("a mail to %s", to)
		}
		want = append(want, "Task ID: "+string(id), "Task Type: TRANSFER", "Source: file://here (file://here"+s.Files, "Destination: file://here (file://here"+s.Files,
			"Label: beam time 7", "Faults:", "URL: http://temporal.example.org:8233/namespaces/"+s.Temporal.Namespace+"/workflows/"+string(id))
		text := strings.Join(strings.Fields(l.text), " ")
		for _, words := range want {
			if !strings.Contains(text, words) {
				t.Errorf("the mail does not say %q:\n%s", words, l.text)
			}
		}
		if !strings.Contains(l.html, "<td>"+string(id)+"</td>") {
			t.Errorf("the HTML:\n%s", l.html)
		}
		if l.Get("From") != "<ferry@example.org>" || !strings.HasSuffix(l.Get("Message-Id"), "@example.org>") || l.Get("Auto-Submitted") != "auto-generated" {
			t.Errorf("headers %v", l.Header)
		}
	}
	headers, bodies := hook.all()
	for i, body := range bodies {
		mac := hmac.New(sha256.New, []byte(webSecret))
		fmt.Fprintf(mac, "%s.%s.%s", headers[i].Get("Webhook-Id"), headers[i].Get("Webhook-Timestamp"), body)
		if got := headers[i].Get("Webhook-Signature"); got != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Errorf("signed %q", got)
		}
		var told struct {
			Type string
			Data transfer.Notice
		}
		must(t, json.Unmarshal(body, &told))
		if (told.Data.Task.ID == good) != (told.Type == "task.succeeded") {
			t.Errorf("%s is told of %s", told.Type, told.Data.Task.ID)
		}
	}
	if len(box.letters()) != 2 || len(bodies) != 2 {
		t.Errorf("%d mails and %d requests, of two events", len(box.letters()), len(bodies))
	}
}

func (r *received) bodies() [][]byte {
	_, bodies := r.all()
	return bodies
}

// TestSendGrid sends the same through a double of SendGrid's API.
func TestSendGrid(t *testing.T) {
	t.Parallel()
	api := &received{}
	web := httptest.NewServer(api)
	defer web.Close()
	s := newSite(t, fmt.Sprintf(`from: ferry@example.org, sendgrid: {url: %q, key_file: %q}`, web.URL, secret(t, "SG.key")))
	s.Daemon(t, "gridferryd")
	s.ended(s.submit("results.dat", "ada@example.org"))
	harness.Eventually(t, time.Minute, func() error {
		if n := len(api.bodies()); n != 1 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	headers, bodies := api.all()
	var sent struct {
		Personalizations []struct{ To []struct{ Email string } }
		Content          []struct{ Type, Value string }
	}
	must(t, json.Unmarshal(bodies[0], &sent))
	if headers[0].Get("Authorization") != "Bearer SG.key" || len(sent.Content) != 2 ||
		len(sent.Personalizations) != 1 || sent.Personalizations[0].To[0].Email != "ada@example.org" {
		t.Errorf("%s", bodies[0])
	}
}
