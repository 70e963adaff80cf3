package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.temporal.io/api/enums/v1"

	"github.com/gridferry/gridferry/standalone/temporal"
)

// ready is what `gridferry-standalone temporal` prints once it serves.
type ready struct {
	Address   string `json:"address"` // of the frontend, for TEMPORAL_ADDRESS
	Namespace string `json:"namespace"`
	UI        string `json:"ui,omitempty"` // URL
}

// serveTemporal serves until ctx ends.
func serveTemporal(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := temporalOptions(args, stderr)
	if err != nil {
		return err
	}
	server, err := temporal.Start(ctx, o)
	if err != nil {
		return err
	}
	if err := announce(stdout, ready{Address: server.Address(), Namespace: server.Namespace(), UI: server.UI()}); err != nil {
		return err
	}
	<-ctx.Done()
	return server.Stop()
}

func temporalOptions(args []string, stderr io.Writer) (temporal.Options, error) {
	o := temporal.Options{
		SearchAttributes: make(map[string]enums.IndexedValueType),
		Dynamic:          make(map[string]any),
	}
	flags := flag.NewFlagSet("gridferry-standalone temporal", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.File, "db", "", "SQLite `file` that holds all state, made when absent (default: in memory)")
	flags.StringVar(&o.Host, "host", "127.0.0.1", "numeric `address` to listen on")
	flags.IntVar(&o.Port, "port", 0, "`port` of the frontend (default: a free one)")
	flags.IntVar(&o.UIPort, "ui-port", 0, "`port` of the Web UI (default: no Web UI)")
	flags.StringVar(&o.Namespace, "namespace", "default", "`name` of the namespace, made when absent")
	flags.StringVar(&o.LogLevel, "log-level", "error", "`level` of the server's log: debug, info, warn or error")
	flags.BoolVar(&o.NoOperator, "no-operator", false, "refuse to register search attributes, namespaces and Nexus endpoints")
	flags.Func("search-attribute", "`NAME=TYPE` to give a new namespace, as Owner=Keyword; may be repeated", func(s string) error {
		name, kind, _ := strings.Cut(s, "=")
		t, err := enums.IndexedValueTypeFromString(kind)
		if err != nil || name == "" {
			return fmt.Errorf("want NAME=TYPE, with a type such as Keyword, Text, Int, Bool or Datetime")
		}
		o.SearchAttributes[name] = t
		return nil
	})
	flags.Func("dynamic-config", "`KEY=VALUE` of the server's dynamic configuration, the value in JSON; may be repeated", func(s string) error {
		key, value, _ := strings.Cut(s, "=")
		v, err := dynamicValue(value)
		if err != nil || key == "" {
			return fmt.Errorf("want KEY=VALUE, the value in JSON")
		}
		o.Dynamic[key] = v
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, nil
}

// dynamicValue reads a number as an int where it is one: the server would
// ignore a float.
func dynamicValue(s string) (any, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, nil
	}
	var v any
	err := json.Unmarshal([]byte(s), &v)
	return v, err
}
