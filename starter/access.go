package starter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// credentials opens the daemon's door when it is first asked for.
func (s *session) credentials(ctx context.Context) (transfer.Credentials, error) {
	if s.creds == nil {
		creds, done, err := s.Credentials(ctx, s.conn)
		if err != nil {
			return nil, err
		}
		s.creds, s.credsDone = creds, done
	}
	return s.creds, nil
}

// family is a command that is nothing without one of its subcommands.
func (s *session) family(c *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	c.Args = cobra.NoArgs
	c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	for _, sub := range subs {
		sub.DisableFlagsInUseLine = true
		run := sub.RunE
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			s.running = true
			return run(cmd, args)
		}
		c.AddCommand(sub)
	}
	return c
}

// endpointArg is the endpoint that an argument names: dtn, user#dtn, a URL, or
// any location there.
func endpointArg(text string) (string, error) {
	whole := text
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if scheme != "" && !strings.Contains(rest, "/") {
			whole += "/"
		}
	} else if !strings.Contains(text, ":") {
		whole += ":/"
	} else if strings.HasSuffix(text, ":") {
		whole += "/"
	}
	loc, err := transfer.ParseLocation(whole)
	if err != nil {
		var e *fault.Error
		if errors.As(err, &e) {
			named := *e
			named.Path = text
			return "", &named
		}
		return "", err
	}
	return loc.Endpoint, nil
}

// interruptible waits for what somebody types, or for ctx.
func interruptible(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		text, err := read()
		typed <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-typed:
		return a.text, a.err
	}
}

// maxTyped bounds what is typed or piped in as one line, in bytes.
const maxTyped = 8 << 10

// readLine reads one line, and not a byte more: what follows may be a secret
// that another reader waits for.
func readLine(r io.Reader) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxTyped; {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' || errors.Is(err, io.EOF) && len(line) > 0 {
			return []byte(strings.TrimSuffix(string(line), "\r")), nil
		}
		if n == 1 {
			line = append(line, b[0])
		}
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the input ended")
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the line is longer than %d bytes", maxTyped)
}
