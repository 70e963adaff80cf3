package http

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
)

// propfindBody asks for what an entry needs (RFC 4918, 9.1 and 15).
const propfindBody = `<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>`

const (
	davSpace = "DAV:"

	// maxResponse bounds what one resource may take in a multistatus, in bytes.
	maxResponse = 256 << 10
)

// member is one resource of a multistatus.
type member struct {
	path    string // decoded
	written string // as it is in the listing
	entry   endpoints.Entry
	etag    string
}

// bounded fails when more than left bytes are read without left being renewed:
// a listing may be of any length, one entry of it may not.
type bounded struct {
	r    io.Reader
	left int
}

var errEntryTooLong = fmt.Errorf("an entry of the listing is longer than %d bytes", maxResponse)

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errEntryTooLong
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// multistatus reads the answer to PROPFIND and calls each with its resources, in
// the server's order, holding one of them at a time (RFC 4918, 13 and 14.16). An
// error from each ends it and is returned as it is.
func multistatus(r io.Reader, each func(member) error) error {
	src := &bounded{r, maxResponse}
	d := xml.NewDecoder(src)
	if err := root(d); err != nil {
		return err
	}
	for {
		t, err := d.Token()
		if err != nil {
			return cutOff(err)
		}
		switch t := t.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if t.Name.Space != davSpace || t.Name.Local != "response" {
				if err := d.Skip(); err != nil {
					return cutOff(err)
				}
				break
			}
			var resp response
			if err := d.DecodeElement(&resp, &t); err != nil {
				return cutOff(err)
			}
			m, err := resp.member()
			if err == nil {
				err = each(m)
			}
			if err != nil {
				return err
			}
		}
		src.left = maxResponse
	}
}

// root reads up to and with the multistatus element.
func root(d *xml.Decoder) error {
	for {
		t, err := d.Token()
		if err != nil {
			return cutOff(err)
		}
		if e, ok := t.(xml.StartElement); ok {
			if e.Name.Space != davSpace || e.Name.Local != "multistatus" {
				return fmt.Errorf("the answer is a %q and no multistatus", e.Name.Local)
			}
			return nil
		}
	}
}

// cutOff calls an answer that ends before its end by its name: the list would
// otherwise pass for a shorter one.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) && syntax.Msg == "unexpected EOF" {
		return io.ErrUnexpectedEOF
	}
	return err
}

// response is an element of that name (RFC 4918, 14.24).
type response struct {
	Href     string `xml:"DAV: href"`
	Status   string `xml:"DAV: status"`
	Propstat []struct {
		Status string `xml:"DAV: status"`
		Prop   struct {
			Type struct {
				Collection *struct{} `xml:"DAV: collection"`
			} `xml:"DAV: resourcetype"`
			Length   *string `xml:"DAV: getcontentlength"`
			Modified string  `xml:"DAV: getlastmodified"`
			ETag     string  `xml:"DAV: getetag"`
		} `xml:"DAV: prop"`
	} `xml:"DAV: propstat"`
}

// member is what a response says. A resource of which it says neither that it
// is a collection nor how long it is is Other: it is there, and nothing that
// could be copied.
func (r response) member() (member, error) {
	written, p, ok := pathOf(strings.TrimSpace(r.Href))
	if !ok {
		return member{}, fmt.Errorf("the listing refers to %q, which is no path", short(r.Href))
	}
	if strings.HasPrefix(r.Href, "/") {
		written = r.Href // with the blanks that a name may end in
	}
	m := member{path: p, written: written, entry: endpoints.Entry{Type: endpoints.Other}}
	for _, ps := range r.Propstat {
		if !succeeded(ps.Status) {
			continue
		}
		if ps.Prop.Type.Collection != nil {
			m.entry.Type = endpoints.Dir
		}
		if l := ps.Prop.Length; l != nil && m.entry.Type != endpoints.Dir {
			n, err := strconv.ParseUint(strings.TrimSpace(*l), 10, 63)
			if err != nil {
				return member{}, fmt.Errorf("the listing says that %q is %q bytes long", short(r.Href), short(*l))
			}
			m.entry.Type, m.entry.Size = endpoints.File, int64(n)
		}
		if ps.Prop.Modified != "" {
			m.entry.ModTime = modTime(ps.Prop.Modified)
		}
		if ps.Prop.ETag != "" {
			m.etag = ps.Prop.ETag
		}
	}
	if m.entry.Type == endpoints.Dir {
		m.entry.Size = 0
	}
	return m, nil
}

// succeeded reads a status line, "HTTP/1.1 200 OK"; without one all is well.
func succeeded(status string) bool {
	_, code, ok := strings.Cut(strings.TrimSpace(status), " ")
	return !ok || strings.HasPrefix(code, "2")
}

// short is text from a server for an error.
func short(s string) string { return s[:min(len(s), 200)] }
