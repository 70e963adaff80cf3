// Package gridftpd is the GridFTP door: it serves any storage driver with
// package wire/gridftp/server. It translates paths, entries and errors and
// decides nothing; keeping clients inside the tree is the driver's work.
package gridftpd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"sync"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

// New returns a server of what storage holds. Of config, Files is set here;
// Account, when empty, becomes the user this process runs as, and the zero
// Network what the Globus variables in the environment say. The storage stays
// the caller's to close, after the server.
func New(ctx context.Context, storage endpoints.Storage, config server.Config) (*server.Server, error) {
	config.Files = Files(storage)
	if config.Account == "" {
		u, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("find out as whom this process runs: %w", err)
		}
		config.Account = u.Username
	}
	if config.Network == (data.Network{}) {
		var err error
		if config.Network, err = data.NetworkFromEnvironment(ctx); err != nil {
			return nil, err
		}
	}
	return server.New(config)
}

// TransferLog returns a function for server.Config.Transferred that writes
// each transfer as a line of JSON.
func TransferLog(w io.Writer) func(server.Transfer) {
	var mu sync.Mutex
	encoder := json.NewEncoder(w)
	return func(t server.Transfer) {
		mu.Lock()
		defer mu.Unlock()
		_ = encoder.Encode(t) // a log that cannot be written must not stop transfers
	}
}
