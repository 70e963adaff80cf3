package notify

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// A mailbox is a mail server (aiosmtpd) that others wrote, and what it took on.
type mailbox struct {
	t       *testing.T
	dir     string
	address string
}

// newMailbox starts a server. With a certificate it wants STARTTLS.
func newMailbox(t *testing.T, cert, key string) *mailbox {
	t.Helper()
	m := &mailbox{t: t, dir: filepath.Join(t.TempDir(), "mail"), address: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))}
	args := []string{"-n", "-c", "aiosmtpd.handlers.Mailbox", "-l", m.address}
	if cert != "" {
		args = append(args, "--tlscert", cert, "--tlskey", key)
	}
	p := harness.Start(t, harness.Command{Name: "aiosmtpd", Path: harness.Need(t, "aiosmtpd"), Args: append(args, m.dir), Env: harness.Environment()})
	p.Ready(time.Minute, func() error {
		conn, err := net.DialTimeout("tcp", m.address, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	return m
}

// letter is a mail as it arrived.
type letter struct {
	mail.Header
	text, html string
}

// letters returns the mails that the server has taken on.
func (m *mailbox) letters() []letter {
	m.t.Helper()
	files, err := filepath.Glob(filepath.Join(m.dir, "new", "*"))
	must(m.t, err)
	var all []letter
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(m.t, err)
		all = append(all, m.read(text))
	}
	return all
}

func (m *mailbox) read(text []byte) letter {
	m.t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(text))
	must(m.t, err)
	l := letter{Header: msg.Header}
	_, boundary, ok := strings.Cut(msg.Header.Get("Content-Type"), "boundary=")
	if !ok {
		m.t.Fatalf("a mail of one part:\n%s", text)
	}
	parts := multipart.NewReader(msg.Body, strings.Trim(boundary, `"`))
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return l
		}
		must(m.t, err)
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		must(m.t, err)
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.html = string(body)
		} else {
			l.text = string(body)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
