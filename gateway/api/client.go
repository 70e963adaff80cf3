package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi"
)

// ClientConfig is what a client shows and believes over mutual TLS. A Unix
// socket needs nothing of it.
type ClientConfig struct {
	// Credential is shown to the server; it is asked at each handshake.
	Credential func() (*gsi.Credential, error)
	// Trust judges the server; it is asked at each handshake.
	Trust func() (*gsi.Trust, error)
}

// Client speaks to a Server. It is safe for concurrent use.
type Client struct {
	service string // as it was named
	base    string
	http    *http.Client
}

// The time that a client gives each step of a request. How long a whole
// request may take, its context says.
const (
	dialTime      = 10 * time.Second
	handshakeTime = 15 * time.Second
	answerTime    = requestTime + 10*time.Second // the server's own deadline comes first, with a reason
	// mostIdle connections wait for the next request. A worker has some tens of
	// copies that renew their leases here, and a handshake costs more than that.
	mostIdle = 32
)

// NewClient returns a client of the service at "unix:/path" or
// "https://host:port". It connects when it is asked for something. Invalid when
// the service is named in another way.
func NewClient(service string, c ClientConfig) (*Client, error) {
	client := &Client{service: service}
	t := &http.Transport{TLSHandshakeTimeout: handshakeTime, ResponseHeaderTimeout: answerTime, IdleConnTimeout: idleTime / 2, MaxIdleConnsPerHost: mostIdle}
	dialer := &net.Dialer{Timeout: dialTime}
	if path, ok := strings.CutPrefix(service, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return nil, badService(service)
		}
		client.base = "http://localhost" // what HTTP wants to have in Host
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	} else {
		u, err := url.Parse(service)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, badService(service)
		}
		if c.Credential == nil || c.Trust == nil {
			return nil, fault.New(fault.Invalid, "use", service, "it wants a credential to show and authorities to believe")
		}
		client.base = "https://" + u.Host
		t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialTLS(ctx, dialer, network, address, c)
		}
	}
	client.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, nil
}

func badService(service string) error {
	return &fault.Error{Kind: fault.Invalid, Op: "use", Path: service, Err: errors.New("it names no service"), Hint: "write unix:/path or https://HOST:PORT"}
}

// dialTLS connects and checks the server as grid servers are checked: by
// package gsi, against the name that was asked for.
func dialTLS(ctx context.Context, dialer *net.Dialer, network, address string, c ClientConfig) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	credential, err := c.Credential()
	if err != nil {
		return nil, fault.Wrap(fault.Credential, "log in to", address, err)
	}
	trust, err := c.Trust()
	if err != nil {
		return nil, fault.Wrap(fault.Credential, "read", "the trusted authorities", err)
	}
	conf, err := gsi.ClientTLS(credential, trust, host)
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{NetDialer: dialer, Config: conf}).DialContext(ctx, network, address)
}

// Close ends the connections that wait for the next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do asks for path, which has its query, with in as its body in JSON and its
// answer in out; either may be nil. Errors are those that the server's route
// returned, with their kinds; Transient when it could not be asked.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fault.Wrap(fault.Invalid, "write", "the request", err)
		}
		body = bytes.NewReader(text)
	}
	resp, err := c.Send(ctx, method, path, body, "application/json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	if err != nil {
		return fault.Wrap(fault.Transient, "read the answer of", c.service, err)
	}
	if len(text) > maxMessage || json.Unmarshal(text, out) != nil {
		return fault.New(fault.Internal, "read the answer of", c.service, fmt.Sprintf("it is not what %s %s answers", method, strings.SplitN(path, "?", 2)[0]))
	}
	return nil
}

// Send is Do with bodies as they are: the caller reads and closes the reply's.
// A reply that is not a success is an error.
func (c *Client) Send(ctx context.Context, method, path string, body io.Reader, contentType string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "ask", c.service, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, ReadError(resp)
	}
	return resp, nil
}

// unreached classifies what kept a request from being answered.
func (c *Client) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	var untrusted *gsi.TrustError
	if errors.As(err, &untrusted) {
		return &fault.Error{Kind: fault.Credential, Op: "believe", Path: c.service, Err: untrusted, Hint: "X509_CERT_DIR names the authorities that are believed"}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // its text names a URL that nobody wrote
	}
	return &fault.Error{Kind: fault.Transient, Op: "reach the service at", Path: c.service, Err: err, Hint: "is gridferryd running there? --service or GRIDFERRY_SERVICE says where it is"}
}
