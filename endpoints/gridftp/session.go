package gridftp

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
)

// session returns a session with one of the servers.
func (s *Storage) session(ctx context.Context) (*wire.Client, error) {
	return s.sessionWith(ctx, func(*wire.Config) {})
}

func (s *Storage) sessionWith(ctx context.Context, edit func(*wire.Config)) (*wire.Client, error) {
	const op = "log in to"
	s.mu.Lock()
	config, closed := s.config, s.closed
	if s.private {
		makePrivate(&config)
	}
	if !closed {
		s.coming++
	}
	s.mu.Unlock()
	if closed {
		return nil, s.errClosed(op)
	}
	defer s.came()
	edit(&config)
	if err := s.drained(); err != nil {
		return nil, err
	}
	if err := s.gate.enter(ctx); err != nil {
		return nil, err
	}
	c, at, err := s.anySession(ctx, config)
	if err != nil {
		s.gate.leave()
		return nil, err
	}
	s.gate.has(c, true)
	return c, s.use(c, at)
}

// anySession returns a session with the server that is best for it now.
func (s *Storage) anySession(ctx context.Context, config wire.Config) (*wire.Client, *server, error) {
	tried := map[*server]bool{}
	var failed error
	paid := !s.gate.rationed()
	for {
		m, a, err := s.team.pick(ctx, s.name, tried)
		if err != nil {
			return nil, nil, err
		}
		if a == nil {
			return nil, nil, failed
		}
		tried[m.server] = true
		c, again, err := s.login(ctx, m, a, config, paid)
		switch {
		case err == nil:
			return c, m.server, nil
		case errors.Is(err, errLoginUnpaid):
			if err := s.gate.login(ctx); err != nil {
				return nil, nil, err
			}
			paid = true
			delete(tried, m.server)
			continue
		}
		failed = err
		if !again || ctx.Err() != nil {
			return nil, nil, failed // the other servers would say the same
		}
	}
}

// The time that a login has where another server could be tried.
const (
	greetTime = 10 * time.Second
	loginTime = 20 * time.Second
)

// login makes a session with one server, or takes an idle one, and judges the
// server by that. After an error, again says that another server may do better.
func (s *Storage) login(ctx context.Context, m member, a *attempt, config wire.Config, paid bool) (_ *wire.Client, again bool, _ error) {
	const op = "log in to"
	config.Addr, config.Host = m.addr, m.host
	login, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.server.mu.Lock()
	a.end = cancel
	m.server.mu.Unlock()
	if s.team.several() {
		if t := &config.Timeouts; t.Dial <= 0 || t.Dial > greetTime {
			t.Dial = greetTime
		}
		if t := &config.Timeouts; t.Login <= 0 || t.Login > loginTime {
			t.Login = loginTime
		}
		var stop context.CancelFunc
		login, stop = context.WithTimeout(login, config.Timeouts.Dial+config.Timeouts.Login)
		defer stop()
	}
	var control *controlConn
	if config.Scheme != wire.SSHFTP {
		config.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			if !paid {
				return nil, errLoginUnpaid // its wait is none of the server's
			}
			done, err := s.gate.connect(ctx)
			if err != nil {
				return nil, err
			}
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				done()
				return nil, err
			}
			control = m.newConn(conn, done)
			return control, nil
		}
	}
	c, err := s.driver.pool.Get(login, s.owner, config)
	if err == nil {
		m.ended(a, answered, nil)
		m.attach(c, control, s.team)
		return c, false, nil
	}
	classified, _ := s.classify(ctx, op, s.at(m.addr), err, reads)
	var turn *turnError
	switch {
	case errors.Is(err, errLoginUnpaid):
		m.ended(a, showedNot, err)
		return nil, false, errLoginUnpaid
	case errors.As(err, &turn):
		m.ended(a, showedNot, err)
		return nil, false, turn.error
	case ctx.Err() != nil, errors.Is(err, wire.ErrPoolClosed):
		m.ended(a, showedNot, err)
		return nil, false, classified
	case context.Cause(login) == errLeftOut:
		m.ended(a, showedNot, err)
		return nil, true, fault.Wrap(fault.Transient, op, s.at(m.addr), errLeftOut)
	case fault.Is(classified, fault.Transient):
		m.ended(a, failed, err)
		return nil, true, classified
	case fault.Is(classified, fault.Busy):
		m.ended(a, wasFull, err)
		return nil, true, classified
	}
	m.ended(a, answered, nil)
	return nil, false, classified
}

// came notes that a session has been made, or has not.
func (s *Storage) came() {
	s.mu.Lock()
	s.coming--
	s.mu.Unlock()
	s.settle()
}

// settle gives up what the storage shares with others when it is closed and has
// no session any more.
func (s *Storage) settle() {
	s.mu.Lock()
	over := s.closed && s.coming == 0 && len(s.using) == 0
	s.mu.Unlock()
	if over {
		s.leave()
	}
}

// use notes that a session is in use, for Close.
func (s *Storage) use(c *wire.Client, at *server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Interrupt()
		at.detach(c)
		s.driver.pool.Put(c)
		s.gate.has(c, false)
		s.gate.leave()
		return s.errClosed("use")
	}
	s.using[c] = at
	return nil
}

// alive notes that a session moves bytes.
func (s *Storage) alive(c *wire.Client) {
	s.mu.Lock()
	at := s.using[c]
	s.mu.Unlock()
	if at != nil {
		at.alive(c)
	}
}

// release gives a session back.
func (s *Storage) release(c *wire.Client) {
	s.mu.Lock()
	at := s.using[c]
	delete(s.using, c)
	s.mu.Unlock()
	drained := at.detach(c) || s.drained() != nil
	s.driver.pool.Put(c)
	s.gate.has(c, false)
	s.gate.leave()
	if drained {
		s.driver.pool.CloseIdle(at.addr)
	}
	s.settle()
}
