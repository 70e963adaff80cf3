package gridftp

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// A server that streams a file to its end is hung up on when its reader has what
// it asked for, and complains. That may be heard before the mover has told that
// it has enough. A server that complains of anything else is right.
func TestComplaintAboutEnough(t *testing.T) {
	for name, test := range map[string]struct {
		moved error
		fails bool
	}{
		"enough":       {&data.SinkError{Err: errEnough}, false},
		"broken off":   {errStopped, true},
		"all has come": {nil, true},
	} {
		c := newFake(t, answers(nil)).dial()
		ch := &channel{shape: shape{mode: Stream}, set: data.NewActive(data.Network{}, netip.Addr{}, netip.AddrPort{})}
		k := c.newCarrier(bounded(t), &ticket{channel: ch})
		k.started, k.begun = true, true
		k.moved <- test.moved
		err := k.conclude("RETR /large", word{reply: Reply{Code: 426, Lines: []string{"Failure writing network stream."}}}, nil)
		var refusal *ReplyError
		if test.fails != errors.As(err, &refusal) || !test.fails && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Noop(bounded(t)); err != nil {
			t.Errorf("%s: the session is of no use any more: %v", name, err)
		}
	}
}
