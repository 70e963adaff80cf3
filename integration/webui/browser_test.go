package webui

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// answerLimit bounds each answer of the browser: it starts pages while other
// tests keep the machine busy.
const answerLimit = time.Minute

// A browser is a headless Chromium with one page, driven over the DevTools
// protocol through a pair of pipes: messages are JSON, each ended by a zero
// byte (--remote-debugging-pipe).
type browser struct {
	t       *testing.T
	to      *os.File
	session string // of the page

	mu      sync.Mutex
	calls   int
	waiting map[int]chan reply
	gone    error
}

type reply struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// newBrowser starts a browser with an empty profile that calls nobody.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program := harness.Need(t, "chromium")
	fromUs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-dev-shm-usage", "--window-size=1600,2400",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	cmd.Env = harness.Environment("XDG_CONFIG_HOME="+t.TempDir(), "XDG_CACHE_HOME="+t.TempDir())
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // 3 and 4, as the flag has it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, to: to, waiting: make(map[int]chan reply)}
	fromUs.Close()
	toUs.Close()
	done := make(chan struct{})
	go func() { defer close(done); b.listen(from) }()
	t.Cleanup(func() {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
			t.Errorf("end the browser: %v", err)
		}
		_ = cmd.Wait() // says that it was killed
		<-done
		from.Close()
		to.Close()
	})
	return b
}

// listen hands the browser's answers to those who wait for them.
func (b *browser) listen(from *os.File) {
	r := bufio.NewReader(from)
	for {
		message, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.gone = fmt.Errorf("the browser is gone: %w", err)
			for id, ch := range b.waiting {
				close(ch)
				delete(b.waiting, id)
			}
			b.mu.Unlock()
			return
		}
		var m reply
		if json.Unmarshal(message[:len(message)-1], &m) != nil || m.ID == 0 {
			continue // an event
		}
		b.mu.Lock()
		ch := b.waiting[m.ID]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		if ch != nil {
			ch <- m
		}
	}
}

// call sends a command and stores its answer in result, unless that is nil.
func (b *browser) call(method string, params map[string]any, result any) error {
	ch := make(chan reply, 1)
	b.mu.Lock()
	b.calls++
	message := map[string]any{"id": b.calls, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	b.waiting[b.calls] = ch
	gone := b.gone
	b.mu.Unlock()
	if gone != nil {
		return gone
	}
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m, ok := <-ch:
		switch {
		case !ok:
			return fmt.Errorf("%s: the browser is gone", method)
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-time.After(answerLimit):
		return fmt.Errorf("%s: no answer within %v", method, answerLimit)
	}
}

// open shows a page.
func (b *browser) open(url string) {
	b.t.Helper()
	var target struct{ TargetID string }
	err := b.call("Target.createTarget", map[string]any{"url": url}, &target)
	var attached struct{ SessionID string }
	if err == nil {
		err = b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	}
	if err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
	b.session = attached.SessionID
}

// press clicks on the link or button of that name, or tells that there is none.
func (b *browser) press(name string) error {
	var answer struct {
		Result           struct{ Value bool }
		ExceptionDetails *struct{ Text string }
	}
	err := b.call("Runtime.evaluate", map[string]any{"returnByValue": true, "expression": fmt.Sprintf(`(() => {
		const e = [...document.querySelectorAll("a, button")].find(e => e.innerText.trim() === %q)
		e?.click()
		return e !== undefined
	})()`, name)}, &answer)
	switch {
	case err != nil:
		return err
	case answer.ExceptionDetails != nil:
		return errors.New(answer.ExceptionDetails.Text)
	case !answer.Result.Value:
		return fmt.Errorf("there is no %q to press", name)
	}
	return nil
}

// text is the text of the page and of the frames in it. (The Web UI draws
// Markdown in frames, which document.body.innerText leaves out.)
func (b *browser) text() (string, error) {
	var document struct{ Root node }
	err := b.call("DOM.getDocument", map[string]any{"depth": -1, "pierce": true}, &document)
	var text strings.Builder
	document.Root.write(&text)
	return text.String(), err
}

// node is a part of DOM.Node.
type node struct {
	NodeName        string
	NodeValue       string // of texts
	Children        []node
	ContentDocument *node // of frames
}

func (n *node) write(to *strings.Builder) {
	switch n.NodeName {
	case "SCRIPT", "STYLE":
		return
	case "#text":
		if s := strings.TrimSpace(n.NodeValue); s != "" {
			fmt.Fprintln(to, s)
		}
	}
	for i := range n.Children {
		n.Children[i].write(to)
	}
	if n.ContentDocument != nil {
		n.ContentDocument.write(to)
	}
}
