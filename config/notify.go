package config

import (
	"maps"
	"slices"

	"github.com/gridferry/gridferry/transfer"
)

// Notify says how owners hear of their tasks. Without it nobody does.
type Notify struct {
	From string `yaml:"from"` // address that mail comes from
	// Owners says for each owner what transfer.ParseNotifyRule reads:
	// addresses, kinds of notices, or both. "*" is everybody else.
	Owners   map[string]string `yaml:"owners"`
	SMTP     NotifySMTP        `yaml:"smtp"`
	SendGrid NotifySendGrid    `yaml:"sendgrid"`
	Webhook  NotifyWebhook     `yaml:"webhook"`
	Stdout   bool              `yaml:"stdout"` // write notices on standard output
}

// NotifySMTP is a mail server.
type NotifySMTP struct {
	Server       string `yaml:"server"` // HOST or HOST:PORT; empty: none
	TLS          string `yaml:"tls"`    // starttls (default), tls or none
	CAFile       string `yaml:"ca_file"`
	User         string `yaml:"user"`
	PasswordFile string `yaml:"password_file"`
}

// NotifySendGrid is an account at SendGrid.
type NotifySendGrid struct {
	KeyFile string `yaml:"key_file"` // empty: none
	URL     string `yaml:"url"`      // of the API; default: SendGrid's own
}

// NotifyWebhook is a web address that is sent all notices, signed.
type NotifyWebhook struct {
	URL        string `yaml:"url"` // empty: none
	SecretFile string `yaml:"secret_file"`
}

// Set reports whether there is any way to tell anybody.
func (n Notify) Set() bool {
	return n.SMTP.Server != "" || n.SendGrid.KeyFile != "" || n.Webhook.URL != "" || n.Stdout
}

func (k *checker) notify(n Notify) {
	for _, owner := range slices.Sorted(maps.Keys(n.Owners)) {
		if _, err := transfer.ParseNotifyRule(n.Owners[owner]); err != nil {
			k.complain("notify.owners."+owner, "", "%s", err)
		}
	}
	if n.SMTP.Server != "" && n.SendGrid.KeyFile != "" {
		k.complain("notify", "leave smtp or sendgrid out", "every mail would be sent twice")
	}
	k.exists("notify.smtp.ca_file", n.SMTP.CAFile)
	k.secret("notify.smtp.password_file", n.SMTP.PasswordFile)
	k.secret("notify.sendgrid.key_file", n.SendGrid.KeyFile)
	k.secret("notify.webhook.secret_file", n.Webhook.SecretFile)
	if len(n.Owners) > 0 && !n.Set() {
		k.complain("notify.owners", "add smtp, sendgrid or webhook", "there is no way to tell them")
	}
}
