package compose

import (
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
)

func TestGlobusServersAnswer(t *testing.T) {
	harness.Need(t, "globus-gridftp-server")
	s := newStack(t)
	for _, name := range []string{"dtn-a", "dtn-b"} {
		s.run(name).healthy()
	}
}

func TestMyProxyServerAnswers(t *testing.T) {
	harness.Need(t, "myproxy-server")
	s := newStack(t)
	s.run("myproxy").healthy()
}
