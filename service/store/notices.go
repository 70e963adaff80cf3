package store

import "context"

// BeginNotice notes that a message of that id is about to be sent, and says
// whether it is known to have been. One that was begun and not ended may have
// been sent, or not.
func (s *Store) BeginNotice(ctx context.Context, id string) (sent bool, err error) {
	var at int64
	err = s.update(ctx, "begin notice", id, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		// The update changes nothing, and makes there be a row to return.
		return c.row(ctx, []any{&at}, `INSERT INTO notices (id, begun, sent) VALUES (?, ?, 0)
			ON CONFLICT (id) DO UPDATE SET begun = notices.begun RETURNING sent`, id, now.UnixMicro())
	})
	return at > 0, err
}

// EndNotice notes that whoever was to deliver the message has accepted it.
func (s *Store) EndNotice(ctx context.Context, id string) error {
	return s.update(ctx, "end notice", id, func(ctx context.Context, c conn) error {
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		_, err = c.exec(ctx, `INSERT INTO notices (id, begun, sent) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET sent = excluded.sent`,
			id, now.UnixMicro(), now.UnixMicro())
		return err
	})
}
