package workers

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// metricLabels are the tags of the Temporal SDK that become labels. Prometheus
// wants the same labels on every series of a name, and the SDK does not always
// set all: what is absent is empty, what is not listed is dropped.
var metricLabels = []string{
	"activity_type", "cause", "client_name", "failure_reason", "namespace", "operation",
	"poller_type", "status_code", "task_queue", "worker_type", "workflow_type",
}

// NewMetricsHandler shows the Temporal SDK's metrics in a Prometheus registry.
func NewMetricsHandler(reg prometheus.Registerer) client.MetricsHandler {
	return metricsHandler{family: &metricFamily{reg: reg, vecs: make(map[string]prometheus.Collector)}, values: make([]string, len(metricLabels))}
}

type metricFamily struct {
	reg  prometheus.Registerer
	mu   sync.Mutex
	vecs map[string]prometheus.Collector
}

type metricsHandler struct {
	family *metricFamily
	values []string // of metricLabels
}

// WithTags implements client.MetricsHandler.
func (h metricsHandler) WithTags(tags map[string]string) client.MetricsHandler {
	h.values = slices.Clone(h.values)
	for i, name := range metricLabels {
		if v, ok := tags[name]; ok {
			h.values[i] = strings.ToValidUTF8(v, "?")
		}
	}
	return h
}

// vec returns the collector of a name, made and registered when it is new. It
// is nil when the name is taken by another kind of metric.
func vec[V prometheus.Collector](f *metricFamily, name string, build func() V) (v V, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, there := f.vecs[name]; there {
		v, ok = c.(V)
		return v, ok
	}
	v = build()
	if f.reg.Register(v) != nil {
		var none V
		return none, false
	}
	f.vecs[name] = v
	return v, true
}

// Counter implements client.MetricsHandler.
func (h metricsHandler) Counter(name string) client.MetricsCounter {
	v, ok := vec(h.family, name, func() *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: "Of the Temporal SDK."}, metricLabels)
	})
	if !ok {
		return client.MetricsNopHandler.Counter(name)
	}
	return counter{v.WithLabelValues(h.values...)}
}

// Gauge implements client.MetricsHandler.
func (h metricsHandler) Gauge(name string) client.MetricsGauge {
	v, ok := vec(h.family, name, func() *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: "Of the Temporal SDK."}, metricLabels)
	})
	if !ok {
		return client.MetricsNopHandler.Gauge(name)
	}
	return gauge{v.WithLabelValues(h.values...)}
}

// Timer implements client.MetricsHandler. Times are in seconds.
func (h metricsHandler) Timer(name string) client.MetricsTimer {
	v, ok := vec(h.family, name, func() *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name + "_seconds", Help: "Of the Temporal SDK.", Buckets: []float64{.005, .025, .1, .5, 1, 5, 10, 30, 60, 300, 3600},
		}, metricLabels)
	})
	if !ok {
		return client.MetricsNopHandler.Timer(name)
	}
	return timer{v.WithLabelValues(h.values...)}
}

type counter struct{ prometheus.Counter }

func (c counter) Inc(d int64) { c.Add(float64(d)) }

type gauge struct{ prometheus.Gauge }

func (g gauge) Update(d float64) { g.Set(d) }

type timer struct{ prometheus.Observer }

func (t timer) Record(d time.Duration) { t.Observe(d.Seconds()) }
