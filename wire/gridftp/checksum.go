package gridftp

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// slowChecksum is the rate below which a server's checksum is taken for stuck,
// in bytes a second: a busy disk with many readers still does better.
const slowChecksum = 4 << 20

// aliveInterval is how often a caller that waits for a checksum hears of it.
const aliveInterval = 2 * time.Second

// From aliveLength bytes a Globus server is asked to say every few seconds that
// it is still at it (113), which it does not by itself.
const (
	aliveLength  = 1 << 30
	aliveMarkers = "OPTS CKSM Markers=2;"
)

// checksumTimeout bounds the silence of a server that reads length bytes; a
// length that is not known counts as a tebibyte.
func (c *Client) checksumTimeout(length int64) time.Duration {
	if length < 0 {
		length = 1 << 40
	}
	return c.config.Timeouts.Reply + time.Duration(length/slowChecksum)*time.Second
}

// Checksum returns the lower-case hexadecimal digest that the server computes
// of length bytes of path from offset (CKSM); length -1 is to the end. alg is
// one of Features().Checksums. A server that sends preliminary replies
// meanwhile is given as long as it goes on doing so. alive, when not nil, is
// called every few seconds while it works.
func (c *Client) Checksum(ctx context.Context, alg, path string, offset, length int64, alive func()) (string, error) {
	if err := c.checkName(alg, path); err != nil {
		return "", err
	}
	command, err := checksumCommand(alg, path, offset, length)
	if err != nil {
		return "", err
	}
	if length < 0 {
		size, err := c.Size(ctx, path)
		if err != nil {
			return "", err
		}
		length = max(0, size-offset)
	}
	end, err := c.begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	if length >= aliveLength && c.pipelines() && !c.told.sumMarkers {
		c.told.sumMarkers = true
		if err := c.ctl.send(aliveMarkers, command); err != nil {
			return "", err
		}
		if _, err := c.reply(aliveMarkers, nil); err != nil && (!isRefusal(err) || c.Err() != nil) { // it is advice
			return "", err
		}
	} else if err := c.ctl.send(command); err != nil {
		return "", err
	}
	type result struct {
		reply Reply
		err   error
	}
	done := make(chan result, 1)
	go func() {
		for {
			err := c.ctl.setReadDeadline(time.Now().Add(c.checksumTimeout(length)))
			var r Reply
			if err == nil {
				r, err = c.ctl.readReply(nil)
			}
			if err != nil || !r.Preliminary() {
				done <- result{r, err}
				return
			}
		}
	}()
	ticker := time.NewTicker(aliveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if alive != nil {
				alive()
			}
		case r := <-done:
			if r.err != nil {
				return "", r.err
			}
			if err := c.judge(command, r.reply); err != nil {
				return "", err
			}
			return parseChecksum(r.reply)
		}
	}
}

func checksumCommand(alg, path string, offset, length int64) (string, error) {
	if offset < 0 || length < -1 || strings.Contains(alg, " ") {
		return "", fmt.Errorf("gridftp: checksum %s of %d bytes from %d: not a range", alg, length, offset)
	}
	return fmt.Sprintf("CKSM %s %d %d %s", strings.ToUpper(alg), offset, length, path), nil
}

// parseChecksum reads a 213 reply to CKSM.
func parseChecksum(r Reply) (string, error) {
	sum := strings.ToLower(strings.TrimSpace(r.Lines[len(r.Lines)-1]))
	if sum == "" || len(sum) > 512 || strings.Trim(sum, "0123456789abcdef") != "" {
		return "", syntaxError("checksum reply", r.String())
	}
	return sum, nil
}
