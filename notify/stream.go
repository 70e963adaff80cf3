package notify

import (
	"context"
	"io"
	"sync"

	"github.com/gridferry/gridferry/fault"
)

// Stream writes notices as text, which is what a demonstration and a first
// look want.
type Stream struct{ To io.Writer }

type stream struct {
	mu sync.Mutex
	to io.Writer
}

func (*stream) name() string { return "stream" }

func (*stream) mails() bool { return false }

func (s *stream) send(_ context.Context, _ string, m message) error {
	l := compose(m)
	text, _, err := l.render()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = io.WriteString(s.to, "Subject: "+clean(l.Subject)+"\n\n"+text+"\n")
	return fault.Wrap(fault.Transient, "write", "a notice", err)
}
