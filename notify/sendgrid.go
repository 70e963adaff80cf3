package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	netmail "net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/sendgrid/sendgrid-go"
	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"github.com/gridferry/gridferry/fault"
)

// SendGrid is an account at SendGrid, which mails for us.
type SendGrid struct {
	KeyFile string // API key, first line; read each time, so that it can be changed
	URL     string // of the API; empty: SendGrid's own
}

type sendGrid struct {
	SendGrid
	from *netmail.Address
}

const (
	sendGridURL     = "https://api.sendgrid.com"
	sendGridTimeout = 45 * time.Second
)

func newSendGrid(c SendGrid, from string) (channel, error) {
	if c.URL == "" {
		c.URL = sendGridURL
	}
	a, err := netmail.ParseAddress(from)
	if err != nil {
		return nil, fault.New(fault.Invalid, "use", "notify.from", fmt.Sprintf("%q is not a mail address", from))
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fault.New(fault.Invalid, "use", "notify.sendgrid.url", fmt.Sprintf("%q is not a web address", c.URL))
	}
	if c.KeyFile == "" {
		return nil, fault.New(fault.Invalid, "use", "notify.sendgrid.key_file", "it is empty")
	}
	return &sendGrid{c, a}, nil
}

func (*sendGrid) name() string { return "sendgrid" }

func (*sendGrid) mails() bool { return true }

func (s *sendGrid) send(ctx context.Context, id string, m message) error {
	key, err := firstLine(s.KeyFile)
	if err != nil {
		return err
	}
	l := compose(m)
	text, html, err := l.render()
	if err != nil {
		return err
	}
	letter := mail.NewV3Mail()
	letter.SetFrom(mail.NewEmail(s.from.Name, s.from.Address))
	letter.Subject = clean(l.Subject)
	letter.AddContent(mail.NewContent("text/plain", text), mail.NewContent("text/html", html))
	letter.SetHeader("Message-ID", "<"+id+"@"+domainOf(s.from.Address)+">")
	letter.SetHeader("Auto-Submitted", "auto-generated")
	letter.SetCustomArg("gridferry_notice", id)
	to := mail.NewPersonalization()
	to.AddTos(mail.NewEmail("", m.to))
	letter.AddPersonalizations(to)

	ctx, cancel := context.WithTimeout(ctx, sendGridTimeout)
	defer cancel()
	request := sendgrid.GetRequest(key, "/v3/mail/send", s.URL)
	request.Method = http.MethodPost
	client := &sendgrid.Client{Request: request}
	answer, err := client.SendWithContext(ctx, letter)
	if err != nil {
		return fault.Wrap(fault.Transient, "ask", s.URL, err)
	}
	if answer.StatusCode/100 == 2 {
		return nil
	}
	kind := fault.Transient
	// 401 and 403 are the operator's to mend, and 429 and 5xx pass.
	if c := answer.StatusCode; c == http.StatusBadRequest || c == http.StatusRequestEntityTooLarge {
		kind = fault.Invalid
	}
	const most = 500
	words := strings.Join(strings.Fields(answer.Body), " ")
	return fault.Wrap(kind, "mail through", s.URL, errors.New(fmt.Sprint(answer.StatusCode, " ", words[:min(len(words), most)])))
}
