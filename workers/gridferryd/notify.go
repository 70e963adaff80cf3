package main

import (
	"log/slog"
	"net/url"
	"os"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/notify"
	"github.com/gridferry/gridferry/transfer"
)

// newNotifier returns what tells owners of their tasks; nil when nothing is
// configured.
func newNotifier(c *config.Config, namespace string, marks notify.Marks, logger *slog.Logger) (activities.Notifier, error) {
	if !c.Notify.Set() {
		return nil, nil
	}
	conf := notify.Config{From: c.Notify.From, Owners: c.Notify.Owners, Link: linker(c, namespace), Log: logger}
	if s := c.Notify.SMTP; s.Server != "" {
		conf.SMTP = &notify.SMTP{Server: s.Server, TLS: s.TLS, CAFile: s.CAFile, User: s.User, PasswordFile: s.PasswordFile}
	}
	if s := c.Notify.SendGrid; s.KeyFile != "" {
		conf.SendGrid = &notify.SendGrid{KeyFile: s.KeyFile, URL: s.URL}
	}
	if w := c.Notify.Webhook; w.URL != "" {
		conf.Webhook = &notify.Webhook{URL: w.URL, SecretFile: w.SecretFile}
	}
	if c.Notify.Stdout {
		conf.Stream = &notify.Stream{To: os.Stdout}
	}
	n, err := notify.New(conf, marks)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// linker says where a browser finds a task: at the site's own address, else in
// Temporal's Web UI, else nowhere.
func linker(c *config.Config, namespace string) func(transfer.Task) string {
	base, path := c.PublicURL, []string{"tasks"}
	if base == "" {
		base, path = c.Temporal.UI, []string{"namespaces", url.PathEscape(namespace), "workflows"}
	}
	u, err := url.Parse(base)
	if base == "" || err != nil { // the configuration's check let it pass
		return nil
	}
	return func(t transfer.Task) string {
		return u.JoinPath(append(path, url.PathEscape(string(t.ID)))...).String()
	}
}
