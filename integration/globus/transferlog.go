package globus

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Transfer is one line of the server's own transfer log.
type Transfer struct {
	Start, End time.Time
	File       string
	Bytes      int64  // moved by this command, not the size of the file
	Streams    int    // data connections
	Peer       string // address of the other end of the data channel
	Type       string // STOR, RETR, ESTO, LIST, ...
	// Code is 226 for transfers that were cut short, too: only Bytes tells.
	Code int
}

// The file name is neither quoted nor escaped, and so is taken from between
// its neighbours.
var transferLine = regexp.MustCompile(`^DATE=(\S+) HOST=\S+ PROG=\S+ NL\.EVNT=FTP_INFO START=(\S+) USER=\S* FILE=(.*) BUFFER=\d+ BLOCK=\d+ NBYTES=(\d+) VOLUME=\S* STREAMS=(\d+) STRIPES=\d+ DEST=\[(.*?)\] TYPE=(\S+) CODE=(\d+)`)

// Transfers returns what the server says it has moved, in order of ending. A
// transfer that is cut short is logged with the bytes it had moved, or somewhat
// fewer; one whose server is killed is not logged.
func (s *Server) Transfers() []Transfer {
	s.t.Helper()
	transfers, err := parseTransfers(s.read("transfer.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	return transfers
}

// Moved adds up the bytes of all transfers of a type ("STOR", "RETR") whose
// file's name ends in suffix. Sending a range again shows as more bytes than
// the file has.
func (s *Server) Moved(kind, suffix string) int64 {
	s.t.Helper()
	var sum int64
	for _, tr := range s.Transfers() {
		if tr.Type == kind && strings.HasSuffix(tr.File, suffix) {
			sum += tr.Bytes
		}
	}
	return sum
}

func parseTransfers(log string) ([]Transfer, error) {
	var transfers []Transfer
	for line := range strings.Lines(log) {
		m := transferLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line of a transfer log not understood: %q", line)
		}
		tr := Transfer{File: m[3], Peer: m[6], Type: m[7]}
		var errs [5]error
		tr.End, errs[0] = time.Parse("20060102150405.000000", m[1])
		tr.Start, errs[1] = time.Parse("20060102150405.000000", m[2])
		tr.Bytes, errs[2] = strconv.ParseInt(m[4], 10, 64)
		tr.Streams, errs[3] = strconv.Atoi(m[5])
		tr.Code, errs[4] = strconv.Atoi(m[8])
		for _, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("line of a transfer log not understood: %q: %w", line, err)
			}
		}
		transfers = append(transfers, tr)
	}
	return transfers, nil
}
