package gridftp

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

func get(t *testing.T, p *Pool, owner string, config Config) *Client {
	t.Helper()
	c, err := p.Get(bounded(t), owner, config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPoolReuses(t *testing.T) {
	f := newFake(t, answers(nil))
	p := NewPool(PoolConfig{Idle: 2})
	defer p.Close()
	a := get(t, p, "ada", f.config())
	p.Put(a)
	if b := get(t, p, "ada", f.config()); b != a {
		t.Error("an idle session was not used again")
	}
	other := f.config()
	other.User = "bob"
	secret := f.config()
	secret.Password = "x"
	for name, c := range map[string]*Client{
		"in use":           get(t, p, "ada", f.config()),
		"another owner":    get(t, p, "bob", f.config()),
		"another account":  get(t, p, "ada", other),
		"another password": get(t, p, "ada", secret),
	} {
		if c == a {
			t.Errorf("%s: the same session", name)
		}
		p.Put(c)
	}
	p.Put(a)
	x, y := get(t, p, "ada", f.config()), get(t, p, "ada", f.config())
	if x != a {
		t.Error("the session used last does not come first")
	}
	z := get(t, p, "ada", f.config())
	for _, c := range []*Client{x, y, z} {
		p.Put(c)
	}
	if z.Err() == nil {
		t.Error("more sessions are kept than there is room for")
	}
	if all, idle := p.Len(); all != 5 || idle != 5 {
		t.Errorf("%d sessions, %d idle", all, idle)
	}
}

// Data connections are dear: who has some is asked for again by whom he has
// them with.
func TestPoolKeepsPairs(t *testing.T) {
	f, g := newFake(t, answers(nil)), newFake(t, answers(nil))
	p := NewPool(PoolConfig{})
	defer p.Close()
	var from, to []*Client
	for range 3 {
		from, to = append(from, get(t, p, "ada", f.config())), append(to, get(t, p, "ada", g.config()))
	}
	for i := range from {
		both := &pairing{src: from[i], dst: to[i]}
		from[i].told.pairing, to[i].told.pairing = both, both
	}
	for _, c := range to {
		p.Put(c)
	}
	beside := g.config()
	for _, i := range []int{1, 2, 0} {
		beside.Beside = from[i]
		c := get(t, p, "ada", beside)
		if c != to[i] {
			t.Errorf("session %d gets another one than before", i)
		}
		defer p.Put(c)
	}
	beside.Beside = from[0]
	c := get(t, p, "ada", beside)
	defer p.Put(c)
	if c == to[0] {
		t.Error("a session in use was handed out")
	}
	if c.config.Beside != nil {
		t.Error("a session holds on to another one")
	}
	for _, c := range from {
		p.Put(c)
	}
}

func TestPoolHealth(t *testing.T) {
	f := newFake(t, func(s *fakeSession, verb, _ string) string {
		if verb == "NOOP" {
			return "421 idle for too long"
		}
		return ""
	})
	p := NewPool(PoolConfig{Fresh: time.Nanosecond})
	defer p.Close()
	a := get(t, p, "ada", f.config())
	p.Put(a)
	if b := get(t, p, "ada", f.config()); b == a || b.Err() != nil {
		t.Error("a session was handed out that the server had ended")
	}
	if a.Err() == nil || f.count() != 2 {
		t.Errorf("the dead session is kept, or %d sessions were made", f.count())
	}
	b := get(t, p, "ada", f.config())
	b.Close()
	p.Put(b)
	if _, idle := p.Len(); idle != 0 {
		t.Error("a broken session was kept")
	}
}

func TestPoolAges(t *testing.T) { synctest.Test(t, testPoolAges) }

func testPoolAges(t *testing.T) {
	f := newPiped(t, answers(nil))
	p := NewPool(PoolConfig{IdleTime: 20 * time.Millisecond})
	defer p.Close()
	a := get(t, p, "ada", f.config())
	p.Put(a)
	eventually(t, "an idle session ends", func() bool { all, _ := p.Len(); return all == 0 })
	eventually(t, "its connection closes", func() bool { return a.Err() != nil })
}

func TestPoolCloses(t *testing.T) {
	f := newFake(t, answers(nil))
	p := NewPool(PoolConfig{})
	adaIdle, ada, bob := get(t, p, "ada", f.config()), get(t, p, "ada", f.config()), get(t, p, "bob", f.config())
	p.Put(adaIdle)
	p.CloseOwner("ada")
	if adaIdle.Err() == nil || ada.Err() == nil || bob.Err() != nil {
		t.Errorf("after CloseOwner: %v, %v, %v", adaIdle.Err(), ada.Err(), bob.Err())
	}
	p.Put(ada)
	p.CloseCredential("")
	if bob.Err() != nil {
		t.Error("a session without a credential was closed with none")
	}
	p.Close()
	if bob.Err() == nil {
		t.Error("a session outlived its pool")
	}
	p.Put(bob)
	if _, err := p.Get(bounded(t), "bob", f.config()); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("a closed pool gave %v", err)
	}
	if all, idle := p.Len(); all != 0 || idle != 0 {
		t.Errorf("%d sessions, %d idle in a closed pool", all, idle)
	}
}

// TestPoolExpiry: a session ends with its credential, in use or not.
func TestPoolExpiry(t *testing.T) { synctest.Test(t, testPoolExpiry) }

func testPoolExpiry(t *testing.T) {
	f := newPiped(t, answers(nil))
	p := NewPool(PoolConfig{})
	defer p.Close()
	short, err := gsi.NewEphemeral("short", 1500*time.Millisecond) // certificates count whole seconds
	if err != nil {
		t.Fatal(err)
	}
	config := f.config()
	config.Credential = short
	a := get(t, p, "ada", config)
	p.Put(a)
	// It ends too soon to be worth a start.
	b := get(t, p, "ada", config)
	if b == a {
		t.Error("a session was handed out whose credential is about to end")
	}
	eventually(t, "the session in use ends", func() bool { return b.Err() != nil })
	if !errors.Is(b.Err(), ErrExpired) || !errors.Is(b.Noop(bounded(t)), ErrExpired) {
		t.Errorf("the session ended with %v", b.Err())
	}
	p.Put(b)
	if _, err := p.Get(bounded(t), "ada", config); !errors.Is(err, ErrExpired) {
		t.Errorf("with the credential that has ended: %v", err)
	}

	long, err := gsi.NewEphemeral("long", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	config.Credential = long
	c := get(t, p, "ada", config)
	p.CloseCredential(long.Fingerprint())
	if c.Err() == nil {
		t.Error("a session outlived its deactivated credential")
	}
	p.Put(c)
}

// TestPoolSeparates: sessions differ by everything that says whose they are and
// how their data channels are protected.
func TestPoolSeparates(t *testing.T) {
	f := newFake(t, answers(nil))
	p := NewPool(PoolConfig{Idle: 100})
	defer p.Close()
	base := f.config()
	base.Credential = ephemeral(t, time.Hour)
	first := get(t, p, "ada", base)
	p.Put(first)
	for name, edit := range map[string]func(*Config){
		"credential":  func(c *Config) { c.Credential = ephemeral(t, time.Hour) },
		"trust":       func(c *Config) { c.Trust = new(gsi.Trust) },
		"host":        func(c *Config) { c.Host = "dtn.example.org" },
		"identity":    func(c *Config) { c.Identity = "/CN=dtn" },
		"user":        func(c *Config) { c.User = "bob" },
		"data auth":   func(c *Config) { c.DataAuth = AuthNone },
		"delegation":  func(c *Config) { c.Delegation = DelegateAlways },
		"TLS version": func(c *Config) { c.MinTLS = 0x304 },
	} {
		config := base
		edit(&config)
		c := get(t, p, "ada", config)
		if c == first {
			t.Errorf("%s: a session was used that was made with another", name)
		}
		p.Put(c)
		if again := get(t, p, "ada", config); again != c {
			t.Errorf("%s: its own session was not used again", name)
		} else {
			p.Put(again)
		}
	}
	if c := get(t, p, "ada", base); c != first {
		t.Error("the first session was not used again")
	} else {
		p.Put(c)
	}
}

// TestPoolTogether has many users take, use, break and return sessions while
// owners are closed: no session is ever with two of them.
func TestPoolTogether(t *testing.T) {
	f := newFake(t, answers(nil))
	p := NewPool(PoolConfig{Idle: 3, IdleTime: 5 * time.Millisecond, Fresh: time.Nanosecond})
	ctx := bounded(t)
	var held sync.Map // of sessions in use
	var users sync.WaitGroup
	for user := range 8 {
		users.Go(func() {
			owner := []string{"ada", "bob"}[user%2]
			for round := range 25 {
				c, err := p.Get(ctx, owner, f.config())
				if err != nil {
					t.Errorf("user %d: %v", user, err)
					return
				}
				if other, taken := held.LoadOrStore(c, owner); taken {
					t.Errorf("a session of %s was given to %s", other, owner)
				}
				_ = c.Noop(ctx) // CloseOwner may have ended it
				switch {
				case round%7 == user:
					c.Interrupt()
				case round == 20 && user == 0:
					p.CloseOwner("bob")
				}
				held.Delete(c)
				p.Put(c)
			}
		})
	}
	users.Wait()
	p.Close()
	if all, idle := p.Len(); all != 0 || idle != 0 {
		t.Errorf("%d sessions, %d idle are left", all, idle)
	}
}
