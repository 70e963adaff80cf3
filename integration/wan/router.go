//go:build linux

package wan

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A router carries packets between devices.
type router struct {
	delay time.Duration // one way
	rate  float64       // bytes a second; 0 is no limit
	loss  float64
	queue int64

	mu      sync.RWMutex
	ports   map[netip.Addr]*port
	readers sync.WaitGroup
	writers sync.WaitGroup

	lost, full atomic.Int64 // packets
}

// A port is the way towards one host.
type port struct {
	device  *os.File
	packets chan packet

	mu   sync.Mutex
	free time.Time // when the line towards the host has carried what it has
}

type packet struct {
	due  time.Time
	data []byte
}

// waitingPackets bounds a queue in packets, too; it is more than any queue of
// bytes holds of packets that are worth counting.
const waitingPackets = 1 << 17

// leastIPv4 is the length of a header, and 16 the place of the destination's
// address in it (RFC 791, 3.1).
const leastIPv4, destination = 20, 16

func newRouter(o Options) *router {
	return &router{delay: o.RTT / 2, rate: float64(o.Rate), loss: o.Loss, queue: o.Queue, ports: make(map[netip.Addr]*port)}
}

func (r *router) add(address netip.Addr, device *os.File) {
	p := &port{device: device, packets: make(chan packet, waitingPackets)}
	r.mu.Lock()
	r.ports[address] = p
	r.mu.Unlock()
	r.readers.Go(func() { r.read(device) })
	r.writers.Go(p.write)
}

// close removes the devices. What is under way is lost.
func (r *router) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, p := range r.ports {
		errs = append(errs, p.device.Close())
	}
	r.readers.Wait()
	for _, p := range r.ports {
		close(p.packets)
	}
	r.writers.Wait()
	return errors.Join(errs...)
}

// read takes what a host sends, until its device is closed.
func (r *router) read(device *os.File) {
	buf := make([]byte, 1<<16)
	for {
		n, err := device.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil || n < leastIPv4 || buf[0]>>4 != 4:
			continue // the device is not up yet, or speaks IPv6 to itself
		}
		to, _ := netip.AddrFromSlice(buf[destination:leastIPv4])
		r.mu.RLock()
		p := r.ports[to]
		r.mu.RUnlock()
		switch {
		case p == nil:
		case r.loss > 0 && rand.Float64() < r.loss:
			r.lost.Add(1)
		case !p.post(r, append([]byte(nil), buf[:n]...)):
			r.full.Add(1)
		}
	}
}

// post is false where the queue is full. Packets of all senders have the line
// one after another, so that each is due no sooner than the one before it.
func (p *port) post(r *router, data []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if r.rate > 0 {
		if p.free.Before(now) {
			p.free = now
		}
		if p.free.Sub(now).Seconds()*r.rate > float64(r.queue) {
			return false
		}
		p.free = p.free.Add(time.Duration(float64(len(data)) / r.rate * float64(time.Second)))
		now = p.free
	}
	select {
	case p.packets <- packet{now.Add(r.delay), data}:
		return true
	default:
		return false
	}
}

func (p *port) write() {
	for next := range p.packets {
		if wait := time.Until(next.due); wait > 0 {
			time.Sleep(wait)
		}
		// A host that is gone loses its packets, as hosts do.
		_, _ = p.device.Write(next.data)
	}
}
