package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/scale/synthetic"
	"github.com/gridferry/gridferry/service/store"
	"github.com/gridferry/gridferry/workers"
)

// asWorker makes this test binary a worker. Its value is a workerConfig.
const asWorker = "GRIDFERRY_SCALE_WORKER"

// workerConfig is what a worker process is told.
type workerConfig struct {
	Temporal, Namespace string
	State               string // directory of the store and the blobs
	Disk                string // directory of the sink's disk
	Tree                synthetic.Tree
	Profile             string // address to serve profiles at; empty for none
}

func TestMain(m *testing.M) {
	if text := os.Getenv(asWorker); text != "" {
		if err := work(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// work is gridferryd run, with two drivers more.
func work(text string) error {
	var c workerConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if c.Profile != "" {
		if err := serveProfiles(c.Profile); err != nil {
			return err
		}
	}
	kept, err := store.Open(ctx, filepath.Join(c.State, "store.db"), store.Options{Log: logger})
	if err != nil {
		return err
	}
	defer kept.Close()
	blobs, err := blob.NewDir(filepath.Join(c.State, "blobs"))
	if err != nil {
		return err
	}
	disk, err := synthetic.OpenDisk(c.Disk, c.Tree)
	if err != nil {
		return err
	}
	defer disk.Close()
	others, err := workers.NewOpener(&config.Config{}, logger)
	if err != nil {
		return err
	}
	defer others.Close()
	tc, err := client.DialContext(ctx, client.Options{HostPort: c.Temporal, Namespace: c.Namespace, Logger: log.NewStructuredLogger(logger)})
	if err != nil {
		return err
	}
	defer tc.Close()
	return workers.Run(ctx, workers.Config{
		Client: tc, Blobs: blobs, Leases: kept, Records: kept, Waiters: kept, Capabilities: kept,
		Endpoints: &synthetic.Opener{Opener: others, Source: synthetic.NewSource(c.Tree), Sink: synthetic.NewSink(disk)},
		Identity:  fmt.Sprintf("scale-%d", os.Getpid()), Log: logger,
	}, workers.Control, workers.Data)
}

func serveProfiles(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	go func() { _ = http.Serve(l, mux) }() // until the process ends
	return nil
}

// startWorker starts a worker process.
func startWorker(t *testing.T, c workerConfig) *harness.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, harness.Command{Name: "worker", Path: self, Env: harness.Environment(asWorker + "=" + string(text))})
}
