package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
)

// fakeMaintenance is what a daemon keeps, in a file. Nobody may drain "hpc".
type fakeMaintenance struct{ kept endpoints.Condition }

const conditionFile = "condition.json"

func connectMaintenance(context.Context, starter.Connection) (transfer.Maintenance, func(), error) {
	f := &fakeMaintenance{}
	if text, err := os.ReadFile(conditionFile); err == nil {
		if err := json.Unmarshal(text, &f.kept); err != nil {
			return nil, nil, err
		}
	}
	return f, func() {}, nil
}

func (f *fakeMaintenance) put() error {
	text, err := json.Marshal(f.kept)
	if err != nil {
		return err
	}
	return os.WriteFile(conditionFile, text, 0o644)
}

func (f *fakeMaintenance) Drain(_ context.Context, name, reason string) (endpoints.Drain, error) {
	if name == "hpc" {
		return endpoints.Drain{}, fault.New(fault.Permission, "drain", "endpoints", "ada is no operator")
	}
	d := endpoints.Drain{Name: name, By: "ada", Reason: reason, Since: noon}
	f.kept.Drains = append(f.kept.Drains, d)
	return d, f.put()
}

func (f *fakeMaintenance) Undrain(_ context.Context, name string) error {
	i := slices.IndexFunc(f.kept.Drains, func(d endpoints.Drain) bool { return d.Name == name })
	if i < 0 {
		return fault.New(fault.NotFound, "undrain", name, "it is not drained")
	}
	f.kept.Drains = slices.Delete(f.kept.Drains, i, i+1)
	return f.put()
}

func (f *fakeMaintenance) Condition(context.Context) (endpoints.Condition, error) { return f.kept, nil }
