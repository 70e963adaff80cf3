package data

import (
	"errors"
	"fmt"
)

// Errors of a transfer. They come wrapped, with the addresses they concern.
var (
	// ErrStalled says that nothing moved for the stall time.
	ErrStalled = errors.New("nothing moved on the data channel")
	// ErrNoConnection says that the peer opened no data connection in time,
	// which most often means a firewall.
	ErrNoConnection = errors.New("no data connection arrived")
	// ErrClosed says that the Set was closed, by its owner or by a failure.
	ErrClosed = errors.New("the data channel is closed")
	// ErrTruncated says that the peer closed a connection before its end of data.
	ErrTruncated = errors.New("the peer closed a data connection before the end of the data")
	// ErrOverlap says that a connection brought blocks that its file has no use
	// for: the sender has begun the next one, and which bytes are whose is lost.
	ErrOverlap = errors.New("blocks arrived beyond the end of the file")
	// ErrDirection says that a passive Set was asked to send, or an active one
	// to receive, in extended block mode.
	ErrDirection = errors.New("in extended block mode the sender must open the data connections")
	// ErrTooMany says that a peer opened more connections than are allowed.
	ErrTooMany = errors.New("too many data connections")
	// ErrReadAhead says that a peer's blocks are so far out of order that they
	// cannot be put into order within the memory allowed.
	ErrReadAhead = errors.New("blocks arrive too far out of order")
)

// A ProtocolError reports a block header that extended block mode does not
// allow.
type ProtocolError struct {
	Header Header
	Why    string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("extended block header (descriptor %#02x, count %d, offset %d): %s",
		byte(e.Header.Flags), e.Header.Count, e.Header.Offset, e.Why)
}

// A ConnectError says that a data connection could not be made, between which
// addresses.
type ConnectError struct {
	Op   string // "dial", "accept", "secure"
	Addr string // dialled, or listened on
	Err  error
}

func (e *ConnectError) Error() string {
	return fmt.Sprintf("data connection: %s %s: %v", e.Op, e.Addr, e.Err)
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Err }

// A SinkError says that what came could not be stored: the fault is this
// side's, not the network's.
type SinkError struct{ Err error }

func (e *SinkError) Error() string { return "store what was received: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SinkError) Unwrap() error { return e.Err }

// A SourceError says that what was to be sent could not be read.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "read what was to be sent: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }
