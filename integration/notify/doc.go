// Package notify tests that owners hear of their tasks, exactly once: real
// tasks on a real daemon, a mail server that others wrote, and doubles of
// SendGrid's API and of a web hook's receiver. The daemon is killed at every
// step of handing a mail over.
package notify
