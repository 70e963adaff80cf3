package myproxy

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// A Stored is what a server says of a credential it keeps.
type Stored struct {
	Name        string // empty is the usual, nameless one
	Description string
	Owner       string // DN of who stored it
	Start, End  time.Time
	Retrievers  string // DN pattern; empty is the server's own rule
	Renewers    string
	Locked      string // why an operator has locked it; empty when usable
}

// Info lists the credentials that are stored for a user and owned by
// Client.Credential's holder. That there is none is an Error with NoCredential.
func (c *Client) Info(ctx context.Context, user string) ([]Stored, error) {
	q := &request{command: CommandInfo, user: user}
	if err := c.needCredential(q); err != nil {
		return nil, err
	}
	var stored []Stored
	err := c.converse(ctx, q, func(_ *session, answer *response) (err error) {
		stored, err = answer.stored()
		return err
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// stored reads the fields of an answer to Info: CRED_OWNER= and so on for the
// first credential, CRED_name_OWNER= for those in ADDL_CREDS.
func (r *response) stored() ([]Stored, error) {
	first, err := r.credential("CRED_", r.fields["CRED_NAME"])
	if err != nil {
		return nil, err
	}
	all := []Stored{first}
	if more := r.fields["ADDL_CREDS"]; more != "" {
		names := strings.Split(more, ",")
		if len(names) > maxStored {
			return nil, malformed("it lists more than %d credentials", maxStored)
		}
		for _, name := range names {
			next, err := r.credential("CRED_"+name+"_", name)
			if err != nil {
				return nil, err
			}
			all = append(all, next)
		}
	}
	return all, nil
}

func (r *response) credential(prefix, name string) (Stored, error) {
	text := func(field string) string { return printable([]byte(r.fields[prefix+field])) }
	s := Stored{
		Name: printable([]byte(name)), Description: text("DESC"), Owner: text("OWNER"),
		Retrievers: text("RETRIEVER"), Renewers: text("RENEWER"), Locked: text("LOCKMSG"),
	}
	for _, moment := range []struct {
		field string
		into  *time.Time
	}{{"START_TIME", &s.Start}, {"END_TIME", &s.End}} {
		n, err := strconv.ParseUint(r.fields[prefix+moment.field], 10, 40)
		if err != nil {
			return s, malformed("%s%s is no time", prefix, moment.field)
		}
		*moment.into = time.Unix(int64(n), 0).UTC()
	}
	return s, nil
}

// Destroy deletes a stored credential. Name is empty for the nameless one.
func (c *Client) Destroy(ctx context.Context, user, name string) error {
	q := &request{command: CommandDestroy, user: user, name: name}
	if err := c.needCredential(q); err != nil {
		return err
	}
	return c.converse(ctx, q, nil)
}

// ChangePassphrase protects a stored credential by another pass phrase. Both
// are the caller's to clear.
func (c *Client) ChangePassphrase(ctx context.Context, user, name string, old, new []byte) error {
	q := &request{command: CommandChangePassphrase, user: user, name: name, passphrase: old, newPassphrase: new}
	if err := c.needCredential(q); err != nil {
		return err
	}
	return c.converse(ctx, q, nil)
}
