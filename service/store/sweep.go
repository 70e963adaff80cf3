package store

import (
	"context"
	"log/slog"
	"time"
)

// How long the store remembers what has no end of its own. A task that waits
// longer still looks for its credential by itself, and no event is told of
// anew after so long.
const (
	waitersKept = 90 * 24 * time.Hour
	noticesKept = 90 * 24 * time.Hour
)

// Sweep deletes what has expired, and says how many rows that were. What a
// sealed credential was sealed from is out of the database at most a sweep
// after its end.
func (s *Store) Sweep(ctx context.Context) (rows int64, err error) {
	err = s.update(ctx, "sweep", s.name, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		for _, old := range []struct {
			statement string
			before    time.Time
		}{
			{`DELETE FROM credentials WHERE expires <= ?`, now},
			{`DELETE FROM delegations WHERE expires <= ?`, now},
			{`DELETE FROM capabilities WHERE expires <= ?`, now},
			{`DELETE FROM pairs WHERE expires <= ?`, now},
			{`DELETE FROM down WHERE expires <= ?`, now},
			{`DELETE FROM rations WHERE until < ?`, now.Add(-time.Hour)},
			{`DELETE FROM waiters WHERE since < ?`, now.Add(-waitersKept)},
			{`DELETE FROM notices WHERE begun < ?`, now.Add(-noticesKept)},
		} {
			n, err := c.exec(ctx, old.statement, old.before.UnixMicro())
			if err != nil {
				return err
			}
			rows += n
		}
		return nil
	})
	return rows, err
}

// sweepEvery is short beside the lives of credentials, which are hours.
const sweepEvery = 5 * time.Minute

// KeepSwept sweeps until ctx ends.
func (s *Store) KeepSwept(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if n, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("the store could not be swept; the next time will do", "error", err)
		} else if n > 0 {
			log.Debug("store swept", "rows", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
