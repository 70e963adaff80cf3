package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Command says what a Process runs.
type Command struct {
	Name string   // for logs and failures; the program's name when empty
	Path string   // the program
	Args []string // without the program's name
	Env  []string // the whole environment; Environment() when nil
	Dir  string   // working directory; that of the test when empty

	// Namespace is the network namespace to run in; empty is the test's own.
	Namespace string
}

// Environment is a small and constant environment, so that nothing in the
// environment of whoever runs the tests reaches the programs under test. The
// home directory does not exist.
func Environment(more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin",
		"HOME=/nonexistent",
		"LANG=C.UTF-8",
		"TZ=UTC",
	}, more...)
}

// A Process is a program that runs, with the processes it starts, until the
// test ends. Signals go to all of them.
type Process struct {
	t    testing.TB
	what Command
	log  string

	mu   sync.Mutex // guards the run in progress
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid once done is closed
}

// Start starts a program. When the test ends it is killed, and when the test
// has failed the end of what it printed is shown.
func Start(t testing.TB, what Command) *Process {
	t.Helper()
	if what.Name == "" {
		what.Name = filepath.Base(what.Path)
	}
	if what.Env == nil {
		what.Env = Environment()
	}
	if what.Namespace != "" {
		what.Args = append([]string{"netns", "exec", what.Namespace, what.Path}, what.Args...)
		what.Path = Need(t, "ip")
	}
	p := &Process{t: t, what: what, log: filepath.Join(t.TempDir(), what.Name+".log")}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", what.Name, tail(p.Log(), 8<<10))
		}
	})
	p.Restart()
	return p
}

// Restart kills what still runs and starts the same command again. Its output
// continues the same log.
func (p *Process) Restart() {
	p.t.Helper()
	p.Kill()
	// A file and not a pipe: Wait would otherwise wait for every grandchild
	// that inherited the pipe.
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(p.what.Path, p.what.Args...)
	cmd.Env, cmd.Dir = p.what.Env, p.what.Dir
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own, so that one signal reaches the children, and no
	// survivor when the test binary itself dies, as at go test's timeout.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.what.Name, err)
	}
	done := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.done, p.err = cmd, done, nil
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		if p.cmd == cmd {
			p.err = err
		}
		p.mu.Unlock()
		close(done)
	}()
}

func (p *Process) run() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

// PID is the process's id, and that of its group.
func (p *Process) PID() int {
	cmd, _ := p.run()
	return cmd.Process.Pid
}

// Done is closed when the process that is running now has ended.
func (p *Process) Done() <-chan struct{} {
	_, done := p.run()
	return done
}

// Wait waits for the process to end by itself and returns what exec.Cmd.Wait
// would; it fails the test when that takes longer than limit.
func (p *Process) Wait(limit time.Duration) error {
	p.t.Helper()
	select {
	case <-p.Done():
	case <-time.After(limit):
		p.t.Fatalf("%s still runs after %v", p.what.Name, limit)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// ExitCode is the exit code of the process that has ended, -1 when a signal
// ended it.
func (p *Process) ExitCode() int {
	<-p.Done()
	cmd, _ := p.run()
	return cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process and its children; one that has ended is
// no failure.
func (p *Process) Signal(signal syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(-p.PID(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("signal %s with %v: %v", p.what.Name, signal, err)
	}
}

// Kill ends the process and its children at once (SIGKILL) and waits until it
// is gone. One that has ended is no failure.
func (p *Process) Kill() {
	p.t.Helper()
	if cmd, _ := p.run(); cmd == nil {
		return
	}
	p.Signal(syscall.SIGKILL)
	<-p.Done()
}

// Terminate asks the process to end (SIGTERM) and returns what Wait does. Only
// the process is asked: what becomes of its children is its own affair.
func (p *Process) Terminate(limit time.Duration) error {
	p.t.Helper()
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Errorf("terminate %s: %v", p.what.Name, err)
	}
	return p.Wait(limit)
}

// Freeze stops the process and its children where they are (SIGSTOP).
func (p *Process) Freeze() { p.t.Helper(); p.Signal(syscall.SIGSTOP) }

// Thaw lets frozen processes go on (SIGCONT).
func (p *Process) Thaw() { p.t.Helper(); p.Signal(syscall.SIGCONT) }

// Log returns everything the process has printed, over all its restarts.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Ready waits until check returns nil, and fails the test when the process ends
// before, or after limit. It is a test's failure and not an error because a
// program that does not start leaves nothing to test.
func (p *Process) Ready(limit time.Duration, check func() error) {
	p.t.Helper()
	if err := p.ready(limit, check); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Process) ready(limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w", p.what.Name, limit, err)
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended before it was ready: %s", p.what.Name, tail(p.Log(), 2<<10))
		case <-time.After(pollEvery):
		}
	}
}

// tail returns the last whole lines of s that fit in n bytes.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return "...\n" + s
}
