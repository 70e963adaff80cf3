package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// marks are kept in memory.
type marks struct {
	mu    sync.Mutex
	sent  map[string]bool
	begun map[string]int
	fail  error // of EndNotice
}

func newMarks() *marks { return &marks{sent: map[string]bool{}, begun: map[string]int{}} }

func (m *marks) BeginNotice(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun[id]++
	return m.sent[id], nil
}

func (m *marks) EndNotice(ctx context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.sent[id] = true
	return ctx.Err()
}

func secretFile(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(p, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func notice(kind transfer.NoticeKind, to string) transfer.Notice {
	return transfer.Notice{ID: "t-1/" + string(kind), Kind: kind, To: to, Task: transfer.Task{
		ID: "t-1", Type: "TRANSFER", Status: transfer.Succeeded, Owner: "ada", Label: "run 7",
		Source: "lab#dtn:/data/7", Destination: "gsiftp://archive.example.org:2811/7",
		Requested: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Completed: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC),
		Progress: transfer.Progress{Files: 3, FilesDone: 3, Bytes: 1 << 20, BytesDone: 1 << 20, Rate: 5e6, Faults: 2},
	}}
}

// hooks records what a web server is sent.
type hooks struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   [][]byte
	answers  []int // in turn; then 200
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a short one shows in the signature
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests, h.bodies = append(h.requests, r), append(h.bodies, body)
	if len(h.answers) > 0 {
		w.WriteHeader(h.answers[0])
		h.answers = h.answers[1:]
	}
}

func newNotifier(t *testing.T, c Config, m Marks) *Notifier {
	t.Helper()
	n, err := New(c, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range n.channels {
		if w, ok := ch.(*webhook); ok {
			w.pause = func(int) time.Duration { return 0 }
		}
	}
	return n
}

func TestTheTextSaysWhatHappened(t *testing.T) {
	var out bytes.Buffer
	n := newNotifier(t, Config{Stream: &Stream{&out}, Link: func(t transfer.Task) string { return "https://ferry.example.org/tasks/" + string(t.ID) }}, newMarks())
	if err := n.Notify(t.Context(), notice(transfer.NoticeSucceeded, "")); err != nil {
		t.Fatal(err)
	}
	want := `Subject: gridferry: Your transfer succeeded (run 7)

Your transfer succeeded.

Task ID:       t-1
Task Type:     TRANSFER
Status:        SUCCEEDED
Source:        lab#dtn (lab#dtn:/data/7)
Destination:   gsiftp://archive.example.org:2811 (gsiftp://archive.example.org:2811/7)
Label:         run 7
Files:         3
Bytes:         1048576 (1.0 MB)
Rate:          5.0 MB/s
Faults:        2
Requested:     Fri, 02 Jan 2026 03:04:05 UTC
Completed:     Fri, 02 Jan 2026 04:00:00 UTC
URL:           https://ferry.example.org/tasks/t-1


`
	if got := out.String(); got != want {
		t.Errorf("it reads:\n%s\nwant:\n%s", got, want)
	}
}

func TestEveryKindSaysWhatToDo(t *testing.T) {
	for kind, words := range map[transfer.NoticeKind]string{
		transfer.NoticeInactive: "gridferry endpoint activate",
		transfer.NoticeExpiring: "gridferry endpoint activate",
		transfer.NoticeWaiting:  "Make room",
		transfer.NoticeFailed:   "gridferry events t-1",
	} {
		m := message{Notice: notice(kind, "")}
		m.Task.Verdict, m.Task.Completed = "because <of> this", time.Time{}
		text, html, err := compose(m).render()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, words) || !strings.Contains(text, "because <of> this") {
			t.Errorf("%s:\n%s", kind, text)
		}
		if !strings.Contains(html, "because &lt;of&gt; this") {
			t.Errorf("%s is not HTML:\n%s", kind, html)
		}
	}
}

// A credential that nobody can activate is renewed where it is kept.
func TestConfiguredCredentials(t *testing.T) {
	m := message{Notice: notice(transfer.NoticeInactive, "")}
	m.Task.LastFault = &transfer.Fault{Kind: fault.Credential, Reason: transfer.ReasonConfigured}
	if text := advice(m); strings.Contains(text, "endpoint activate") || !strings.Contains(text, "where the credential is kept") {
		t.Errorf("it says: %s", text)
	}
}

