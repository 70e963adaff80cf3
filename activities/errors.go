package activities

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// DecidedByWorkflow are the error types that a RetryPolicy must not retry,
// because the workflow decides about them: every kind but Busy. What is left
// to Temporal is Busy, which brings its own delay, and lost workers.
func DecidedByWorkflow() []string {
	return []string{
		string(fault.NotFound), string(fault.Exists), string(fault.Permission), string(fault.Credential),
		string(fault.NoSpace), string(fault.Integrity), string(fault.Unsupported), string(fault.Invalid),
		string(fault.Transient), string(fault.Canceled), string(fault.Internal),
	}
}

// maxMessage bounds the text of an error in a history, in bytes.
const maxMessage = 600

// toTemporal is the border between our errors and Temporal's. The error's type
// is the kind's name, and its only detail a transfer.Fault.
func toTemporal(err error) error {
	if err == nil {
		return nil
	}
	kind := fault.KindOf(err)
	if kind == fault.Canceled {
		return temporal.NewCanceledError(clip(err.Error()))
	}
	opts := temporal.ApplicationErrorOptions{Details: []any{toFault(err, "", time.Time{})}}
	if kind == fault.Busy {
		// Everybody who is refused now would come back at the same moment.
		opts.NextRetryDelay = time.Second + rand.N(4*time.Second)
		if slot := (*noSlot)(nil); errors.As(err, &slot) || isDrained(err) {
			opts.NextRetryDelay *= 4
		}
	}
	return temporal.NewApplicationErrorWithOptions(clip(err.Error()), string(kind), opts)
}

// atOnce is toTemporal for somebody who waits for the answer: what may last for
// hours is his to decide about.
func atOnce(err error) error {
	drained, ok := errors.AsType[*endpoints.DrainedError](err)
	if !ok {
		return toTemporal(err)
	}
	f := toFault(err, "", time.Time{})
	f.Message = clip(err.Error() + " (try again when its operator has put it back into use, with \"gridferry endpoint undrain " + drained.Drain.Name + "\")")
	return temporal.NewNonRetryableApplicationError(f.Message, string(f.Kind), nil, f)
}

// FaultOf translates an activity's error back, in the workflow.
func FaultOf(err error) transfer.Fault {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		var f transfer.Fault
		if app.Details(&f) == nil && f.Kind != "" {
			return f
		}
		return transfer.Fault{Kind: fault.Internal, Message: clip(app.Message())}
	}
	var canceled *temporal.CanceledError
	if errors.As(err, &canceled) {
		return transfer.Fault{Kind: fault.Canceled, Message: clip(err.Error())}
	}
	return transfer.Fault{Kind: fault.Transient, Message: clip(err.Error())}
}

// toFault makes an error fit for histories and people.
func toFault(err error, path string, now time.Time) transfer.Fault {
	if path == "" {
		path = pathOf(err)
	}
	out := transfer.Fault{
		Kind: fault.KindOf(err), Message: clip(err.Error()), Path: strings.ToValidUTF8(path, "?"), Time: now, Count: 1,
	}
	if c, ok := errors.AsType[*endpoints.CredentialError](err); ok && out.Kind == fault.Credential {
		out.Domain, out.Fingerprint = strings.ToValidUTF8(c.Domain, "?"), c.Fingerprint
		if c.Configured {
			out.Reason = transfer.ReasonConfigured
		}
	}
	out.OwnStore = errors.Is(err, blob.ErrFull)
	switch {
	case out.Kind != fault.Busy:
	case isDrained(err):
		out.Reason = transfer.ReasonDrained
	case errors.As(err, new(*noSlot)), errors.As(err, new(*atLimit)), errors.As(err, new(*endpoints.LimitError)):
		out.Reason = transfer.ReasonLimit
	}
	return out
}

// clip makes text fit a history: short, and valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage-3], "") + "..."
	}
	return s
}

// faultList groups like faults, at most maxFaults of them.
type faultList []transfer.Fault

const maxFaults = 20

// add counts f with those of the same kind and message, but for the path in it.
func (l *faultList) add(f transfer.Fault) {
	f.Count = max(f.Count, 1)
	message := func(f transfer.Fault) string {
		if f.Path == "" {
			return f.Message
		}
		return strings.ReplaceAll(f.Message, f.Path, "")
	}
	for i := range *l {
		if g := &(*l)[i]; g.Kind == f.Kind && message(*g) == message(f) {
			f.Count += g.Count
			*g = f
			return
		}
	}
	if len(*l) >= maxFaults {
		last := &(*l)[maxFaults-1]
		f.Count += last.Count
		*last = f
		return
	}
	*l = append(*l, f)
}
