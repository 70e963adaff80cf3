package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// PutTask implements activities.Records. Of two writes for one request, the
// final one stays, else the one with the later AsOf; a write without AsOf is
// as of now. A task that was requested again under its old id begins anew.
func (s *Store) PutTask(ctx context.Context, t transfer.Task) error {
	const op = "record task"
	state, err := json.Marshal(t)
	if err != nil {
		return fault.Wrap(fault.Internal, op, string(t.ID), err)
	}
	return s.update(ctx, op, string(t.ID), func(ctx context.Context, c conn) error {
		asOf := t.AsOf
		if asOf.IsZero() {
			var err error
			if asOf, err = c.now(ctx); err != nil {
				return err
			}
		}
		_, err := c.exec(ctx, `
			INSERT INTO tasks (id, owner, status, final, requested, as_of, state) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, status = excluded.status, final = excluded.final,
				requested = excluded.requested, as_of = excluded.as_of, state = excluded.state
			WHERE (excluded.requested, excluded.final, excluded.as_of) >= (tasks.requested, tasks.final, tasks.as_of)`,
			t.ID, t.Owner, t.Status, final(t), t.Requested.UnixMicro(), asOf.UnixMicro(), state)
		return err
	})
}

// final is 1 for a task that has ended, and 0 for others: an integer sorts the
// same in every database.
func final(t transfer.Task) int {
	if t.Status == transfer.Succeeded || t.Status == transfer.Failed {
		return 1
	}
	return 0
}

// Task implements activities.Records.
func (s *Store) Task(ctx context.Context, id transfer.TaskID) (transfer.Task, error) {
	const op = "look up task"
	var state []byte
	err := s.view(ctx, op, string(id), func(ctx context.Context, c conn) error {
		err := c.row(ctx, []any{&state}, `SELECT state FROM tasks WHERE id = ?`, id)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, op, string(id), "there is no such task")
		}
		return err
	})
	if err != nil {
		return transfer.Task{}, err
	}
	return decodeTask(state)
}

func decodeTask(state []byte) (transfer.Task, error) {
	var t transfer.Task
	return t, fault.Wrap(fault.Internal, "read task record", "", json.Unmarshal(state, &t))
}

// Pages of lists hold defaultPage when nothing is asked, and maxPage at most.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Tasks implements activities.Records: newest first, of equal times by id.
func (s *Store) Tasks(ctx context.Context, q transfer.TaskQuery) (transfer.Tasks, error) {
	const op = "list tasks"
	limit := q.Page.Limit
	switch {
	case limit == 0:
		limit = defaultPage
	case limit < 0 || limit > maxPage:
		return transfer.Tasks{}, fault.New(fault.Invalid, op, "limit", fmt.Sprintf("%d is not between 1 and %d", limit, maxPage))
	}
	where, args := []string{"1 = 1"}, []any{}
	if q.Owner != "" {
		where, args = append(where, "owner = ?"), append(args, q.Owner)
	}
	if len(q.Status) > 0 {
		where = append(where, "status IN (?"+strings.Repeat(", ?", len(q.Status)-1)+")")
		for _, st := range q.Status {
			args = append(args, st)
		}
	}
	if q.Page.Token != "" {
		requested, id, err := decodeToken(q.Page.Token)
		if err != nil {
			return transfer.Tasks{}, fault.Wrap(fault.Invalid, op, "token", err)
		}
		where, args = append(where, "(requested < ? OR (requested = ? AND id > ?))"), append(args, requested, requested, id)
	}
	var found transfer.Tasks
	var lastID string
	var lastRequested int64
	err := s.view(ctx, op, "", func(ctx context.Context, c conn) error {
		return c.rows(ctx, func(scan func(...any) error) error {
			if len(found.Tasks) == limit { // the one row more says that there is a next page
				found.Next = encodeToken(lastRequested, lastID)
				return nil
			}
			var state []byte
			if err := scan(&lastID, &lastRequested, &state); err != nil {
				return err
			}
			t, err := decodeTask(state)
			found.Tasks = append(found.Tasks, t)
			return err
		}, `SELECT id, requested, state FROM tasks WHERE `+strings.Join(where, " AND ")+
			` ORDER BY requested DESC, id LIMIT ?`, append(args, limit+1)...)
	})
	if err != nil {
		return transfer.Tasks{}, err
	}
	return found, nil
}

// ForgetTasks implements activities.RecordForgetter. The last write of a task
// that has ended is that of its end, within minutes.
func (s *Store) ForgetTasks(ctx context.Context, before time.Time, look bool) (n int64, err error) {
	const op = "forget tasks"
	if look {
		err = s.view(ctx, op, s.name, func(ctx context.Context, c conn) error {
			return c.row(ctx, []any{&n}, `SELECT COUNT(*) FROM tasks WHERE final = 1 AND as_of < ?`, before.UnixMicro())
		})
		return n, err
	}
	err = s.update(ctx, op, s.name, func(ctx context.Context, c conn) error {
		n, err = c.exec(ctx, `DELETE FROM tasks WHERE final = 1 AND as_of < ?`, before.UnixMicro())
		return err
	})
	return n, err
}

func encodeToken(requested int64, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(requested, 36) + " " + id))
}

var errToken = errors.New("not a token that a list gave")

func decodeToken(token string) (requested int64, id string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, "", errToken
	}
	number, id, ok := strings.Cut(string(b), " ")
	if requested, err = strconv.ParseInt(number, 36, 64); err != nil || !ok {
		return 0, "", errToken
	}
	return requested, id, nil
}
