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
	asOf := s.micros()
	if !t.AsOf.IsZero() {
		asOf = t.AsOf.UnixMicro()
	}
	_, err = s.write.ExecContext(ctx, `
		INSERT INTO tasks (id, owner, status, final, requested, as_of, state) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, status = excluded.status, final = excluded.final,
			requested = excluded.requested, as_of = excluded.as_of, state = excluded.state
		WHERE (excluded.requested, excluded.final, excluded.as_of) >= (tasks.requested, tasks.final, tasks.as_of)`,
		t.ID, t.Owner, t.Status, final(t), t.Requested.UnixMicro(), asOf, state)
	return classify(ctx, op, string(t.ID), err)
}

func final(t transfer.Task) bool {
	return t.Status == transfer.Succeeded || t.Status == transfer.Failed
}

// Task implements activities.Records.
func (s *Store) Task(ctx context.Context, id transfer.TaskID) (transfer.Task, error) {
	const op = "look up task"
	var state []byte
	err := s.read.QueryRowContext(ctx, `SELECT state FROM tasks WHERE id = ?`, id).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return transfer.Task{}, fault.New(fault.NotFound, op, string(id), "there is no such task")
	}
	if err != nil {
		return transfer.Task{}, classify(ctx, op, string(id), err)
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
	where, args := []string{"1"}, []any{}
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
	rows, err := s.read.QueryContext(ctx, `SELECT id, requested, state FROM tasks WHERE `+strings.Join(where, " AND ")+
		` ORDER BY requested DESC, id LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return transfer.Tasks{}, classify(ctx, op, "", err)
	}
	defer rows.Close()
	var found transfer.Tasks
	var lastID string
	var lastRequested int64
	for rows.Next() {
		if len(found.Tasks) == limit { // the one row more says that there is a next page
			found.Next = encodeToken(lastRequested, lastID)
			break
		}
		var state []byte
		if err := rows.Scan(&lastID, &lastRequested, &state); err != nil {
			return transfer.Tasks{}, classify(ctx, op, "", err)
		}
		t, err := decodeTask(state)
		if err != nil {
			return transfer.Tasks{}, err
		}
		found.Tasks = append(found.Tasks, t)
	}
	return found, classify(ctx, op, "", rows.Err())
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
