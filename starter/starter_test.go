package starter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

func TestErrorsShowNoKeys(t *testing.T) {
	for text, want := range map[string]string{
		"bad flag syntax: -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nand more": "bad flag syntax: (a private key)\nand more",
		`"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----": no location`:                     `"(a private key)": no location`,
		"-----BEGIN CERTIFICATE-----A-----END CERTIFICATE----- -----BEGIN EC PRIVATE KEY-----\nMHcC":      "-----BEGIN CERTIFICATE-----A-----END CERTIFICATE----- (a private key)",
		"no private key was given": "no private key was given",
	} {
		if got := keyless(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("disk on fire"), 1},
		{fault.New(fault.Internal, "", "", ""), 1},
		{fault.New(fault.Unsupported, "", "", ""), 1},
		{fault.New(fault.NoSpace, "", "", ""), 1},
		{&usageError{errors.New("unknown flag")}, 2},
		{fmt.Errorf("location: %w", fault.New(fault.Invalid, "", "", "")), 2},
		{&taskEnded{"t"}, 3},
		{&waitTimedOut{"t", time.Second}, 4},
		{fault.New(fault.NotFound, "", "", ""), 5},
		{fault.New(fault.Permission, "", "", ""), 6},
		{fault.New(fault.Credential, "", "", ""), 6},
		{fault.New(fault.Transient, "", "", ""), 7},
		{fault.New(fault.Busy, "", "", ""), 7},
		{fault.New(fault.Exists, "", "", ""), 8},
		{context.Canceled, 130},
	} {
		if got := ExitCode(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
}

// waiting is a service with a task that never ends; looking at it interrupts.
type waiting struct {
	transfer.Service
	interrupt func()
}

func (w waiting) Submit(_ context.Context, id transfer.TaskID, _ transfer.Request) (transfer.TaskID, error) {
	return id, nil
}

func (w waiting) Task(_ context.Context, id transfer.TaskID) (transfer.Task, error) {
	w.interrupt()
	return transfer.Task{ID: id, Status: transfer.Inactive, Verdict: "waits for a credential"}, nil
}

func (w waiting) Wait(ctx context.Context, _ transfer.TaskID) (transfer.Task, error) {
	<-ctx.Done()
	return transfer.Task{}, ctx.Err()
}

func TestInterruptedWaitLeavesTheTask(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs bytes.Buffer
	closed := 0
	code := Program{
		Connect: func(context.Context, Connection) (transfer.Service, func(), error) {
			return waiting{interrupt: cancel}, func() { closed++ }, nil
		},
		NewID:  func() transfer.TaskID { return "t1" },
		Now:    time.Now,
		Stdin:  strings.NewReader(""),
		Stdout: &out,
		Stderr: &errs,
		Poll:   time.Millisecond,
	}.Run(ctx, []string{"transfer", "a:/x", "b:/x", "--wait"})
	if code != ExitInterrupted || out.String() != "t1\n" || closed != 1 {
		t.Errorf("code %d, output %q, closed %d times", code, out.String(), closed)
	}
	for _, want := range []string{"waits for a credential", "Task t1 goes on.", "gridferry wait t1", "gridferry: interrupted"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("standard error %q should say %q", errs.String(), want)
		}
	}
}

func TestPages(t *testing.T) {
	for _, tc := range []struct {
		limit, total int
		want         int
		more         bool
		calls        []int // the limits asked for
	}{
		{0, 0, 0, false, []int{1000}},
		{0, 25, 25, false, []int{1000, 1000, 1000}},
		{10, 25, 10, true, []int{10}},
		{15, 25, 15, true, []int{15, 5}},
		{25, 25, 25, false, []int{25, 15, 5}},
		{26, 25, 25, false, []int{26, 16, 6}},
	} {
		var calls []int
		got, err := pages(tc.limit, func(p transfer.Page) ([]int, string, error) {
			calls = append(calls, p.Limit)
			from := 10 * len(p.Token)
			n := min(10, p.Limit, tc.total-from)
			next := ""
			if from+n < tc.total {
				next = p.Token + "x"
			}
			return make([]int, n), next, nil
		})
		if err != nil || len(got.items) != tc.want || got.more != tc.more || !slices.Equal(calls, tc.calls) {
			t.Errorf("limit %d of %d: %d, more %v, calls %v, %v", tc.limit, tc.total, len(got.items), got.more, calls, err)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	for text, want := range map[string]transfer.Policy{
		"auto":            {Name: "auto"},
		"classic,pp=50":   {Name: "classic", Pipelining: 50},
		"cc=4,p=2,pp=20":  {Concurrency: 4, Parallelism: 2, Pipelining: 20},
		"p=8":             {Parallelism: 8},
		"range=256MiB":    {RangeSize: 256 << 20},
		"cc=2,range=none": {Concurrency: 2, RangeSize: -1},
	} {
		if got, err := parsePolicy(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "auto,classic", "cc=", "cc=0", "cc=-1", "cc=many", "x=1", "auto,", "range=", "range=0", "range=-1", "range=big", "range=1XB", "range=9999999TiB"} {
		if got, err := parsePolicy(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestSentence(t *testing.T) {
	for text, want := range map[string]string{
		"500-Command failed.\r\n500 open: no": "500-Command failed. 500 open: no",
		"two  spaces stay":                    "two  spaces stay",
		"é日":                                  "é日",
		"\x1b[2J":                             `"\x1b[2J"`,
		"bad \xff byte":                       `"bad \xff byte"`,
	} {
		if got := sentence(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
