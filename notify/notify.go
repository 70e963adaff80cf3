// Package notify tells the owners of tasks how these stand: by mail (SMTP, or
// SendGrid's API), by a signed request to a web hook, and on a stream. What
// there is to tell it is told; it decides only whom, and that each hears of
// each event once.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Marks remembers which messages went out. It outlives this process.
type Marks interface {
	// BeginNotice notes that the message is about to be sent, and reports
	// whether it already was.
	BeginNotice(ctx context.Context, message string) (sent bool, err error)
	// EndNotice notes that whoever takes it on has accepted it.
	EndNotice(ctx context.Context, message string) error
}

// channel is one way to tell somebody.
type channel interface {
	// name tells the channel's messages from those of others about the same.
	name() string
	// mails says that each address is told for itself, rather than the channel
	// once: a server that refuses one must not keep the others from it.
	mails() bool
	// send returns when the far side has taken the message on. Sending it
	// again, with the same id, does no harm where that can be helped. Errors
	// are Transient, or what the message itself makes hopeless: Invalid.
	send(ctx context.Context, id string, m message) error
}

// message is a notice, and what this site makes of it.
type message struct {
	transfer.Notice
	to   string // mail address, where the channel mails
	link string // where a browser finds the task; may be empty
}

// Config says how a site tells people. All of it may be left out.
type Config struct {
	From     string            // address that mail comes from
	Owners   map[string]string // transfer.ParseNotifyRule by owner; "*" is everybody else
	SMTP     *SMTP
	SendGrid *SendGrid
	Webhook  *Webhook
	Stream   *Stream

	Link func(transfer.Task) string // where a browser finds a task; nil: nowhere
	Log  *slog.Logger               // nil: silent
}

// Notifier tells people. It is safe for concurrent use.
type Notifier struct {
	channels []channel
	owners   map[string]transfer.NotifyRule
	link     func(transfer.Task) string
	marks    Marks
	log      *slog.Logger
}

// everybody stands for owners that are not named.
const everybody = "*"

// New returns a notifier, or what is wrong with the configuration (Invalid).
func New(c Config, marks Marks) (*Notifier, error) {
	n := &Notifier{owners: make(map[string]transfer.NotifyRule), link: c.Link, marks: marks, log: c.Log}
	if n.link == nil {
		n.link = func(transfer.Task) string { return "" }
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	for owner, text := range c.Owners {
		rule, err := transfer.ParseNotifyRule(text)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "use", "notify.owners."+owner, err)
		}
		n.owners[owner] = rule
	}
	add := func(ch channel, err error) error {
		if err == nil {
			n.channels = append(n.channels, ch)
		}
		return err
	}
	var errs []error
	if c.SMTP != nil {
		errs = append(errs, add(newSMTP(*c.SMTP, c.From)))
	}
	if c.SendGrid != nil {
		errs = append(errs, add(newSendGrid(*c.SendGrid, c.From)))
	}
	if c.Webhook != nil {
		errs = append(errs, add(newWebhook(*c.Webhook)))
	}
	if c.Stream != nil {
		errs = append(errs, add(&stream{to: c.Stream.To}, nil))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return n, nil
}

// Notify tells whoever wants to know of one event in the life of a task, on
// every channel. It returns nil when all have been told; calling it again with
// the same notice tells only those who have not.
//
// An error is Transient when trying again may help. A message that nobody will
// ever take (an address that does not exist) is logged and given up, so that
// it does not keep the others from their owner.
func (n *Notifier) Notify(ctx context.Context, notice transfer.Notice) error {
	task, err := transfer.ParseNotifyRule(notice.To)
	if err != nil {
		return err
	}
	rule := task.Over(n.ruleOf(notice.Task.Owner))
	if !rule.Wants(notice.Kind) {
		return nil
	}
	addresses := slices.Compact(slices.Sorted(slices.Values(rule.To)))
	var errs []error
	for _, ch := range n.channels {
		told := []string{""}
		if ch.mails() {
			told = addresses
		}
		for _, to := range told {
			errs = append(errs, n.once(ctx, ch, message{notice, to, n.link(notice.Task)}))
		}
	}
	return errors.Join(errs...)
}

// Addressed reports whether anybody hears of the tasks of an owner that name
// no address themselves.
func (n *Notifier) Addressed(owner string) bool {
	rule := n.ruleOf(owner)
	return slices.ContainsFunc(n.channels, func(ch channel) bool { return !ch.mails() || len(rule.To) > 0 && !rule.Off })
}

// ruleOf is the site's rule for an owner.
func (n *Notifier) ruleOf(owner string) transfer.NotifyRule {
	if rule, ok := n.owners[owner]; ok {
		return rule
	}
	return n.owners[everybody]
}

// once sends a message unless it was sent. Only a process that dies between
// the far side's word and the mark sends it again, under the same id.
func (n *Notifier) once(ctx context.Context, ch channel, m message) error {
	id := messageID(ch, m)
	sent, err := n.marks.BeginNotice(ctx, id)
	if err != nil || sent {
		return err
	}
	log := n.log.With("task", m.Task.ID, "notice", m.Kind, "by", ch.name())
	err = ch.send(ctx, id, m)
	refused := fault.Is(err, fault.Invalid)
	if err != nil && !refused {
		log.Warn("a notice could not be sent yet", "error", err)
		return err
	}
	// The far side has it: that is not to be forgotten because the caller is
	// in a hurry.
	if err := n.marks.EndNotice(context.WithoutCancel(ctx), id); err != nil {
		return err
	}
	// Who reads that it is sent, or given up, reads what will not be undone.
	if refused {
		log.Error("nobody will take this notice; it is given up", "error", err)
	} else {
		log.Info("notice sent")
	}
	return nil
}

// messageID is the same whenever the same event is told to the same address on
// the same channel.
// It is hashed because ids of tasks are any strings, and what they hold must
// not get into headers.
func messageID(ch channel, m message) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", ch.name(), m.ID, m.to))
	return hex.EncodeToString(sum[:16])
}
