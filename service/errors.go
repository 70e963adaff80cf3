package service

import (
	"context"
	"errors"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/activities"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// translate is the border between Temporal's errors and ours.
func translate(err error, op, what string) error {
	if err == nil {
		return nil
	}
	var classified *fault.Error
	if errors.As(err, &classified) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return carried(activities.FaultOf(err))
	}
	kind, hint := kindOf(err)
	return &fault.Error{Kind: kind, Op: op, Path: what, Err: err, Hint: hint}
}

// carried is the error that came as f. Its text names the path as a rule, and
// most often as "op path: cause"; people are to read it once.
func carried(f transfer.Fault) *fault.Error {
	e := &fault.Error{Kind: f.Kind, Path: f.Path, Err: errors.New(f.Message)}
	if f.Path == "" {
		return e
	}
	if op, cause, ok := strings.Cut(f.Message, " "+f.Path+": "); ok {
		e.Op, e.Err = op, errors.New(cause)
	} else if strings.Contains(f.Message, f.Path) {
		e.Path = ""
	}
	return e
}

func kindOf(err error) (kind fault.Kind, hint string) {
	var (
		notFound    *serviceerror.NotFound
		noNamespace *serviceerror.NamespaceNotFound
		permission  *serviceerror.PermissionDenied
		invalid     *serviceerror.InvalidArgument
		exhausted   *serviceerror.ResourceExhausted
		unavailable *serviceerror.Unavailable
		late        *serviceerror.DeadlineExceeded
		timeout     *temporal.TimeoutError
	)
	switch {
	case errors.As(err, &noNamespace):
		return fault.NotFound, "check the namespace (TEMPORAL_NAMESPACE)"
	case errors.As(err, &notFound):
		return fault.NotFound, ""
	case errors.As(err, &permission):
		return fault.Permission, "the Temporal server refuses these credentials"
	case errors.As(err, &invalid):
		return fault.Invalid, ""
	case errors.As(err, &exhausted):
		return fault.Busy, ""
	case errors.As(err, &unavailable):
		return fault.Transient, "is the Temporal server running? (TEMPORAL_ADDRESS)"
	case errors.As(err, &late), errors.As(err, &timeout):
		return fault.Transient, ""
	}
	return fault.Internal, ""
}

// ended reports whether err is how a workflow ended, rather than a failure to
// learn it.
func ended(err error) bool {
	var e *temporal.WorkflowExecutionError
	return errors.As(err, &e)
}
