// Package fault is the one vocabulary of errors in gridferry. Every error that
// crosses a room carries a Kind, which decides what happens next (see
// transfer.Answer); the text says what was being done to what and, where there
// is something to do, what the person can do about it.
//
// The wire packages return raw protocol errors; storage drivers classify them
// here, once. Package fault imports the standard library only.
package fault

import (
	"context"
	"errors"
	"strings"
)

// A Kind says what sort of thing went wrong. Kinds travel by name through
// Temporal histories and the ledger, so the names are never changed.
type Kind string

// The kinds of fault.
const (
	NotFound    Kind = "NotFound"    // the named thing does not exist
	Exists      Kind = "Exists"      // the name is taken, or taken by another sort of thing
	Permission  Kind = "Permission"  // the identity may not do this
	Credential  Kind = "Credential"  // no usable credential: missing, expired, or refused at login
	NoSpace     Kind = "NoSpace"     // full disk or exceeded quota
	Integrity   Kind = "Integrity"   // bytes differ, or the source changed while it was read
	Unsupported Kind = "Unsupported" // the storage or the pair of storages cannot do this
	Invalid     Kind = "Invalid"     // the request itself is wrong; asking again will not help
	Busy        Kind = "Busy"        // a limit is reached; come back later
	Transient   Kind = "Transient"   // network trouble, a lost session, a server restarting
	Canceled    Kind = "Canceled"    // somebody asked us to stop
	Internal    Kind = "Internal"    // a bug, or a failure of gridferry's own services
)

// Error is a classified error.
type Error struct {
	Kind Kind
	Op   string // what was being done, as a verb: "open", "store", "log in to"
	Path string // what it was done to: a path, URL, endpoint or field name; may be empty
	Err  error  // the cause; may be nil
	Hint string // what the person can do, as a sentence; may be empty
}

// Error renders "op path: cause (hint)", leaving out what is empty.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Path != "" {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.Path)
	}
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if b.Len() == 0 {
		b.WriteString(string(e.Kind))
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteByte(')')
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an Error of kind k with a plain message as its cause.
func New(k Kind, op, path, message string) *Error {
	return &Error{Kind: k, Op: op, Path: path, Err: errors.New(message)}
}

// Wrap classifies err. It returns nil when err is nil.
func Wrap(k Kind, op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Op: op, Path: path, Err: err}
}

// KindOf returns the kind of the outermost *Error in err's chain. A nil error
// has the empty kind, a cancelled or timed-out context is Canceled or
// Transient, and anything unclassified is Internal.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Transient
	}
	return Internal
}

// Is reports whether err is of kind k.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
