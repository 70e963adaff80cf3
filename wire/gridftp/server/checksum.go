package server

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
)

// cksm computes a checksum: "CKSM algorithm offset length path", a length of
// -1 being to the end. ABOR ends it.
func cksm(s *session, arg string) gridftp.Reply {
	words := strings.SplitN(arg, " ", 4)
	if len(words) != 4 || words[3] == "" {
		return gridftp.NewReply(501, "Syntax error in parameters or arguments: CKSM takes an algorithm, an offset, a length and a path.")
	}
	offset, err1 := strconv.ParseInt(words[1], 10, 64)
	length, err2 := strconv.ParseInt(words[2], 10, 64)
	if err1 != nil || err2 != nil || offset < 0 || length < -1 {
		return gridftp.NewReply(501, "Syntax error in parameters or arguments: the offset or the length is no number.")
	}
	alg := strings.ToUpper(words[0])
	if !slices.Contains(s.config.Files.Abilities().Checksums, alg) {
		return gridftp.NewReply(504, "Unknown checksum algorithm requested.")
	}
	path, err := s.path(words[3])
	if err != nil {
		return s.refuse(err)
	}
	ctx, end, err := s.begin()
	if err != nil {
		return s.refuse(transferError(err))
	}
	defer end()
	sum, err := s.checksum(ctx, path, alg, offset, length)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = transferError(cause)
		}
		return s.refuse(err)
	}
	return gridftp.NewReply(213, sum)
}

// checksum sends signs of life meanwhile to a client that asked for them by
// OPTS CKSM markers: to others, such as globus-url-copy, a reply that is not the
// last would be a surprise.
func (s *session) checksum(ctx context.Context, path, alg string, offset, length int64) (string, error) {
	type result struct {
		sum string
		err error
	}
	done := make(chan result, 1)
	go func() {
		sum, err := s.config.Files.Checksum(ctx, path, alg, offset, length)
		done <- result{sum, err}
	}()
	var tick <-chan time.Time
	if s.data.alive > 0 {
		ticker := time.NewTicker(s.data.alive)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case r := <-done:
			return r.sum, r.err
		case <-tick:
			_ = s.control.reply(gridftp.NewReply(113, "Status Marker")) // a dead connection ends the session anyway
		}
	}
}
