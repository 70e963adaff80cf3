package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gridferry/gridferry/fault"
)

func TestErrorText(t *testing.T) {
	cause := errors.New("550 No such file")
	for _, tc := range []struct {
		name string
		err  *fault.Error
		want string
	}{
		{"all parts", &fault.Error{Kind: fault.NotFound, Op: "open", Path: "/a", Err: cause, Hint: "check the path"}, "open /a: 550 No such file (check the path)"},
		{"no path", &fault.Error{Kind: fault.Credential, Op: "log in", Err: cause}, "log in: 550 No such file"},
		{"no op", &fault.Error{Kind: fault.Invalid, Path: "source", Err: cause}, "source: 550 No such file"},
		{"kind only", &fault.Error{Kind: fault.Busy}, "Busy"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	inner := fault.New(fault.NoSpace, "store", "/b", "disk full")
	for _, tc := range []struct {
		name string
		err  error
		want fault.Kind
	}{
		{"nil", nil, ""},
		{"direct", inner, fault.NoSpace},
		{"wrapped by fmt", fmt.Errorf("chunk 3: %w", inner), fault.NoSpace},
		{"outermost wins", fault.Wrap(fault.Transient, "copy", "/b", inner), fault.Transient},
		{"cancelled", fmt.Errorf("read: %w", context.Canceled), fault.Canceled},
		{"timed out", context.DeadlineExceeded, fault.Transient},
		{"unclassified", errors.New("boom"), fault.Internal},
	} {
		if got := fault.KindOf(tc.err); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	if fault.Wrap(fault.Internal, "x", "y", nil) != nil {
		t.Error("Wrap(nil) is not nil")
	}
}
