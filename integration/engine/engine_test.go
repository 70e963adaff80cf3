// Package engine_test runs the activities, without a workflow around them,
// between GridFTP servers that others wrote.
package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// site is two Globus servers and one worker.
type site struct {
	t        testing.TB
	src, dst *globus.Server
	from, to string // directories
	data     *activities.Data
	driver   *gridftp.Driver
	id       gridftp.Identity
	task     transfer.TaskID
}

func newSite(t testing.TB) *site {
	ca := gsitest.NewCA(t)
	s := &site{t: t, src: globus.NewServer(t, globus.Options{CA: ca}), dst: globus.NewServer(t, globus.Options{CA: ca})}
	s.driver = gridftp.New(gridftp.Config{})
	t.Cleanup(s.driver.Close)
	s.id = gridftp.Identity{Owner: "ada", Credential: ca.Proxy(ca.User("Ada")), Trust: ca.Trust()}
	s.data = &activities.Data{
		Endpoints: s, Blobs: blob.NewMemory(), Leases: &leases{epochs: map[string]int64{}}, Identity: "test",
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	s.from, s.to = filepath.Join(s.src.Root, "from"), filepath.Join(s.dst.Root, "to")
	s.task = "6c2f5a0e-3b7d-4f0b-8f83-111111111111"
	return s
}

// Resolve implements endpoints.Opener.
func (s *site) Resolve(_ context.Context, endpoint string) (endpoints.Record, error) {
	server := map[string]*globus.Server{"src": s.src, "dst": s.dst}[endpoint]
	if server == nil {
		return endpoints.Record{}, fault.New(fault.NotFound, "resolve", endpoint, "unknown")
	}
	return endpoints.Record{Name: endpoint, Kind: gridftp.Kind, Servers: []string{server.Addr()}}, nil
}

// Open implements endpoints.Opener.
func (s *site) Open(ctx context.Context, rec endpoints.Record, _, _ string) (endpoints.Storage, error) {
	return s.driver.Open(ctx, rec, s.id)
}

// leases is one process's Leases.
type leases struct {
	mu     sync.Mutex
	epochs map[string]int64
}

func (l *leases) Acquire(_ context.Context, want activities.LeaseRequest) (activities.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs[want.Chunk]++
	return activities.Lease{Task: want.Task, Chunk: want.Chunk, Epoch: l.epochs[want.Chunk], TTL: want.TTL}, nil
}

func (l *leases) Renew(_ context.Context, lease activities.Lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochs[lease.Chunk] != lease.Epoch {
		return fault.New(fault.Canceled, "renew", lease.Chunk, "somebody else has it")
	}
	return nil
}

func (l *leases) Release(context.Context, activities.Lease) error { return nil }

func (s *site) ends() activities.Ends { return activities.Ends{Source: "src", Destination: "dst"} }

func (s *site) request(change ...func(*transfer.Request)) transfer.Request {
	r := transfer.Request{Items: []transfer.Item{{Source: "src:" + s.from, Destination: "dst:" + s.to, Recursive: true}}}
	for _, c := range change {
		c(&r)
	}
	return r.Normalised(time.Now())
}

// plan probes and walks.
func (s *site) plan(req transfer.Request) (probe activities.ProbeResult, walk activities.WalkResult) {
	s.t.Helper()
	probe, err := s.data.Probe(s.t.Context(), activities.ProbeInput{Ends: s.ends(), Rule: req.Route})
	if err != nil {
		s.t.Fatal(err)
	}
	in := activities.WalkInput{Task: s.task, Ends: s.ends(), Request: req, Policy: req.Tuning, Probe: probe}
	for {
		res, err := s.data.WalkStep(s.t.Context(), in)
		if err != nil || res.Blocked != nil {
			s.t.Fatalf("walk: %v, blocked by %v", err, res.Blocked)
		}
		walk.Chunks = append(walk.Chunks, res.Chunks...)
		walk.Dirs = append(walk.Dirs, res.Dirs...)
		walk.Found = walk.Found.Add(res.Found)
		walk.Errors += res.Errors
		if in.Cursor = res.Cursor; in.Cursor == "" {
			return probe, walk
		}
	}
}

func (s *site) copyInput(req transfer.Request, probe activities.ProbeResult, c transfer.Chunk) activities.CopyInput {
	return activities.CopyInput{
		Task: s.task, Ends: s.ends(), Probe: probe, Chunk: c, Options: activities.NewCopyOptions(req, probe.Route.Path), Schedule: 1,
	}
}

func (s *site) copy(ctx context.Context, in activities.CopyInput) activities.CopyResult {
	s.t.Helper()
	res, err := s.data.Copy(ctx, in)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

func (s *site) compare() {
	s.t.Helper()
	n, diffs, err := tree.Compare(s.from, s.to)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range diffs {
		s.t.Error(d)
	}
	s.t.Logf("%d files are equal", n)
}

func routes(t *testing.T, fn func(t *testing.T, route transfer.RouteRule)) {
	for _, route := range []transfer.RouteRule{transfer.RouteThirdParty, transfer.RouteRelay} {
		t.Run(string(route), func(t *testing.T) { fn(t, route) })
	}
}

func write(t testing.TB, name string, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(block)) {
		for i := 0; i < len(block); i += 512 {
			copy(block[i:], fmt.Sprintf("%s at %d", name, off+int64(i)))
		}
		if _, err := f.Write(block[:min(size-off, int64(len(block)))]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTree(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		s := newSite(t)
		if _, err := tree.Make(s.from, tree.Spec{Files: 300, Bytes: 100 << 20, Large: []int64{70 << 20}, Odd: true, Deep: 6, Empties: 5}, nil); err != nil {
			t.Fatal(err)
		}
		req := s.request(func(r *transfer.Request) { r.Route, r.PreserveTime = route, true })
		probe, walk := s.plan(req)
		begun := time.Now()
		var files, bytes int64
		for _, c := range walk.Chunks {
			res := s.copy(t.Context(), s.copyInput(req, probe, c))
			if !res.Complete || res.NFailed > 0 || res.Unverified > 0 {
				t.Fatalf("chunk %s: %+v", c.ID, res)
			}
			t.Logf("chunk %s: %d files, %d bytes in %v (%s)", c.ID, res.Files, res.Bytes, res.Elapsed, c.Tuning.Reason)
			files, bytes = files+res.Files, bytes+res.Bytes
		}
		t.Logf("%d files, %d bytes in %v", files, bytes, time.Since(begun))
		if files != walk.Found.Files || bytes != walk.Found.Bytes {
			t.Errorf("copied %d files and %d bytes, found %+v", files, bytes, walk.Found)
		}
		s.compare()
	})
}

// TestLargeFileResumes stops a copy of a large file in the middle: what both
// servers had confirmed is not sent again.
func TestLargeFileResumes(t *testing.T) {
	routes(t, func(t *testing.T, route transfer.RouteRule) {
		s := newSite(t)
		const size = 200 << 20
		write(t, filepath.Join(s.from, "large"), size)
		req := s.request(func(r *transfer.Request) { r.Route = route })
		probe, walk := s.plan(req)
		in := s.copyInput(req, probe, walk.Chunks[0])
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for ctx.Err() == nil {
				if n := s.written(); n > size/3 {
					stop()
				}
				time.Sleep(5 * time.Millisecond)
			}
		}()
		first := s.copy(ctx, in)
		if !first.Yielded || first.Complete {
			t.Fatalf("the copy that was stopped: %+v", first)
		}
		second := s.copy(t.Context(), in)
		if !second.Complete || second.Files != 1 {
			t.Fatalf("the next one: %+v", second)
		}
		s.compare()
		var moved int64
		for _, tr := range s.dst.Transfers() {
			if tr.Type == "STOR" || tr.Type == "ESTO" {
				moved += tr.Bytes
			}
		}
		t.Logf("%d bytes moved for a file of %d", moved, int64(size))
		if again := moved - size; again > 64<<20 {
			t.Errorf("%d bytes were sent again", again)
		}
	})
}

// written is how much of the temporary file there is.
func (s *site) written() int64 {
	names, _ := filepath.Glob(filepath.Join(s.to, ".*gridferry-*"))
	var n int64
	for _, name := range names {
		if fi, err := os.Stat(name); err == nil {
			n += fi.Size()
		}
	}
	return n
}

// TestVanishedFiles: files that are gone when their turn comes are told apart
// in a deep pipeline, and no file holds another's bytes.
func TestVanishedFiles(t *testing.T) {
	s := newSite(t)
	const n = 60
	for i := range n {
		write(t, filepath.Join(s.from, fmt.Sprintf("f%02d", i)), int64(1000+i))
	}
	req := s.request(func(r *transfer.Request) {
		r.OnError, r.Route, r.Tuning.Concurrency = transfer.OnErrorSkip, transfer.RouteThirdParty, 1
	})
	probe, walk := s.plan(req)
	gone := []string{"f00", "f17", "f18", "f59"}
	for _, name := range gone {
		if err := os.Remove(filepath.Join(s.from, name)); err != nil {
			t.Fatal(err)
		}
	}
	var res activities.CopyResult
	for range 3 {
		if res = s.copy(t.Context(), s.copyInput(req, probe, walk.Chunks[0])); res.Complete {
			break
		}
	}
	if !res.Complete || res.Files != n-int64(len(gone)) || res.NFailed != int64(len(gone)) {
		t.Fatalf("copy: %+v", res)
	}
	for _, f := range res.Failed {
		if f.Kind != fault.NotFound || !f.AtSource || !strings.Contains(strings.Join(gone, " "), filepath.Base(f.Path)) {
			t.Errorf("failed: %+v", f)
		}
	}
	s.compare()
}

// BenchmarkSmallFiles is the rate of small files from server to server, with
// what verification costs beside it.
func BenchmarkSmallFiles(b *testing.B) {
	const n = 5000
	for _, verify := range []transfer.Verify{transfer.VerifyNone, transfer.VerifyChecksum} {
		name := "checksum"
		if verify != transfer.VerifyChecksum {
			name = string(verify)
		}
		b.Run("verify="+name, func(b *testing.B) {
			s := newSite(b)
			s.data.Log = slog.New(slog.DiscardHandler)
			for i := range n {
				write(b, filepath.Join(s.from, fmt.Sprintf("d%02d/f%04d", i%50, i)), 1024)
			}
			for i := 0; b.Loop(); i++ {
				s.to = filepath.Join(s.dst.Root, fmt.Sprint("to", i))
				s.task = transfer.TaskID(fmt.Sprint("bench", i))
				req := s.request(func(r *transfer.Request) { r.Verify = verify })
				probe, walk := s.plan(req)
				for _, c := range walk.Chunks {
					if res := s.copy(b.Context(), s.copyInput(req, probe, c)); !res.Complete {
						b.Fatalf("copy: %+v", res)
					}
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}
