package http

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// WebDAV has no method that sets times: getlastmodified is the server's own
// (RFC 4918, 15.7). ownCloud's servers, those that descend from them, and rclone's
// take another property for it, in seconds since 1970.
const (
	methodProppatch = "PROPPATCH" // RFC 4918, 9.2
	proppatchBody   = `<?xml version="1.0" encoding="utf-8"?>` + "\n" +
		`<propertyupdate xmlns="DAV:"><set><prop><lastmodified>%d</lastmodified></prop></set></propertyupdate>`
)

// keepsTimes says that times can be set: where the record says so, where a
// server names an extension of Nextcloud's or ownCloud's, or where it is rclone's.
func (s *Storage) keepsTimes() bool {
	return s.opts.times == on || s.opts.times == auto && (s.server.times || strings.HasPrefix(s.server.name, "rclone/"))
}

// speaksCloud looks for such extensions in the classes of compliance.
func speaksCloud(h http.Header) bool {
	for _, line := range h.Values("DAV") {
		for class := range strings.SplitSeq(line, ",") {
			if c := strings.TrimSpace(class); strings.HasPrefix(c, "nextcloud-") || strings.HasPrefix(c, "oc-") {
				return true
			}
		}
	}
	return false
}

// SetModTime implements endpoints.TimeSetter, in whole seconds.
func (s *Storage) SetModTime(ctx context.Context, p string, t time.Time) error {
	const op = "set the time of"
	ctx, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return err
	}
	defer leave()
	return s.failed(ctx, op, p, s.setTime(ctx, p, t))
}

func (s *Storage) setTime(ctx context.Context, p string, t time.Time) error {
	if !s.keepsTimes() {
		return refusal{"the server keeps its own times", "options." + optionTimes + ": on, if it takes the property lastmodified"}
	}
	e, err := s.stat(ctx, p)
	if err != nil {
		return err
	}
	s.forget(p)
	update := fmt.Sprintf(proppatchBody, t.Unix())
	resp, err := s.do(ctx, request{
		method: methodProppatch, url: s.url(p, e.Type == endpoints.Dir), again: true,
		header: http.Header{"Content-Type": {"application/xml; charset=utf-8"}},
		body:   text(update), length: int64(len(update)),
	})
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusMultiStatus:
		return refused(resp)
	}
	defer discard(resp)
	if err := patched(resp.Body); err != nil {
		return refusal{err.Error(), "options." + optionTimes + ": off leaves times to it"}
	}
	return nil
}

// maxPatched bounds the answer to a PROPPATCH, in bytes.
const maxPatched = 64 << 10

// patched reads whether all properties were set.
func patched(r io.Reader) error {
	var answer struct {
		XMLName   xml.Name `xml:"DAV: multistatus"`
		Responses []struct {
			Propstat []struct {
				Status string `xml:"DAV: status"`
			} `xml:"DAV: propstat"`
		} `xml:"DAV: response"`
	}
	if err := xml.NewDecoder(io.LimitReader(r, maxPatched)).Decode(&answer); err != nil {
		return fmt.Errorf("the server does not say whether it has set the time: %w", err)
	}
	n := 0
	for _, resp := range answer.Responses {
		for _, ps := range resp.Propstat {
			if !succeeded(ps.Status) {
				return fmt.Errorf("the server does not set the time: %q", short(ps.Status))
			}
			n++
		}
	}
	if n == 0 {
		return errors.New("the server does not say whether it has set the time")
	}
	return nil
}
