package gridftp

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

// ephemeral returns a credential that lasts for so long; certificates count
// whole seconds.
func ephemeral(t *testing.T, lifetime time.Duration) *gsi.Credential {
	t.Helper()
	c, err := gsi.NewEphemeral("ada", lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestExpires: a session ends with its credential, while a command waits too.
func TestExpires(t *testing.T) { synctest.Test(t, testExpires) }

func testExpires(t *testing.T) {
	f := newPiped(t, answers(map[string]string{"NOOP": "-"}))
	config := f.config()
	config.Credential = ephemeral(t, 2*time.Second)
	c, err := Dial(bounded(t), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.Expires().Equal(config.Credential.NotAfter()) {
		t.Errorf("expires %v, the credential %v", c.Expires(), config.Credential.NotAfter())
	}
	if err := c.Noop(bounded(t)); !errors.Is(err, ErrExpired) || time.Now().Before(c.Expires()) {
		t.Errorf("the command ended with %v, %v before the credential", err, time.Until(c.Expires()))
	}
	if _, err := Dial(bounded(t), config); !errors.Is(err, ErrExpired) {
		t.Errorf("logging in later gave %v", err)
	}
	if f.count() != 1 {
		t.Error("a server was contacted with a credential that had ended")
	}
	if e := f.dial().Expires(); !e.IsZero() {
		t.Errorf("a session without a credential expires %v", e)
	}
}

// TestClockPassesExpiry: a session whose timer did not run, as that of a
// machine that slept, is not used either.
func TestClockPassesExpiry(t *testing.T) {
	c := newFake(t, answers(nil)).dial()
	c.expires = time.Now().Add(-time.Second)
	if err := c.Noop(bounded(t)); !errors.Is(err, ErrExpired) || !errors.Is(c.Err(), ErrExpired) {
		t.Errorf("got %v", err)
	}
}

// TestEphemeralEnds: what a server is given for data channels does not outlive
// the user's credential, and is made again only where that gives a longer one.
func TestEphemeralEnds(t *testing.T) { synctest.Test(t, testEphemeralEnds) }

func testEphemeralEnds(t *testing.T) {
	c := newPiped(t, answers(nil)).dial()
	for _, test := range []struct{ session, want time.Duration }{
		{0, ephemeralLifetime},
		{12 * time.Hour, 12 * time.Hour},
		{72 * time.Hour, ephemeralLifetime},
		{10 * time.Minute, 10 * time.Minute},
	} {
		c.ephemeral, c.expires = nil, time.Time{}
		if test.session > 0 {
			c.expires = time.Now().Add(test.session).Truncate(time.Second)
		}
		first, err := c.ephemeralCredential()
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(first.NotAfter()); left > test.want || left < test.want-5*time.Second {
			t.Errorf("of a session of %v it ends in %v", test.session, left)
		}
		if second, err := c.ephemeralCredential(); err != nil || second != first {
			t.Errorf("of a session of %v it was made twice: %v", test.session, err)
		}
	}
	c.expires = time.Now().Add(10 * time.Hour)
	if renewed, err := c.ephemeralCredential(); err != nil || time.Until(renewed.NotAfter()) < 9*time.Hour {
		t.Errorf("one that ends within %v was kept: %v", ephemeralMargin, err)
	}
}

// TestPoolDropsExpired: an idle session leaves the pool when its credential
// ends.
func TestPoolDropsExpired(t *testing.T) { synctest.Test(t, testPoolDropsExpired) }

func testPoolDropsExpired(t *testing.T) {
	f := newPiped(t, answers(nil))
	p := NewPool(PoolConfig{})
	defer p.Close()
	config := f.config()
	config.Credential = ephemeral(t, 2*time.Second)
	c := get(t, p, "ada", config)
	p.Put(c)
	eventually(t, "the pool is empty", func() bool { all, idle := p.Len(); return all+idle == 0 })
	if time.Now().Before(config.Credential.NotAfter()) || c.Err() == nil {
		t.Errorf("it left early, or was not closed: %v", c.Err())
	}
}
