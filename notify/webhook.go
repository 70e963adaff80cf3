package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Webhook is a web address that is sent every notice, whoever owns the task.
// Requests are signed as the Standard Webhooks specification has it (headers
// webhook-id, webhook-timestamp and webhook-signature, scheme v1), so that any
// of its libraries verifies them. The same notice keeps its webhook-id: the
// receiver drops what it has seen.
type Webhook struct {
	URL        string // https, or http inside a site
	SecretFile string // first line: "whsec_" and base64, or any text of 24 bytes and more
}

type webhook struct {
	Webhook
	client *http.Client
	now    func() time.Time
	pause  func(attempt int) time.Duration
}

const (
	webhookTimeout  = 10 * time.Second
	webhookAttempts = 3
)

func newWebhook(c Webhook) (channel, error) {
	bad := func(key, message string) error {
		return fault.New(fault.Invalid, "use", "notify.webhook."+key, message)
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, bad("url", fmt.Sprintf("%q is not a web address", c.URL))
	case c.SecretFile == "":
		return nil, bad("secret_file", "it is empty: requests are signed, so that the receiver can tell ours from others'")
	}
	w := &webhook{Webhook: c, now: time.Now, pause: backoff}
	w.client = &http.Client{
		Timeout: webhookTimeout,
		// A signed body goes where the operator said, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w, nil
}

// backoff is 1 and 2 seconds, and up to half of that more, so that many
// workers do not come back at once.
func backoff(attempt int) time.Duration {
	d := time.Second << attempt
	return d + rand.N(d/2)
}

func (*webhook) name() string { return "webhook" }

func (*webhook) mails() bool { return false }

// hook is the body of a request.
type hook struct {
	Type      string          `json:"type"` // "task.succeeded"
	Timestamp time.Time       `json:"timestamp"`
	Data      transfer.Notice `json:"data"`
	URL       string          `json:"url,omitempty"`
}

func (w *webhook) send(ctx context.Context, id string, m message) error {
	key, err := w.key()
	if err != nil {
		return err
	}
	now := w.now().UTC()
	body, err := json.Marshal(hook{"task." + string(m.Kind), now, m.Notice, m.link})
	if err != nil {
		return fault.Wrap(fault.Internal, "write", "a notice", err)
	}
	for attempt := 0; ; attempt++ {
		err := w.post(ctx, key, id, body)
		if err == nil || fault.Is(err, fault.Invalid) || attempt == webhookAttempts-1 {
			return err
		}
		t := time.NewTimer(w.pause(attempt))
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
	}
}

func (w *webhook) post(ctx context.Context, key []byte, id string, body []byte) error {
	const op = "post to"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fault.Wrap(fault.Invalid, op, w.URL, err)
	}
	at := strconv.FormatInt(w.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gridferry")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", at)
	req.Header.Set("webhook-signature", "v1,"+sign(key, id, at, body))
	res, err := w.client.Do(req)
	if err != nil {
		return fault.Wrap(fault.Transient, op, w.URL, err)
	}
	defer res.Body.Close()
	words, _ := io.ReadAll(io.LimitReader(res.Body, 300)) // only for the error's text
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case res.StatusCode == http.StatusGone: // the receiver wants no more, says the specification
		return fault.New(fault.Invalid, op, w.URL, res.Status)
	}
	return fault.New(fault.Transient, op, w.URL, strings.TrimSpace(res.Status+" "+strings.Join(strings.Fields(string(words)), " ")))
}

func sign(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// key reads the secret.
func (w *webhook) key() ([]byte, error) {
	line, err := firstLine(w.SecretFile)
	if err != nil {
		return nil, err
	}
	key := []byte(line)
	if text, ok := strings.CutPrefix(line, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fault.New(fault.Transient, "read the secret in", w.SecretFile, "what follows whsec_ is not base64")
		}
	}
	if len(key) < 24 {
		return nil, fault.New(fault.Transient, "read the secret in", w.SecretFile, "it is shorter than 24 bytes")
	}
	return key, nil
}
