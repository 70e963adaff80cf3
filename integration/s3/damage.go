package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Damage is what becomes of some requests on their way: of what a PUT brings, and
// of what a GET is answered.
type Damage struct {
	Method, Query string // that the request has, its query as a part of it
	Times         int    // how often; it counts down
	After         int64  // so many bytes of the body are as they should be
	Is            Harm
}

// Harm is a sort of damage.
type Harm int

// The sorts of damage.
const (
	Reset Harm = iota // the connection is reset
	Short             // it is closed in good order, though more was promised
	Wrong             // one byte is another, and all else is as it should be
)

// damages are those that a meter has yet to do.
type damages struct {
	mu   sync.Mutex
	todo []Damage
	done int
}

// Damage has the next requests that are like d damaged.
func (m *Meter) Damage(d Damage) {
	m.damages.mu.Lock()
	defer m.damages.mu.Unlock()
	m.damages.todo = append(m.damages.todo, d)
}

// Damaged returns how many requests have been.
func (m *Meter) Damaged() int {
	m.damages.mu.Lock()
	defer m.damages.mu.Unlock()
	return m.damages.done
}

// of returns the body that a request or its answer has after the damage that is
// meant for it.
func (d *damages) of(r *http.Request, body io.ReadCloser, length int64) io.ReadCloser {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, b := range d.todo {
		if b.Times > 0 && r.Method == b.Method && strings.Contains(r.URL.RawQuery, b.Query) && length > b.After {
			d.todo[i].Times--
			d.done++
			return &damaged{body, b, connOf(r.Context()), b.After}
		}
	}
	return body
}

type damaged struct {
	io.ReadCloser
	d    Damage
	conn net.Conn
	left int64 // until it happens; -1 is after it
}

var errDamaged = errors.New("the line is damaged")

func (b *damaged) Read(p []byte) (int, error) {
	if b.left < 0 {
		return b.ReadCloser.Read(p)
	}
	if b.left == 0 {
		switch b.d.Is {
		case Reset:
			if tcp, ok := b.conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // else it is closed in good order
			}
			_ = b.conn.Close() // it is what is wanted
			return 0, errDamaged
		case Short:
			return 0, errDamaged
		}
		n, err := b.ReadCloser.Read(p[:min(len(p), 1)])
		if n > 0 {
			p[0] ^= 1
			b.left = -1
		}
		return n, err
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

type connKey struct{}

// withConn keeps a connection where the requests that come over it find it.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) net.Conn {
	c, _ := ctx.Value(connKey{}).(net.Conn)
	return c
}
