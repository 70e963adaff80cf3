package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A daemon that only serves goes on when it is told to read its configuration
// again, also when that has become wrong, and follows the log's level.
func TestServerReadsConfigurationAgain(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	conf := filepath.Join(dir, "gridferryd.yaml")
	write := func(level string) {
		t.Helper()
		text := fmt.Sprintf("roles: [gridftp]\ntrust_dir: %q\nlog: {level: %s}\ngridftp: {root: %[1]q, anonymous: true, listen: %[3]q}\n", dir, level, address)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("error")
	daemon := exec.Command("gridferryd", "run", "--config", conf) // TestMain put it on the PATH
	stderr, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill() }) // it has ended, unless the test failed
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			lines <- in.Text()
		}
	}()
	says := func(want string) {
		t.Helper()
		for deadline := time.After(time.Minute); ; {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("it ended without saying %q", want)
				}
				if strings.Contains(line, want) {
					return
				}
			case <-deadline:
				t.Fatalf("it does not say %q", want)
			}
		}
	}
	greets := func() error {
		conn, err := net.DialTimeout("tcp", address, time.Minute)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			return err
		}
		greeting, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.HasPrefix(greeting, "220 ") {
			err = fmt.Errorf("it greets with %q", greeting)
		}
		return err
	}
	tell := func(s os.Signal) {
		t.Helper()
		if err := daemon.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); greets() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(greets())
		}
	}

	write("loud")
	tell(syscall.SIGHUP)
	says("the configuration was not taken")
	write("info") // at the level before, this would not be said
	tell(syscall.SIGHUP)
	says("configuration read again")
	if err := greets(); err != nil {
		t.Error(err)
	}
	tell(syscall.SIGTERM)
	for range lines {
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
