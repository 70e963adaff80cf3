package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/gateway/api"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// door is where the daemon is asked. Over mutual TLS the user shows what the
// Globus tools would.
func door(c starter.Connection) (*api.Client, error) {
	service := c.Service
	if service == "" {
		service = config.DefaultService(os.Getenv)
	}
	return api.NewClient(service, api.ClientConfig{
		Credential: gsi.FromEnvironment,
		Trust:      func() (*gsi.Trust, error) { return gsi.LoadTrust(gsi.DefaultTrustDir()) },
	})
}

func credentials(_ context.Context, c starter.Connection) (transfer.Credentials, func(), error) {
	client, err := door(c)
	if err != nil {
		return nil, nil, err
	}
	return api.Credentials{Client: client}, client.Close, nil
}

func maintenance(_ context.Context, c starter.Connection) (transfer.Maintenance, func(), error) {
	client, err := door(c)
	if err != nil {
		return nil, nil, err
	}
	return api.MaintenanceClient{Client: client}, client.Close, nil
}

// secret asks on the terminal, without showing what is typed; nil when there
// is no terminal.
func secret() func(ctx context.Context, question string) ([]byte, error) {
	in := int(os.Stdin.Fd())
	before, err := term.GetState(in)
	if err != nil {
		return nil // it is none
	}
	return func(ctx context.Context, question string) ([]byte, error) {
		type answer struct {
			text []byte
			err  error
		}
		defer fmt.Fprintln(os.Stderr) // the line break that was typed was not shown
		typed := make(chan answer, 1)
		go func() {
			fmt.Fprint(os.Stderr, question)
			text, err := term.ReadPassword(in)
			typed <- answer{text, err}
		}()
		select {
		case a := <-typed:
			return a.text, a.err
		case <-ctx.Done():
			// Or the user's shell would go on without showing what is typed.
			return nil, errors.Join(ctx.Err(), term.Restore(in, before))
		}
	}
}
