package workers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/transfer"
)

const (
	// conditionsEvery is how often workers hear of drains, and of each other's
	// servers.
	conditionsEvery = 4 * time.Second
	// downKept is how long a server is known as down of a worker that says
	// nothing more of it.
	downKept = time.Minute
	// maxShown is how many servers the metrics tell apart: users may name any,
	// and what was shown once is shown until the process ends.
	maxShown = 1000
)

// Watcher tells this process of the condition of servers, and others of what
// this process finds.
type Watcher struct {
	identity string
	log      *slog.Logger

	mu    sync.Mutex
	down  map[string]endpoints.ServerChange // left out by this process
	unput map[string]struct{}               // servers of which the others do not know yet
	shown map[string]struct{}               // in the metrics, at most maxShown

	out    *prometheus.GaugeVec
	opened *prometheus.CounterVec
}

// NewWatcher returns a watcher, which shows its servers in reg unless that is
// nil.
func NewWatcher(identity string, reg prometheus.Registerer, log *slog.Logger) *Watcher {
	w := &Watcher{
		identity: identity, log: log, down: map[string]endpoints.ServerChange{}, unput: map[string]struct{}{}, shown: map[string]struct{}{},
		out: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gridferry_server_left_out", Help: "1 while this process leaves a server out because it does not answer, 0 when it did before.",
		}, []string{"server"}),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gridferry_server_failures_total", Help: "How often this process has begun to leave a server out.",
		}, []string{"server"}),
	}
	if reg != nil {
		reg.MustRegister(w.out, w.opened)
	}
	return w
}

// Changed notes what this process has found. It does not wait.
func (w *Watcher) Changed(c endpoints.ServerChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unput[c.Server] = struct{}{}
	if c.Out {
		w.down[c.Server] = c
	} else {
		delete(w.down, c.Server)
	}
	w.show(c)
}

// show puts a change into the metrics. The caller holds mu.
func (w *Watcher) show(c endpoints.ServerChange) {
	if _, known := w.shown[c.Server]; !known {
		if len(w.shown) == maxShown {
			return
		}
		w.shown[c.Server] = struct{}{}
	}
	if !c.Out {
		w.out.WithLabelValues(c.Server).Set(0)
		return
	}
	w.out.WithLabelValues(c.Server).Set(1)
	w.opened.WithLabelValues(c.Server).Inc()
}

// Watch hears and tells until ctx ends. take is given what is new.
func (w *Watcher) Watch(ctx context.Context, c endpoints.Conditions, take func(endpoints.Condition)) {
	tick := time.NewTicker(conditionsEvery)
	defer tick.Stop()
	silent := false
	for {
		err := w.look(ctx, c, take)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !silent {
			w.log.Warn("drains and the servers that others leave out are not heard of", "error", err)
		}
		silent = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Watcher) look(ctx context.Context, c endpoints.Conditions, take func(endpoints.Condition)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*conditionsEvery)
	defer cancel()
	if err := w.tell(ctx, c); err != nil {
		return err
	}
	found, err := c.Condition(ctx)
	if err != nil {
		return err
	}
	others := found.Down[:0]
	for _, d := range found.Down {
		if d.By != w.identity {
			others = append(others, d)
		}
	}
	found.Down = others
	take(found)
	return nil
}

// tell puts what has changed, and again what is still down.
func (w *Watcher) tell(ctx context.Context, c endpoints.Conditions) error {
	w.mu.Lock()
	var news []endpoints.Down
	for server := range w.unput {
		d := endpoints.Down{Server: server, By: w.identity}
		if out, ok := w.down[server]; ok {
			d.Why, d.Since = out.Why, out.Time
		}
		news = append(news, d)
	}
	for server, out := range w.down {
		if _, listed := w.unput[server]; !listed {
			news = append(news, endpoints.Down{Server: server, By: w.identity, Why: out.Why, Since: out.Time})
		}
	}
	clear(w.unput)
	w.mu.Unlock()
	for i, d := range news {
		if err := c.PutDown(ctx, d, downKept); err != nil {
			w.mu.Lock()
			for _, d := range news[i:] {
				w.unput[d.Server] = struct{}{}
			}
			w.mu.Unlock()
			return err
		}
	}
	return nil
}

// SetCondition has sessions go where servers are in use; see
// gridftp.Driver.SetCondition.
func (o *Opener) SetCondition(c endpoints.Condition) {
	o.condition.Store(&c)
	o.gridftp.SetCondition(c)
}

// Drained implements endpoints.Drainer: the endpoint is, or all its servers
// are.
func (o *Opener) Drained(rec endpoints.Record) *endpoints.Drain {
	c := o.condition.Load()
	if c == nil {
		return nil
	}
	var last *endpoints.Drain
	drained := 0
	for _, d := range c.Drains {
		if rec.Name != "" && d.Name == rec.Name {
			return &d
		}
		for _, s := range rec.Servers {
			if gridftp.ServerName(rec.Scheme, s) == d.Name {
				drained++
				last = &d
			}
		}
	}
	if last != nil && drained >= len(rec.Servers) {
		return last
	}
	return nil
}

// UseWatcher has a watcher told which servers do not answer. It is called
// before the first Open.
func (o *Opener) UseWatcher(w *Watcher) { o.gridftp.Observe(w.Changed) }

// sharing is an opener that has something to share with other workers.
type sharing interface {
	UseLimits(leases activities.Leases, rations endpoints.Rations, task transfer.TaskID, identity string, log *slog.Logger)
	UseWatcher(w *Watcher)
	SetCondition(c endpoints.Condition)
}

// share has the opener keep to what all workers have in common. It is called
// before anything is opened; begin is for when the workers are at work, and
// ends with the process.
func (p *Process) share(c Config) (begin func()) {
	begin = func() {}
	opener, ok := c.Endpoints.(sharing)
	if !ok {
		return begin
	}
	if c.Rations != nil {
		task := transfer.TaskID(sessionsOf)
		if c.Only != "" {
			task = ""
		}
		opener.UseLimits(c.Leases, c.Rations, task, c.Identity, c.Log)
	}
	if c.Conditions == nil {
		return begin
	}
	w := NewWatcher(c.Identity, c.Metrics, c.Log)
	opener.UseWatcher(w)
	return func() {
		ctx, cancel := context.WithCancel(context.Background())
		go w.Watch(ctx, c.Conditions, opener.SetCondition)
		go func() {
			<-p.stopping
			cancel()
		}()
	}
}
