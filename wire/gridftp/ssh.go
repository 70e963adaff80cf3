package gridftp

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// sshServer starts the server at the other end of ssh: the user's own start
// script, or the one an administrator installed with
// globus-gridftp-server-enable-sshftp. Without either it answers as a server
// would, so that the refusal reads like one.
const sshServer = `if test -f .globus/sshftp; then exec .globus/sshftp; ` +
	`elif test -f /etc/grid-security/sshftp; then exec /etc/grid-security/sshftp; ` +
	`else printf '500 This host is not configured for sshftp: run globus-gridftp-server-enable-sshftp on it.\r\n'; fi`

// startSSH runs the user's ssh client, which brings its own configuration,
// agent and known hosts, and returns its input and output as a connection. It
// must not ask for anything: there is nobody to answer.
func startSSH(ctx context.Context, config Config) (net.Conn, error) {
	argv := config.SSH
	if len(argv) == 0 {
		argv = []string{"ssh"}
	}
	host, port, err := net.SplitHostPort(config.Addr)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(host, "-") || strings.HasPrefix(config.User, "-") {
		return nil, fmt.Errorf("the host or user name begins with a hyphen, which ssh would take for an option")
	}
	argv = append(argv[:len(argv):len(argv)], "-T", "-oBatchMode=yes", "-p", port)
	if config.User != "" {
		argv = append(argv, "-l", config.User)
	}
	command := config.SSHServer
	if command == "" {
		command = sshServer
	}
	argv = append(argv, "--", host, command)

	// os.Pipe, unlike the pipes of os/exec, takes deadlines at both ends.
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		_, _ = theirIn.Close(), ourOut.Close()
		return nil, err
	}
	s := &sshConn{in: ourIn, out: ourOut, addr: sshAddr(config.Addr)}
	// Not tied to ctx, which bounds only the start: Close ends the process.
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = theirIn, theirOut, &s.stderr
	err = s.cmd.Start()
	_, _ = theirIn.Close(), theirOut.Close()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// sshConn is a running ssh as a connection.
type sshConn struct {
	in, out *os.File
	cmd     *exec.Cmd
	addr    sshAddr
	stderr  lastWords
	close   sync.Once
}

// Read passes on what the server says. When ssh has ended, its own last words
// say why.
func (s *sshConn) Read(b []byte) (int, error) {
	n, err := s.in.Read(b)
	if err != nil && n == 0 {
		if words := s.stderr.String(); words != "" {
			err = fmt.Errorf("%w (ssh said: %s)", err, printable(words))
		}
	}
	return n, err
}

func (s *sshConn) Write(b []byte) (int, error) { return s.out.Write(b) }

func (s *sshConn) Close() error {
	s.close.Do(func() {
		_, _ = s.in.Close(), s.out.Close()
		if s.cmd.Process != nil {
			_ = s.cmd.Process.Kill() // it may have ended by itself
			go s.cmd.Wait()          // only to let the system forget it
		}
	})
	return nil
}

func (s *sshConn) LocalAddr() net.Addr                { return s.addr }
func (s *sshConn) RemoteAddr() net.Addr               { return s.addr }
func (s *sshConn) SetReadDeadline(t time.Time) error  { return s.in.SetReadDeadline(t) }
func (s *sshConn) SetWriteDeadline(t time.Time) error { return s.out.SetWriteDeadline(t) }
func (s *sshConn) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

type sshAddr string

func (sshAddr) Network() string  { return "ssh" }
func (a sshAddr) String() string { return string(a) }

// lastWords keeps the end of what is written to it.
type lastWords struct {
	mu   sync.Mutex
	text []byte
}

func (w *lastWords) Write(b []byte) (int, error) {
	const most = 1 << 10
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, b...)
	if n := len(w.text); n > most {
		w.text = append(w.text[:0], w.text[n-most:]...)
	}
	return len(b), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.text))
}
