package temporal_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/gridferry/gridferry/standalone/temporal"
)

func start(t *testing.T, o temporal.Options) (*temporal.Server, client.Client) {
	t.Helper()
	s, err := temporal.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, dial(t, s)
}

func dial(t *testing.T, s *temporal.Server) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.Address(), Namespace: s.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// greet waits for a name and then greets.
func greet(ctx workflow.Context) (string, error) {
	var name string
	workflow.GetSignalChannel(ctx, "name").Receive(ctx, &name)
	return "hello " + name, nil
}

func work(t *testing.T, c client.Client) worker.Worker {
	t.Helper()
	w := worker.New(c, "greetings", worker.Options{})
	w.RegisterWorkflow(greet)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestGoesOnAfterARestart(t *testing.T) {
	o := temporal.Options{File: filepath.Join(t.TempDir(), "temporal.db")}
	first, err := temporal.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, first)
	w := work(t, c)
	_, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "greeting", TaskQueue: "greetings"}, greet)
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	_, c = start(t, o)
	w = work(t, c)
	defer w.Stop()
	if err := c.SignalWorkflow(t.Context(), "greeting", "", "name", "Ada"); err != nil {
		t.Fatal(err)
	}
	var said string
	if err := c.GetWorkflow(t.Context(), "greeting", "").Get(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if said != "hello Ada" {
		t.Errorf("the workflow said %q", said)
	}
}

func TestSearchAttributes(t *testing.T) {
	ctx := t.Context()
	_, c := start(t, temporal.Options{SearchAttributes: map[string]enums.IndexedValueType{
		"Owner": enums.INDEXED_VALUE_TYPE_KEYWORD,
		"Bytes": enums.INDEXED_VALUE_TYPE_INT,
	}})
	_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace:        "default",
		SearchAttributes: map[string]enums.IndexedValueType{"Label": enums.INDEXED_VALUE_TYPE_TEXT},
	})
	if err != nil {
		t.Fatal(err)
	}
	has, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]enums.IndexedValueType{
		"Owner": enums.INDEXED_VALUE_TYPE_KEYWORD,
		"Bytes": enums.INDEXED_VALUE_TYPE_INT,
		"Label": enums.INDEXED_VALUE_TYPE_TEXT,
	} {
		if got := has.CustomAttributes[name]; got != kind {
			t.Errorf("search attribute %s is of type %v, not %v", name, got, kind)
		}
	}
}

func TestNoOperator(t *testing.T) {
	_, c := start(t, temporal.Options{NoOperator: true})
	_, err := c.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace:        "default",
		SearchAttributes: map[string]enums.IndexedValueType{"Label": enums.INDEXED_VALUE_TYPE_TEXT},
	})
	if denied := new(serviceerror.PermissionDenied); !errors.As(err, &denied) {
		t.Errorf("registering a search attribute without rights gave %v", err)
	}
	w := work(t, c)
	defer w.Stop()
	run, err := c.SignalWithStartWorkflow(t.Context(), "greeting", "name", "Ada", client.StartWorkflowOptions{TaskQueue: "greetings"}, greet)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Get(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestWebUI(t *testing.T) {
	s, _ := start(t, temporal.Options{UIPort: temporal.FreePort(t)})
	res, err := http.Get(s.UI() + "/api/v1/namespaces/default")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the Web UI's own API answers %s", res.Status)
	}
}

func TestRefusesATakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	file := filepath.Join(t.TempDir(), "temporal.db")
	for _, o := range []temporal.Options{{File: file, Port: taken}, {File: file, UIPort: taken}} {
		if _, err := temporal.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%+v gave %v", o, err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a database was made for a server that could not start: %v", err)
	}
}

func TestRefusesOptions(t *testing.T) {
	for want, o := range map[string]temporal.Options{
		"must be numeric":     {Host: "localhost"},
		"must not hold":       {File: "what?.db"},
		"log level":           {LogLevel: "loud"},
		"no such file or dir": {File: filepath.Join(t.TempDir(), "absent", "temporal.db")},
	} {
		_, err := temporal.Start(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v gave %v, not %q", o, err, want)
		}
	}
}
