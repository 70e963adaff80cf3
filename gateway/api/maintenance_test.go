package api_test

import (
	"context"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/gateway/api"
)

// drains is what an operator keeps.
type drains struct{ kept []endpoints.Drain }

func (d *drains) Drain(_ context.Context, x endpoints.Drain) (endpoints.Drain, error) {
	d.kept = append(d.kept, x)
	return x, nil
}

func (d *drains) Undrain(_ context.Context, name string) error {
	if len(d.kept) == 0 || d.kept[0].Name != name {
		return fault.New(fault.NotFound, "undrain", name, "it is not drained")
	}
	d.kept = nil
	return nil
}

func (d *drains) Condition(context.Context) (endpoints.Condition, error) {
	return endpoints.Condition{Drains: d.kept}, nil
}

func TestOperators(t *testing.T) {
	is := api.Operators([]string{"ann"}, "gridferry")
	for peer, want := range map[*api.Peer]bool{
		{User: "ann"}: true, {User: "ann", Local: true}: true, {User: "bob", Local: true}: false,
		{User: "root", Local: true}: true, {User: "root"}: false, // by a gridmap, which is not this host's word
		{User: "gridferry", Local: true}: true, {User: "gridferry"}: false, {DN: "/CN=Eve"}: false,
	} {
		if got := is(*peer); got != want {
			t.Errorf("%+v: %v", peer, got)
		}
	}
}

// TestMaintenance: operators change, others look.
func TestMaintenance(t *testing.T) {
	for _, operator := range []bool{true, false} {
		s := newSite(t)
		kept := &drains{}
		door := api.New(s.config)
		door.MountMaintenance(kept, func(api.Peer) bool { return operator })
		if err := door.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := api.MaintenanceClient{Client: s.local(t)}
		d, err := m.Drain(t.Context(), "lab#dtn", "a new disk")
		if !operator {
			if !fault.Is(err, fault.Permission) || !fault.Is(m.Undrain(t.Context(), "lab#dtn"), fault.Permission) || len(kept.kept) > 0 {
				t.Errorf("somebody drains: %v", err)
			}
			if _, err := m.Condition(t.Context()); err != nil {
				t.Errorf("somebody may not look: %v", err)
			}
		} else {
			if err != nil || d.Name != "lab#dtn" || d.Reason != "a new disk" || d.By == "" {
				t.Errorf("drained %+v: %v", d, err)
			}
			if c, err := m.Condition(t.Context()); err != nil || len(c.Drains) != 1 {
				t.Errorf("the condition is %+v: %v", c, err)
			}
			if _, err := m.Drain(t.Context(), "", ""); !fault.Is(err, fault.Invalid) {
				t.Errorf("nothing is drained: %v", err)
			}
			if err := m.Undrain(t.Context(), "lab#dtn"); err != nil {
				t.Error(err)
			}
			if err := m.Undrain(t.Context(), "lab#dtn"); !fault.Is(err, fault.NotFound) {
				t.Errorf("undrained twice: %v", err)
			}
		}
		if err := door.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