// What a raw start of a workflow may hold ends up in one line of a header.
func TestHeadersStayOneLine(t *testing.T) {
	m := message{Notice: notice(transfer.NoticeFailed, ""), to: "ada@example.org"}
	m.Task.Label, m.ID = "x\r\nBcc: eve@example.org", "id\r\nBcc: eve@example.org"
	s := &smtp{from: "gridferry@example.org"}
	msg, err := s.write(messageID(s, m), m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	headers, _, _ := strings.Cut(b.String(), "\r\n\r\n")
	for line := range strings.Lines(headers) {
		if strings.HasPrefix(line, "Bcc") {
			t.Errorf("a header was smuggled in:\n%s", b.String())
		}
	}
}

func TestRulesChooseWhoHears(t *testing.T) {
	for name, c := range map[string]struct {
		task, owner string
		kind        transfer.NoticeKind
		want        string
	}{
		"the task's address":     {"bob@b.org", "", transfer.NoticeFailed, "bob@b.org"},
		"the owner's address":    {"", "ada@a.org", transfer.NoticeFailed, "ada@a.org"},
		"both of the owner's":    {"", "b@a.org,a@a.org,b@a.org", transfer.NoticeFailed, "a@a.org b@a.org"},
		"the task's over it":     {"bob@b.org", "ada@a.org", transfer.NoticeFailed, "bob@b.org"},
		"not of this kind":       {"", "ada@a.org,failed", transfer.NoticeSucceeded, ""},
		"of this kind":           {"succeeded", "ada@a.org,failed", transfer.NoticeSucceeded, "ada@a.org"},
		"nobody is known":        {"", "", transfer.NoticeFailed, ""},
		"the task wants nothing": {"off", "ada@a.org", transfer.NoticeFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hooks{}
			srv := httptest.NewServer(h)
			defer srv.Close()
			owners := map[string]string{"*": c.owner}
			n := newNotifier(t, Config{From: "g@g.org", Owners: owners, SendGrid: &SendGrid{KeyFile: secretFile(t, "k"), URL: srv.URL}}, newMarks())
			for range 2 { // the second time all have been told
				if err := n.Notify(t.Context(), notice(c.kind, c.task)); err != nil {
					t.Fatal(err)
				}
			}
			var told []string
			for i, body := range h.bodies {
				if got := h.requests[i].Header.Get("Authorization"); got != "Bearer k" {
					t.Errorf("authorization %q", got)
				}
				var letter struct {
					Personalizations []struct{ To []struct{ Email string } }
					Headers          map[string]string
				}
				if err := json.Unmarshal(body, &letter); err != nil {
					t.Fatal(err)
				}
				if id := letter.Headers["Message-ID"]; !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@g.org>") {
					t.Errorf("Message-ID %q", id)
				}
				for _, p := range letter.Personalizations {
					for _, to := range p.To {
						told = append(told, to.Email)
					}
				}
			}
			if got := strings.Join(told, " "); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

func TestAddressed(t *testing.T) {
	key := secretFile(t, strings.Repeat("s", 24))
	mail := Config{From: "g@g.org", SendGrid: &SendGrid{KeyFile: key}, Owners: map[string]string{"ada": "a@a.org", "bob": "off", "eve": "failed"}}
	n := newNotifier(t, mail, newMarks())
	for owner, want := range map[string]bool{"ada": true, "bob": false, "eve": false, "zoe": false} {
		if n.Addressed(owner) != want {
			t.Errorf("%s: %v", owner, !want)
		}
	}
	mail.Webhook = &Webhook{URL: "https://x.org/", SecretFile: key}
	if !newNotifier(t, mail, newMarks()).Addressed("zoe") {
		t.Error("a web hook hears of all tasks")
	}
}

func TestWebhookIsSignedAndTriedAgain(t *testing.T) {
	h := &hooks{answers: []int{500, 429}}
	srv := httptest.NewServer(h)
	defer srv.Close()
	// The example secret of the Standard Webhooks specification's libraries.
	n := newNotifier(t, Config{Webhook: &Webhook{URL: srv.URL, SecretFile: secretFile(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}, newMarks())
	for range 2 {
		if err := n.Notify(t.Context(), notice(transfer.NoticeInactive, "")); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.requests) != 3 {
		t.Fatalf("%d requests, want two refused and one taken", len(h.requests))
	}
	key, err := n.channels[0].(*webhook).key()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range h.requests {
		id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
		if id != h.requests[0].Header.Get("webhook-id") || id == "" {
			t.Errorf("request %d has the id %q", i, id)
		}
		if got, want := r.Header.Get("webhook-signature"), "v1,"+sign(key, id, at, h.bodies[i]); got != want {
			t.Errorf("request %d is signed %q, want %q", i, got, want)
		}
	}
	var got hook
	if err := json.Unmarshal(h.bodies[0], &got); err != nil || got.Type != "task.inactive" || got.Data.Task.ID != "t-1" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSign compares with the example of the Standard Webhooks reference
// libraries.
func TestSign(t *testing.T) {
	w := &webhook{Webhook: Webhook{SecretFile: secretFile(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}
	key, err := w.key()
	if err != nil {
		t.Fatal(err)
	}
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRefusedForGoodIsGivenUp(t *testing.T) {
	h := &hooks{answers: []int{400}}
	srv := httptest.NewServer(h)
	defer srv.Close()
	n := newNotifier(t, Config{From: "g@g.org", SendGrid: &SendGrid{KeyFile: secretFile(t, "k"), URL: srv.URL}}, newMarks())
	for range 2 {
		if err := n.Notify(t.Context(), notice(transfer.NoticeFailed, "nobody@nowhere.org")); err != nil {
			t.Errorf("it is tried for ever: %v", err)
		}
	}
	if len(h.requests) != 1 {
		t.Errorf("%d requests", len(h.requests))
	}
}

func TestRefusedForNowIsTransient(t *testing.T) {
	h := &hooks{answers: []int{401, 503}}
	srv := httptest.NewServer(h)
	defer srv.Close()
	n := newNotifier(t, Config{From: "g@g.org", SendGrid: &SendGrid{KeyFile: secretFile(t, "k"), URL: srv.URL}}, newMarks())
	for range 2 {
		if err := n.Notify(t.Context(), notice(transfer.NoticeFailed, "ada@a.org")); !fault.Is(err, fault.Transient) {
			t.Errorf("%v, want Transient", err)
		}
	}
	if err := n.Notify(t.Context(), notice(transfer.NoticeFailed, "ada@a.org")); err != nil {
		t.Error(err)
	}
}

// One that could not be marked is sent again, under the same id, and only then
// said to be sent.
func TestUnmarkedIsRepeatedUnderTheSameID(t *testing.T) {
	h := &hooks{}
	srv := httptest.NewServer(h)
	defer srv.Close()
	m := newMarks()
	m.fail = errors.New("the store is away")
	var log bytes.Buffer
	n := newNotifier(t, Config{
		Webhook: &Webhook{URL: srv.URL, SecretFile: secretFile(t, strings.Repeat("s", 24))},
		Log:     slog.New(slog.NewTextHandler(&log, nil)),
	}, m)
	if err := n.Notify(t.Context(), notice(transfer.NoticeFailed, "")); err == nil {
		t.Error("the missing mark is no error")
	}
	if strings.Contains(log.String(), "notice sent") {
		t.Errorf("said to be sent without a mark: %s", &log)
	}
	m.fail = nil
	if err := n.Notify(t.Context(), notice(transfer.NoticeFailed, "")); err != nil {
		t.Fatal(err)
	}
	if strings.Count(log.String(), "notice sent") != 1 {
		t.Errorf("not said to be sent once: %s", &log)
	}
	if len(h.requests) != 2 || h.requests[0].Header.Get("webhook-id") != h.requests[1].Header.Get("webhook-id") {
		t.Errorf("%d requests", len(h.requests))
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	key := secretFile(t, strings.Repeat("s", 24))
	for words, c := range map[string]Config{
		"notify.from":                {SMTP: &SMTP{Server: "mail.example.org"}},
		"notify.owners.ada":          {Owners: map[string]string{"ada": "nonsense"}},
		"notify.smtp.server":         {From: "g@g.org", SMTP: &SMTP{}},
		"notify.smtp.tls":            {From: "g@g.org", SMTP: &SMTP{Server: "m", TLS: "ssl"}},
		"never sent in the clear":    {From: "g@g.org", SMTP: &SMTP{Server: "m", TLS: TLSNone, User: "u", PasswordFile: key}},
		"belong together":            {From: "g@g.org", SMTP: &SMTP{Server: "m", User: "u"}},
		"notify.sendgrid.key_file":   {From: "g@g.org", SendGrid: &SendGrid{}},
		"notify.sendgrid.url":        {From: "g@g.org", SendGrid: &SendGrid{KeyFile: key, URL: "ftp://x"}},
		"notify.webhook.url":         {Webhook: &Webhook{URL: "/hook", SecretFile: key}},
		"notify.webhook.secret_file": {Webhook: &Webhook{URL: "https://x.org/"}},
	} {
		if _, err := New(c, newMarks()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want Invalid with %q", err, words)
		}
	}
}
