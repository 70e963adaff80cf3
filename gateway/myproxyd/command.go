package myproxyd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A Command verifies pass phrases by running a program. It gets the pass
// phrase and a newline on its standard input, and the user's name and address
// as GRIDFERRY_USER and GRIDFERRY_ADDRESS. It exits with 0 for who is right and
// with 1 for who is not; anything else means that it cannot tell.
//
// The name is no argument, so that none can be taken for an option. Of the
// environment it has PATH, and what it prints matters only when it cannot tell:
// the log then has its standard error.
type Command struct {
	Args    []string      // the program and its arguments
	Timeout time.Duration // 0 means 20 s; PAM modules like to wait before they refuse
}

const (
	defaultTimeout = 20 * time.Second
	exitWrong      = 1
	maxComplaint   = 500 // bytes of standard error that a log line has
)

// Verify implements Verifier.
func (c Command) Verify(ctx context.Context, a Attempt) error {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	input := append(bytes.Clone(a.Secret), '\n')
	defer clear(input)
	var complaint tail
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &complaint
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GRIDFERRY_USER=" + a.User, "GRIDFERRY_ADDRESS=" + a.From.String()}
	// A shell's children too must end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s gave no answer in %s", c.Args[0], timeout)
	case errors.As(err, &exit) && exit.ExitCode() == exitWrong:
		return &Wrong{Reason: "the command says that it is wrong"}
	}
	said := strings.TrimSpace(string(complaint))
	if len(a.Secret) > 0 && strings.Contains(said, string(a.Secret)) {
		said = "(what it said has the pass phrase in it)"
	}
	return fmt.Errorf("%s: %w: %s", c.Args[0], err, said)
}

// A tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if n := len(*t) - maxComplaint; n > 0 {
		*t = append((*t)[:0], (*t)[n:]...)
	}
	return len(p), nil
}
