package harness

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
)

// temporalStartLimit is for a machine that is busy with other tests.
const temporalStartLimit = 90 * time.Second

// A Temporal is a Temporal server in a process of its own, on a database file,
// so that it can be killed and restarted.
type Temporal struct {
	*Process

	Address   string // host:port of the frontend
	Namespace string
	UI        string // URL of the Web UI; empty unless it was asked for
	Database  string // file, in a directory of its own

	t testing.TB
}

// TemporalOptions of a Temporal server.
type TemporalOptions struct {
	UI    bool     // serve the Web UI, too
	Flags []string // more flags of `gridferry-standalone temporal`, such as -no-operator
}

// NewTemporal starts a Temporal server and waits until it can be used.
func NewTemporal(t testing.TB, o TemporalOptions) *Temporal {
	t.Helper()
	s := &Temporal{t: t, Database: filepath.Join(t.TempDir(), "temporal.db")}
	args := []string{"temporal", "-db", s.Database, "-port", strconv.Itoa(FreePort(t))}
	if o.UI {
		args = append(args, "-ui-port", strconv.Itoa(FreePort(t)))
	}
	s.Process = Start(t, Command{
		Name: "temporal",
		Path: Binary(t, "gridferry-standalone"),
		Args: append(args, o.Flags...),
	})
	s.wait(0)
	return s
}

// Restart kills the server, if it still runs, starts it again on the same ports
// and database, and waits until it can be used.
func (s *Temporal) Restart() {
	s.t.Helper()
	s.Kill()
	said := len(s.Log())
	s.Process.Restart()
	s.wait(said)
}

// wait waits for the line that the server prints once it can be used, beyond
// what it had said before.
func (s *Temporal) wait(said int) {
	s.t.Helper()
	s.Ready(temporalStartLimit, func() error {
		for line := range strings.Lines(s.Log()[said:]) {
			var ready struct{ Address, Namespace, UI string }
			if strings.HasSuffix(line, "}\n") && json.Unmarshal([]byte(line), &ready) == nil && ready.Address != "" {
				s.Address, s.Namespace, s.UI = ready.Address, ready.Namespace, ready.UI
				return nil
			}
		}
		return fmt.Errorf("no word from it")
	})
}

// Env points a program at the server, as the Temporal SDKs and tools read it.
func (s *Temporal) Env() []string {
	return []string{"TEMPORAL_ADDRESS=" + s.Address, "TEMPORAL_NAMESPACE=" + s.Namespace}
}

// Client returns a client of the server, closed when the test ends.
func (s *Temporal) Client() client.Client {
	s.t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.Address, Namespace: s.Namespace})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}
