package ranges

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/service"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

const mib = 1 << 20

// A site is two endpoints of two GridFTP servers each, on hosts of their own,
// and workers on others.
type site struct {
	t        *testing.T
	net      *harness.Network
	temporal *harness.Temporal
	service  *service.Service
	src, dst []*globus.Server
	conf     string
	proxy    string
}

// rate is each server's line, in bytes a second: slow enough that much is
// still to come when a worker is killed.
const rate = 12 * mib

func newSite(t *testing.T, from string) *site {
	t.Helper()
	s := &site{t: t, net: harness.NewNetwork(t)}
	s.temporal = harness.NewTemporal(t, harness.TemporalOptions{Flags: []string{"-host", s.net.Address}})
	c, err := client.Dial(client.Options{
		HostPort: s.temporal.Address, Namespace: s.temporal.Namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	must(t, err)
	t.Cleanup(c.Close)
	s.service = service.New(c, service.Options{})

	ca := gsitest.NewCA(t)
	to := t.TempDir()
	for n := range 2 {
		for _, end := range []struct {
			name, root string
			servers    *[]*globus.Server
		}{{"from", from, &s.src}, {"to", to, &s.dst}} {
			host := s.net.Host(fmt.Sprint(end.name, n))
			host.Limit(rate)
			*end.servers = append(*end.servers, globus.NewServer(t, globus.Options{
				CA: ca, Address: host.Address, Namespace: host.Namespace, Root: end.root,
			}))
		}
	}
	s.proxy = ca.ProxyFile(ca.Proxy(ca.User("Ada")))
	s.conf = filepath.Join(t.TempDir(), "gridferryd.yaml")
	must(t, os.WriteFile(s.conf, fmt.Appendf(nil, `roles: [control, data]
data_dir: %q
trust_dir: %q
endpoints:
  lab#from: {kind: gridftp, servers: [%q, %q]}
  lab#to: {kind: gridftp, servers: [%q, %q]}
`, t.TempDir(), ca.Dir, s.src[0].Addr(), s.src[1].Addr(), s.dst[0].Addr(), s.dst[1].Addr()), 0o600))
	return s
}

// A worker is a process on a host of its own, by whose address the servers
// know its sessions.
type worker struct {
	*harness.Process
	address string
}

func (s *site) worker(name string) worker {
	s.t.Helper()
	host := s.net.Host(name)
	p := harness.Start(s.t, harness.Command{
		Name: name, Path: harness.Binary(s.t, "gridferryd"), Args: []string{"run", "--config", s.conf}, Namespace: host.Namespace,
		Env: harness.Environment(append(s.temporal.Env(), "X509_USER_PROXY="+s.proxy)...),
	})
	p.Ready(time.Minute, func() error {
		if n := strings.Count(p.Log(), "worker started"); n < 2 {
			return fmt.Errorf("%d of its 2 roles are served", n)
		}
		return nil
	})
	return worker{p, host.Address}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// size is of the one file, and rangeSize of its ranges; the parts of these that
// are confirmed one by one, and sent again after a kill, have partSize.
const (
	size      = 512 * mib
	rangeSize = 48 * mib
	partSize  = 16 * mib
)

// TestRangesOverWorkersAndServers copies one file in ranges, and kills one of
// two workers when about a third of it is there.
func TestRangesOverWorkersAndServers(t *testing.T) {
	for _, route := range []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay} {
		t.Run(string(route), func(t *testing.T) {
			t.Parallel()
			from := t.TempDir()
			_, err := tree.Make(from, tree.Spec{Seed: 1, Files: 1, Bytes: size, Large: []int64{size}}, nil)
			must(t, err)
			s := newSite(t, from)
			victim, other := s.worker("victim"), s.worker("other")
			id, err := s.service.Submit(t.Context(), "", transfer.Request{
				Source: "lab#from:" + from, Destination: "lab#to:" + s.dst[0].Root, Recursive: true,
				Tuning: transfer.Policy{RangeSize: rangeSize}, Route: route,
			})
			must(t, err)
			harness.Eventually(t, 2*time.Minute, func() error {
				if n := total(s.moves(s.src)); n < size/3 {
					return fmt.Errorf("%d MiB are moved", n/mib)
				}
				return nil
			})
			victim.Kill()
			killed := time.Now()

			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			task, err := s.service.Wait(ctx, id)
			must(t, err)
			if p := task.Progress; task.Status != transfer.Succeeded || p.FilesDone != 1 || p.BytesDone != size || p.BytesChecksummed != size {
				t.Errorf("the task is %s: %s; %+v", task.Status, task.Verdict, p)
			}
			equal, diffs, err := tree.Compare(from, s.dst[0].Root)
			must(t, err)
			if equal == 0 || len(diffs) > 0 {
				t.Errorf("%d names are equal; differences: %v", equal, diffs)
			}
			for end, servers := range map[string][]*globus.Server{"source": s.src, "destination": s.dst} {
				s.atOnce(end, servers, victim, other, killed)
			}
			sent := s.moves(s.src)
			streams := atMost(sent, func(m move) bool { return m.worker == victim.address })
			again := total(sent) - size
			t.Logf("%.1f MiB of %d MiB were sent again; the worker that was killed had %d streams", float64(again)/mib, size/mib, streams)
			// The part on its way, and what had arrived since the ledger was last kept.
			limit := int64(streams+1) * partSize
			for _, f := range s.mismatches(id) {
				t.Errorf("the whole file was copied again: %s", f)
			}
			if again < 0 || again > limit {
				t.Errorf("%d bytes were sent again, which is not between 0 and %d", again, limit)
			}
		})
	}
}

// mismatches are the task's faults that had a file copied anew.
func (s *site) mismatches(id transfer.TaskID) (found []string) {
	s.t.Helper()
	events, err := s.service.Events(s.t.Context(), id, transfer.Page{Limit: 1000})
	must(s.t, err)
	for _, e := range events.Events {
		if e.Fault != nil && e.Fault.Kind == fault.Integrity {
			found = append(found, e.Description)
		}
	}
	return found
}

// A move is some bytes of a file over a data channel, as a server logged it.
type move struct {
	server     int
	worker     string // address of whoever told the server to
	begin, end time.Time
	bytes      int64
}

var (
	connection = regexp.MustCompile(`^\[(\d+)\] .*:: New connection from: ([\d.]+):\d+$`)
	stats      = regexp.MustCompile(`^\[(\d+)\] .*Transfer stats: DATE=(\S+) .* START=(\S+) .* FILE=.*/large/.* NBYTES=(\d+) .* TYPE=(ERET|RETR|ESTO|STOR) `)
)

// moves reads what servers logged of the file: each transfer, and in whose
// session it was. A session is a process there.
func (s *site) moves(servers []*globus.Server) []move {
	s.t.Helper()
	var all []move
	for n, server := range servers {
		worker := map[string]string{}
		for line := range strings.Lines(server.SessionLog()) {
			line = strings.TrimSuffix(line, "\n")
			if m := connection.FindStringSubmatch(line); m != nil {
				worker[m[1]] = m[2]
			}
			m := stats.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			const layout = "20060102150405.000000"
			end, err1 := time.Parse(layout, m[2])
			begin, err2 := time.Parse(layout, m[3])
			bytes, err3 := strconv.ParseInt(m[4], 10, 64)
			must(s.t, errors.Join(err1, err2, err3))
			all = append(all, move{n, worker[m[1]], begin, end, bytes})
		}
	}
	return all
}

func total(moves []move) (bytes int64) {
	for _, m := range moves {
		bytes += m.bytes
	}
	return bytes
}

// at returns what was under way at a moment.
func at(moves []move, moment time.Time) []move {
	return slices.DeleteFunc(slices.Clone(moves), func(m move) bool { return moment.Before(m.begin) || !moment.Before(m.end) })
}

// atMost counts how many moves of a kind were under way at once.
func atMost(moves []move, kind func(move) bool) (most int) {
	of := slices.DeleteFunc(slices.Clone(moves), func(m move) bool { return !kind(m) })
	for _, m := range of {
		most = max(most, len(at(of, m.begin)))
	}
	return most
}

// atOnce fails unless, by the logs of an endpoint's servers, both workers
// moved ranges of the file over both servers at one and the same time.
func (s *site) atOnce(end string, servers []*globus.Server, victim, other worker, killed time.Time) {
	s.t.Helper()
	moves := s.moves(servers)
	var together, both time.Duration
	edges := []time.Time{}
	for _, m := range moves {
		edges = append(edges, m.begin, m.end)
	}
	slices.SortFunc(edges, time.Time.Compare)
	for i := range len(edges) - 1 {
		workers, serving := map[string]bool{}, map[int]bool{}
		for _, m := range at(moves, edges[i]) {
			workers[m.worker], serving[m.server] = true, true
		}
		if workers[victim.address] && workers[other.address] && len(serving) == len(servers) {
			together += edges[i+1].Sub(edges[i])
		}
		if len(serving) == len(servers) {
			both += edges[i+1].Sub(edges[i])
		}
	}
	by := map[string]int64{}
	for _, m := range moves {
		by[fmt.Sprintf("server %d for worker %s", m.server, m.worker)] += m.bytes / mib
	}
	s.t.Logf("%s: both workers on both servers for %v, both servers for %v; MiB moved: %v", end, together.Round(time.Millisecond), both.Round(time.Millisecond), by)
	if together < time.Second {
		s.t.Errorf("%s: both workers were at work on both servers for %v only", end, together)
	}
	for _, m := range moves {
		if m.worker == victim.address && m.begin.After(killed.UTC().Add(5*time.Second)) {
			s.t.Errorf("%s: the worker that was killed has begun to move something at %v", end, m.begin)
			break
		}
	}
}
