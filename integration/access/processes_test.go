package access

import (
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// TestASecondDaemonTakesOver kills the daemon that has the socket: another on
// the same store serves it then, and knows the credentials.
func TestASecondDaemonTakesOver(t *testing.T) {
	s := newSite(t, nil)
	s.good(s.as(ada, s.northCA.Proxy(s.northCA.User("Ada")), "endpoint", "activate", "north#dtn", "--delegate"))
	second := s.start("second")
	s.daemon.Kill()
	harness.Eventually(t, time.Minute, func() error {
		r := s.as(ada, nil, "endpoint", "status", "north#dtn")
		if r.code != 0 {
			return &failed{r}
		}
		return nil
	})
	s.good(s.as(ada, nil, "ls", "north#dtn:"+s.north.Root))
	s.good(s.as(ada, nil, "endpoint", "deactivate", "north#dtn"))
	if r := s.as(ada, nil, "ls", "north#dtn:"+s.north.Root); r.code != 6 {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if !strings.Contains(second.Log(), "another process serves the socket") {
		t.Error("the second daemon did not wait for the first")
	}
}

// failed is a command that did not succeed.
type failed struct{ result }

func (f *failed) Error() string { return f.stderr }
