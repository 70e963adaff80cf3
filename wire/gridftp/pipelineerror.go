package gridftp

import (
	"fmt"
	"net/netip"
	"time"
)

// A PipelineError says what ended a third-party run, and what it leaves.
type PipelineError struct {
	Side  Side  // whose words Err holds; empty when neither server is to blame
	Index int   // of the file to blame, among those of the run; -1 when none is
	File  File  // that file
	Err   error // a *ReplyError, *StallError, *CountError, the connection's error, or the context's
	Done  int   // files proven done: the first Done of the run
	// Suspect holds the files taken after those, in order, the one to blame
	// among them. Under any of their destinations' names there may be nothing,
	// a part, or another file's bytes.
	Suspect []File
}

func (e *PipelineError) Error() string {
	switch {
	case e.Index < 0 && e.Side == "":
		return fmt.Sprintf("gridftp: transfer ended with %d files unproven: %v", len(e.Suspect), e.Err)
	case e.Index < 0:
		return fmt.Sprintf("gridftp: transfer ended at the %s with %d files unproven: %v", e.Side, len(e.Suspect), e.Err)
	case e.Side == SourceSide:
		return fmt.Sprintf("gridftp: transfer of %s refused by the source: %v", e.File.Source, e.Err)
	case e.Side == DestSide:
		return fmt.Sprintf("gridftp: transfer to %s refused by the destination: %v", e.File.Dest, e.Err)
	}
	return fmt.Sprintf("gridftp: transfer of %s to %s: %v", e.File.Source, e.File.Dest, e.Err)
}

// Unwrap returns Err.
func (e *PipelineError) Unwrap() error { return e.Err }

// A StallError says that nothing moved between two servers, and between which
// addresses: most often a firewall stands in between.
type StallError struct {
	// From is the source server's address; the port it dials from is not
	// known here. To is where the destination listens; stripes have several.
	From  netip.Addr
	To    []netip.AddrPort
	Idle  time.Duration // how long nothing moved
	First bool          // not one byte had moved before
}

func (e *StallError) Error() string {
	what := "no more bytes came"
	if e.First {
		what = "not one byte came"
	}
	from := "the source server"
	if e.From.IsValid() {
		from = e.From.String()
	}
	return fmt.Sprintf("the data channel from %s to %v is blocked or stalled: %s within %s; a firewall may stand in between", from, e.To, what, e.Idle.Round(time.Second))
}

// Timeout reports true: a StallError is a timeout.
func (e *StallError) Timeout() bool { return true }

// A CountError says that a server moved another number of bytes than the file
// was expected to have: it changed, or the bytes are not its own.
type CountError struct {
	Side       Side
	Want, Have int64 // bytes
}

func (e *CountError) Error() string {
	return fmt.Sprintf("the %s moved %d bytes where %d were expected: the file changed, or the wrong bytes came", e.Side, e.Have, e.Want)
}
