package gridftp

import "sync"

// CloseIdle ends the idle sessions with the server at addr, a host and port.
// Those in use go on, and are kept when they are put back.
func (p *Pool) CloseIdle(addr string) {
	var idle []*pooled
	p.mu.Lock()
	for key, list := range p.idle {
		if key.addr != addr {
			continue
		}
		for _, s := range append([]*pooled(nil), list...) {
			p.unlist(s)
			delete(p.sessions, s.client)
			idle = append(idle, s)
		}
	}
	p.mu.Unlock()
	var ending sync.WaitGroup
	for _, s := range idle {
		ending.Go(s.end)
	}
	ending.Wait()
}
