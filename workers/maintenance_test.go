package workers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// conditions is what all workers know.
type conditions struct {
	kept endpoints.Condition
	fail error
}

func (c *conditions) Condition(context.Context) (endpoints.Condition, error) { return c.kept, c.fail }

func (c *conditions) PutDown(_ context.Context, d endpoints.Down, _ time.Duration) error {
	c.kept.Down = slices.DeleteFunc(c.kept.Down, func(x endpoints.Down) bool { return x.Server == d.Server && x.By == d.By })
	if d.Why != "" {
		c.kept.Down = append(c.kept.Down, d)
	}
	return c.fail
}

func (c *conditions) PutDrain(_ context.Context, d endpoints.Drain) error {
	c.kept.Drains = append(c.kept.Drains, d)
	return nil
}

func (c *conditions) DeleteDrain(_ context.Context, name string) error {
	n := len(c.kept.Drains)
	c.kept.Drains = slices.DeleteFunc(c.kept.Drains, func(d endpoints.Drain) bool { return d.Name == name })
	if len(c.kept.Drains) == n {
		return fault.New(fault.NotFound, "undrain", name, "it is not drained")
	}
	return nil
}

func TestDrainFindsWhatIsMeant(t *testing.T) {
	o := &Opener{}
	o.config.Store(&config.Config{Endpoints: map[string]endpoints.Record{
		"lab#dtn": {Name: "lab#dtn", Servers: []string{"one.example", "two.example:5000", "two.example:5001"}},
		"lab#ftp": {Name: "lab#ftp", Scheme: "ftp", Servers: []string{"ftp.example"}},
	}})
	kept := &conditions{}
	m := NewMaintenance(kept, o)
	for name, want := range map[string]string{
		"lab#dtn": "lab#dtn", "one.example": "one.example:2811", "one.example:2811": "one.example:2811", "ftp.example": "ftp.example:21",
		"two.example:5001": "two.example:5001", "gsiftp://other.example": "other.example:2811", "ftp://other.example:2121": "other.example:2121",
		"other.example:2811": "other.example:2811",
		"two.example":        "", "lab#nobody": "", "other.example": "", "file://laptop": "", "gsiftp://a/b": "",
	} {
		d, err := m.Drain(t.Context(), endpoints.Drain{Name: name, By: "ann"})
		if want == "" {
			if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Invalid) {
				t.Errorf("%s is drained: %v", name, err)
			}
			continue
		}
		if err != nil || d.Name != want || d.By != "ann" {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if err := m.Undrain(t.Context(), name); err != nil || len(kept.kept.Drains) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDrainedEndpoints(t *testing.T) {
	conf := &config.Config{}
	o, err := NewOpener(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	rec := endpoints.Record{Name: "lab#dtn", Kind: "gridftp", Servers: []string{"one.example", "two.example"}}
	if o.Drained(rec) != nil {
		t.Error("drained before anything was heard")
	}
	drain := func(names ...string) {
		var c endpoints.Condition
		for _, n := range names {
			c.Drains = append(c.Drains, endpoints.Drain{Name: n, Reason: "a new disk"})
		}
		o.SetCondition(c)
	}
	for _, c := range []struct {
		names []string
		want  bool
	}{
		{[]string{"one.example:2811"}, false}, {[]string{"one.example:2811", "two.example:2811"}, true},
		{[]string{"lab#dtn"}, true}, {[]string{"lab#other"}, false}, {nil, false},
	} {
		drain(c.names...)
		if got := o.Drained(rec) != nil; got != c.want {
			t.Errorf("%v: %v", c.names, got)
		}
	}
	drain("lab#dtn")
	_, err = o.Open(t.Context(), rec, "ann", "")
	if !fault.Is(err, fault.Busy) || !errors.As(err, new(*endpoints.DrainedError)) || !strings.Contains(err.Error(), "a new disk") {
		t.Errorf("opened: %v", err)
	}
}

// TestWatcherShowsSoMany: users name servers, and metrics are kept for good.
func TestWatcherShowsSoMany(t *testing.T) {
	reg := NewRegistry("test")
	w := NewWatcher("one", reg, nil)
	for i := range maxShown + 10 {
		w.Changed(endpoints.ServerChange{Server: fmt.Sprintf("%d.example:2811", i), Out: true})
		w.Changed(endpoints.ServerChange{Server: fmt.Sprintf("%d.example:2811", i)})
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		if f.GetName() == "gridferry_server_left_out" || f.GetName() == "gridferry_server_failures_total" {
			seen++
			if n := len(f.GetMetric()); n != maxShown {
				t.Errorf("%s tells %d servers apart", f.GetName(), n)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d of 2 metrics are there", seen)
	}
}

// TestWatcher: what one process finds reaches the others, and its own word does
// not come back to it.
func TestWatcher(t *testing.T) {
	shared := &conditions{}
	one, two := NewWatcher("one", NewRegistry("test"), nil), NewWatcher("two", nil, nil)
	heard := func(w *Watcher) (down []string) {
		t.Helper()
		err := w.look(t.Context(), shared, func(c endpoints.Condition) {
			for _, d := range c.Down {
				down = append(down, d.Server+" "+d.Why)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return down
	}
	one.Changed(endpoints.ServerChange{Server: "a.example:2811", Out: true, Why: "refused", Time: time.Now()})
	if got := heard(one); len(got) > 0 {
		t.Errorf("it hears of itself: %v", got)
	}
	if got := heard(two); len(got) != 1 || got[0] != "a.example:2811 refused" {
		t.Errorf("the other hears %v", got)
	}
	one.Changed(endpoints.ServerChange{Server: "a.example:2811"})
	shared.fail = fault.New(fault.Transient, "ask", "the store", "it is away")
	if err := one.look(t.Context(), shared, nil); err == nil {
		t.Error("no error")
	}
	shared.fail = nil
	heard(one) // what could not be told is told later
	if got := heard(two); len(got) > 0 {
		t.Errorf("the other hears %v", got)
	}
}
