package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// Host tells one machine from another.
type Host struct {
	Name    string `json:"name"`
	Machine string `json:"machine,omitempty"` // machine-id(5); empty in many containers
	Boot    string `json:"boot,omitempty"`    // of the running kernel, which containers of one machine share
}

// ThisHost asks the operating system.
func ThisHost() (Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return Host{}, fmt.Errorf("ask for the host's name: %w", err)
	}
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			return "" // not every system has one
		}
		return strings.TrimSpace(string(b))
	}
	return Host{Name: name, Machine: read("/etc/machine-id"), Boot: read("/proc/sys/kernel/random/boot_id")}, nil
}

// same says whether two descriptions are of one machine. A machine that was
// renamed, booted, or looked at from a container still is one.
func (h Host) same(o Host) bool {
	return h.Name == o.Name || (h.Machine != "" && h.Machine == o.Machine) || (h.Boot != "" && h.Boot == o.Boot)
}

// Names of bindings.
const (
	bindHost  = "host"
	bindBlobs = "blobs"
)

// claim makes the store this host's, or refuses.
func (s *Store) claim(ctx context.Context, h Host, adopt bool) error {
	const op = "open store"
	return s.update(ctx, op, s.name, func(ctx context.Context, c conn) error {
		was, err := binding(ctx, c, bindHost)
		if err != nil {
			return err
		}
		var owner Host
		if was != "" {
			if err := json.Unmarshal([]byte(was), &owner); err != nil {
				return err
			}
		}
		if was != "" && !owner.same(h) && !adopt {
			return &fault.Error{
				Kind: fault.Unsupported, Op: op, Path: s.name,
				Err:  fmt.Errorf("the store belongs to host %q, and this is %q; SQLite's locks do not hold between hosts, so both would corrupt it", owner.Name, h.Name),
				Hint: fmt.Sprintf("run the daemon on that host alone, or keep the store in PostgreSQL (store.url); when %q is gone for good, take the store over with gridferryd run --adopt-store", owner.Name),
			}
		}
		now, err := json.Marshal(h)
		if err != nil {
			return err
		}
		return bind(ctx, c, bindHost, string(now))
	})
}

// BindBlobs ties the store to the blob store of that id (see blob.Store) the
// first time, and afterwards refuses any other with Unsupported: workers with
// different blob stores would not find each other's manifests and ledgers.
func (s *Store) BindBlobs(ctx context.Context, id string) error {
	const op = "compare blob stores of"
	return s.update(ctx, op, s.name, func(ctx context.Context, c conn) error {
		was, err := binding(ctx, c, bindBlobs)
		if err != nil {
			return err
		}
		if was != "" && was != id {
			return &fault.Error{
				Kind: fault.Unsupported, Op: op, Path: s.name,
				Err:  errors.New("this process keeps its blobs in another place than those that used the store before it"),
				Hint: "give all workers the same data_dir, on a file system they share",
			}
		}
		return bind(ctx, c, bindBlobs, id)
	})
}

func binding(ctx context.Context, c conn, name string) (string, error) {
	var value string
	err := c.row(ctx, []any{&value}, `SELECT value FROM bindings WHERE name = ?`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func bind(ctx context.Context, c conn, name, value string) error {
	_, err := c.exec(ctx, `INSERT INTO bindings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
	return err
}
