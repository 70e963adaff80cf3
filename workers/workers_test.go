package workers

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/store"
)

func TestStartSaysWhatIsMissing(t *testing.T) {
	kept, err := store.Open(t.Context(), t.TempDir()+"/store.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	whole := Config{
		Client: &mocks.Client{}, Blobs: blob.NewMemory(), Records: kept, Leases: kept,
		Endpoints: memory.NewOpener(nil), Identity: "test", Site: "lab1",
	}
	for name, test := range map[string]struct {
		change func(*Config)
		roles  []Role
		lacks  string
	}{
		"no role":     {func(*Config) {}, nil, "no role"},
		"unknown":     {func(*Config) {}, []Role{"mover"}, `"mover"`},
		"no client":   {func(c *Config) { c.Client = nil }, []Role{Control}, "Temporal client"},
		"no blobs":    {func(c *Config) { c.Blobs = nil }, []Role{Data}, "blob store"},
		"no records":  {func(c *Config) { c.Records = nil }, []Role{Control}, "records"},
		"no leases":   {func(c *Config) { c.Leases = nil }, []Role{Data}, "leases"},
		"no opener":   {func(c *Config) { c.Endpoints = nil }, []Role{Control, Data}, "endpoints"},
		"no site":     {func(c *Config) { c.Site = "" }, []Role{Site}, "name of its site"},
		"no identity": {func(c *Config) { c.Identity = "" }, []Role{Site}, "identity"},
	} {
		t.Run(name, func(t *testing.T) {
			c := whole
			test.change(&c)
			_, err := Start(t.Context(), c, test.roles...)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.lacks) {
				t.Errorf("err = %v", err)
			}
		})
	}
	if err := whole.check([]Role{Control, Data, Site}); err != nil {
		t.Errorf("a whole configuration: %v", err)
	}
}

func TestMonitor(t *testing.T) {
	reg := NewRegistry("v1.2.3")
	metrics := NewMetricsHandler(reg)
	metrics.WithTags(map[string]string{"namespace": "n", "unheard_of": "x"}).Counter("requests").Inc(2)
	metrics.WithTags(map[string]string{"namespace": "n"}).WithTags(map[string]string{"task_queue": "q"}).Counter("requests").Inc(3)
	metrics.Gauge("slots").Update(7)
	metrics.Timer("latency").Record(250 * time.Millisecond)
	metrics.Gauge("requests").Update(1) // taken by a counter: dropped, not a panic

	healthy := &mocks.Client{}
	call := healthy.On("CheckHealth", anyArgument, anyArgument).Return(&client.CheckHealthResponse{}, nil)
	at, err := Monitor(t.Context(), "127.0.0.1:0", reg, healthy, nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get("http://" + at.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	_, body := get("/metrics")
	for _, want := range []string{
		`gridferry_build_info{version="v1.2.3"} 1`, `namespace="n",operation="",poller_type="",status_code="",task_queue="q",worker_type="",workflow_type=""} 3`,
		"\nslots{", "latency_seconds_sum{", "go_goroutines ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not among the metrics", want)
		}
	}
	if strings.Contains(body, "unheard_of") {
		t.Error("a tag that is no label came through")
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
	if code, _ := get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: %d", code)
	}
	call.Unset()
	healthy.On("CheckHealth", anyArgument, anyArgument).Return(nil, io.ErrUnexpectedEOF)
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "Temporal") {
		t.Errorf("/readyz without Temporal: %d %s", code, body)
	}
	if _, err := Monitor(t.Context(), at.String(), reg, healthy, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("an address that is taken: %v", err)
	}
}

// anyArgument is testify's mock.Anything.
const anyArgument = "mock.Anything"
