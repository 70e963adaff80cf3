package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// maxMessage bounds a body of JSON in bytes, either way. The largest is a
// credential with its chain.
const maxMessage = 4 << 20

// Failure is the body of every reply that is not a success: a fault.Error.
type Failure struct {
	Error Fault `json:"error"`
}

// Fault is a fault.Error as it travels. Internal ones tell no more than that.
type Fault struct {
	Kind    fault.Kind `json:"kind"`
	Op      string     `json:"op,omitempty"`
	Path    string     `json:"path,omitempty"`
	Message string     `json:"message,omitempty"`
	Hint    string     `json:"hint,omitempty"`

	Credential *CredentialFault `json:"credential,omitempty"`
}

// CredentialFault is an endpoints.CredentialError as it travels.
type CredentialFault struct {
	Domain      string `json:"domain"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// statusOf is where kinds become HTTP's status codes (RFC 9110, 15). Clients of
// ours read the kind.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Credential:
		return http.StatusUnauthorized
	case fault.Permission:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Exists, fault.Integrity:
		return http.StatusConflict
	case fault.Busy:
		return http.StatusTooManyRequests
	case fault.Unsupported:
		return http.StatusNotImplemented
	case fault.Transient, fault.Canceled:
		return http.StatusServiceUnavailable
	case fault.NoSpace:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// kindOf is for replies of those that are not ours, as of a proxy between.
func kindOf(status int) fault.Kind {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fault.Permission
	case status == http.StatusNotFound:
		return fault.NotFound
	case status == http.StatusTooManyRequests || status >= 502:
		return fault.Transient
	case status >= 500:
		return fault.Internal
	}
	return fault.Invalid
}

// WriteError replies with an error and the status of its kind.
func WriteError(w http.ResponseWriter, err error) {
	kind := fault.KindOf(err)
	f := Fault{Kind: kind}
	var e *fault.Error
	switch {
	case kind == fault.Internal:
		f.Message = "internal error; the daemon's log has more"
	case errors.As(err, &e):
		f.Op, f.Path, f.Hint = e.Op, e.Path, e.Hint
		if e.Err != nil {
			f.Message = e.Err.Error()
		}
	default:
		f.Message = err.Error()
	}
	var c *endpoints.CredentialError
	if errors.As(err, &c) {
		f.Credential = &CredentialFault{c.Domain, c.Fingerprint}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(kind))
	_ = json.NewEncoder(w).Encode(Failure{f}) // a client that is gone needs no reply
}

// ReadError is the error of a reply that is not a success: what WriteError was
// given, or what the status says when the reply is nobody's of ours.
func ReadError(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	var f Failure
	if err != nil || json.Unmarshal(body, &f) != nil || f.Error.Kind == "" {
		return fault.New(kindOf(resp.StatusCode), "ask", resp.Request.URL.Redacted(), "the reply was "+resp.Status)
	}
	e := &fault.Error{Kind: f.Error.Kind, Op: f.Error.Op, Path: f.Error.Path, Hint: f.Error.Hint}
	if f.Error.Message != "" {
		e.Err = errors.New(f.Error.Message)
	}
	if c := f.Error.Credential; c != nil {
		e.Err = &endpoints.CredentialError{Domain: c.Domain, Fingerprint: c.Fingerprint, Err: cause(e.Err)}
	}
	return e
}

func cause(err error) error {
	if err == nil {
		return errors.New("no usable credential")
	}
	return err
}

// WriteJSON replies with a value; with none, when it is nil.
func WriteJSON(w http.ResponseWriter, v any) {
	if v == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		WriteError(w, fault.Wrap(fault.Internal, "write", "the reply", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // a client that is gone needs no reply
}

// ReadJSON reads the body of a request into v. It refuses, as Invalid, what is
// no JSON, has fields that v has not, or is larger than 4 MiB. Errors quote
// nothing of the body, which may hold a secret.
func ReadJSON(r *http.Request, v any) error {
	const op = "read request"
	// A page in a browser cannot send this type to us without asking first.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fault.New(fault.Invalid, op, "", "its Content-Type is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMessage+1))
	if err != nil {
		return fault.Wrap(fault.Transient, op, "", err)
	}
	if len(body) > maxMessage {
		return fault.New(fault.Invalid, op, "", fmt.Sprintf("it is larger than %d bytes", maxMessage))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		var typed *json.UnmarshalTypeError
		switch {
		case errors.As(err, &typed):
			return fault.New(fault.Invalid, op, typed.Field, "a value of another type is wanted here")
		case errors.As(err, new(*json.SyntaxError)):
			return fault.New(fault.Invalid, op, "", "it is not JSON")
		}
		return fault.New(fault.Invalid, op, "", "it has a field that is not known here, or a value that cannot be read")
	}
	if d.More() {
		return fault.New(fault.Invalid, op, "", "something follows the JSON")
	}
	return nil
}
