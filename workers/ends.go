package workers

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridferry/gridferry/wire/gsi"
)

const (
	// endsEvery is how often ends are looked at for the log, and warnAgain how
	// often one and the same is warned of.
	endsEvery = time.Hour
	warnAgain = 24 * time.Hour
)

// Ends shows when what logins depend on ends, host certificates, authorities
// and their revocation lists: as a metric, and as warnings in the log from
// gsi.WarnBefore on. Its sources are asked each time, and may say the same.
type Ends struct {
	sources []func() []gsi.Expiry
	days    *prometheus.Desc
	warned  map[gsi.Expiry]time.Time
}

// NewEnds returns the ends that the sources tell of.
func NewEnds(sources ...func() []gsi.Expiry) *Ends {
	return &Ends{
		sources: sources,
		days: prometheus.NewDesc("gridferry_days_left", "Days until the end of what logins depend on; negative after it.",
			[]string{"kind", "name", "file"}, nil),
		warned: make(map[gsi.Expiry]time.Time),
	}
}

func (e *Ends) all() []gsi.Expiry {
	var all []gsi.Expiry
	for _, source := range e.sources {
		for _, x := range source() {
			if !slices.ContainsFunc(all, func(y gsi.Expiry) bool { return x.Kind == y.Kind && x.Name == y.Name && x.File == y.File }) {
				all = append(all, x)
			}
		}
	}
	return all
}

// Describe implements prometheus.Collector.
func (e *Ends) Describe(to chan<- *prometheus.Desc) { to <- e.days }

// Collect implements prometheus.Collector.
func (e *Ends) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	for _, x := range e.all() {
		to <- prometheus.MustNewConstMetric(e.days, prometheus.GaugeValue, x.Ends.Sub(now).Hours()/24, string(x.Kind), x.Name, x.File)
	}
}

// Watch warns, now and every hour until ctx ends, and of each end once a day.
func (e *Ends) Watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(endsEvery)
	defer tick.Stop()
	for {
		e.warn(log, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (e *Ends) warn(log *slog.Logger, now time.Time) {
	all := e.all()
	for x := range e.warned {
		if !slices.Contains(all, x) {
			delete(e.warned, x)
		}
	}
	for _, x := range all {
		if text := x.Warning(now); text != "" && now.Sub(e.warned[x]) >= warnAgain {
			e.warned[x] = now
			log.Warn(text, "kind", string(x.Kind), "name", x.Name, "file", x.File, "ends", x.Ends.UTC())
		}
	}
}
