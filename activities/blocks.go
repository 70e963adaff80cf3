package activities

import (
	"context"
	"sync"
)

// A relay reads and writes blocks of this many bytes.
const relayBlock = 1 << 20

const (
	// relayMemory is how many blocks all relays of a worker hold at most,
	// together, whatever the number of its tasks and sessions.
	relayMemory = 96

	// leastBlocks are what a relay needs: one to be read, one to be hashed and
	// one to be written. With relayAhead of them it rides out a slow moment of
	// either side.
	leastBlocks = 3
	relayAhead  = 8
)

// blocks are the memory through which the relays of one worker move bytes. A
// relay takes all that it needs at once and needs no other to end, so that
// those which wait always get their turn. The zero blocks are ready.
type blocks struct {
	limit int // what tests have smaller; 0 is relayMemory

	mu    sync.Mutex
	lent  int
	peak  int           // of lent
	freed chan struct{} // closed when some come back; nil when nobody waits
	spare sync.Pool     // of *[relayBlock]byte
}

// take lends as many blocks as there are to spare, leastBlocks at least and
// want at most, and waits for them.
func (b *blocks) take(ctx context.Context, want int) ([][]byte, error) {
	limit := b.limit
	if limit == 0 {
		limit = relayMemory
	}
	want = max(1, want)
	least := min(leastBlocks, want)
	b.mu.Lock()
	for b.lent > 0 && b.lent+least > limit {
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		b.mu.Lock()
	}
	// More than the least only out of what nobody is likely to ask for.
	n := min(want, max(least, (limit-b.lent)/4))
	b.lent += n
	b.peak = max(b.peak, b.lent)
	b.mu.Unlock()
	out := make([][]byte, n)
	for i := range out {
		block, ok := b.spare.Get().(*[relayBlock]byte)
		if !ok {
			block = new([relayBlock]byte)
		}
		out[i] = block[:]
	}
	return out, nil
}

// give takes blocks back.
func (b *blocks) give(all [][]byte) {
	for _, block := range all {
		b.spare.Put((*[relayBlock]byte)(block[:relayBlock]))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lent -= len(all)
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
