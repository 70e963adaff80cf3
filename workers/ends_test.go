package workers

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridferry/gridferry/wire/gsi"
)

func TestEnds(t *testing.T) {
	now := time.Now()
	soon := gsi.Expiry{Kind: gsi.ExpiryHost, Name: "/CN=dtn", Ends: now.Add(5 * 24 * time.Hour)}
	list := gsi.Expiry{Kind: gsi.ExpiryCRL, Name: "/CN=CA", File: "0a1b2c3d.r0", Ends: now.Add(30 * 24 * time.Hour)}
	all := []gsi.Expiry{soon, list}
	e := NewEnds(func() []gsi.Expiry { return all }, func() []gsi.Expiry { return []gsi.Expiry{list} })

	reg := prometheus.NewRegistry()
	if err := reg.Register(e); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || families[0].GetName() != "gridferry_days_left" || len(families[0].GetMetric()) != 2 {
		t.Fatalf("metrics %v", families)
	}
	for _, m := range families[0].GetMetric() {
		want := 5.0
		if m.GetLabel()[1].GetValue() == "revocation list" {
			want = 30
		}
		if got := m.GetGauge().GetValue(); got < want-0.1 || got > want {
			t.Errorf("%v: %v days, want %v", m.GetLabel(), got, want)
		}
	}

	var log bytes.Buffer
	warnings := func(at time.Time) int {
		log.Reset()
		e.warn(slog.New(slog.NewTextHandler(&log, nil)), at)
		return strings.Count(log.String(), "level=WARN")
	}
	if n := warnings(now); n != 1 || !strings.Contains(log.String(), "/CN=dtn") {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	if n := warnings(now.Add(time.Hour)); n != 0 {
		t.Errorf("an hour later, %d warnings again", n)
	}
	if n := warnings(now.Add(25 * time.Hour)); n != 1 {
		t.Errorf("a day later, %d warnings", n)
	}
	all = []gsi.Expiry{list} // the certificate was renewed
	if n := warnings(now.Add(20 * 24 * time.Hour)); n != 1 || !strings.Contains(log.String(), "fetch-crl") {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}
