package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// fakeCredentials is a daemon's door in a file. MyProxy's pass phrase is
// "right", and names that begin with "my" share a MyProxy server.
type fakeCredentials struct {
	Given []transfer.Activation `json:"activations,omitempty"`
	Known []transfer.Identity   `json:"identities,omitempty"`
	Asked string                `json:"asked,omitempty"` // how the last activation was asked for
}

const credentialsFile = "credentials.json"

func connectCredentials(_ context.Context, c starter.Connection) (transfer.Credentials, func(), error) {
	if err := os.WriteFile("contacted", nil, 0o644); err != nil {
		return nil, nil, err
	}
	if c.Service == "unix:/nowhere" {
		return nil, nil, &fault.Error{Kind: fault.Transient, Op: "reach the service at", Path: c.Service, Err: errors.New("connection refused"), Hint: "is gridferryd running there?"}
	}
	return &fakeCredentials{}, func() {}, nil
}

// with reads the file, lets do change what is in it, and writes it.
func (f *fakeCredentials) with(do func() error) error {
	text, err := os.ReadFile(credentialsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	*f = fakeCredentials{}
	if err == nil {
		if err := json.Unmarshal(text, f); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if text, err = json.MarshalIndent(f, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(credentialsFile, text, 0o644)
}

func fakeDomain(endpoint string) string {
	if strings.HasPrefix(endpoint, "my") {
		return "myproxy://myproxy.example.org:7512"
	}
	return endpoint
}

func (f *fakeCredentials) AddIdentity(_ context.Context, id transfer.Identity) (added transfer.Identity, err error) {
	return id, f.with(func() error {
		if !slices.Contains([]transfer.IdentityKind{transfer.IdentityMyProxy, transfer.IdentityX509}, id.Kind) {
			return &fault.Error{Kind: fault.Invalid, Op: "add identity", Path: "kind", Err: errors.New("there is no such kind"), Hint: "myproxy, proxy, x509, oidc, ssh or s3"}
		}
		id.ID, id.Owner, id.Created = fmt.Sprintf("id%d", len(f.Known)+1), "ada", noon
		f.Known = append(f.Known, id)
		return nil
	})
}

func (f *fakeCredentials) Identities(context.Context, string) ([]transfer.Identity, error) {
	err := f.with(func() error { return nil })
	return f.Known, err
}

func (f *fakeCredentials) RemoveIdentity(_ context.Context, _, id string) error {
	return f.with(func() error {
		n := len(f.Known)
		if f.Known = slices.DeleteFunc(f.Known, func(i transfer.Identity) bool { return i.ID == id }); len(f.Known) == n {
			return fault.New(fault.NotFound, "remove identity", id, "there is no such identity")
		}
		return nil
	})
}

func (f *fakeCredentials) Activate(_ context.Context, req transfer.ActivateRequest) (a transfer.Activation, err error) {
	a = transfer.Activation{Owner: "ada", Domain: fakeDomain(req.Endpoint), Fingerprint: "c0ffee", Given: noon, Expires: noon.Add(12 * time.Hour)}
	return a, f.with(func() error {
		switch {
		case req.MyProxy != nil:
			a.Kind, a.Subject = "myproxy", "/O=Test/CN="+req.MyProxy.User
			f.Asked = fmt.Sprintf("myproxy %s %s %s", req.MyProxy.Server, req.MyProxy.User, req.MyProxy.Lifetime)
			if req.MyProxy.Passphrase != "right" {
				return &fault.Error{Kind: fault.Credential, Op: "log on", Path: "myproxy.example.org", Err: errors.New("invalid pass phrase"), Hint: "check user and pass phrase"}
			}
		case req.Signed != nil:
			a.Kind = "delegated"
			if strings.Contains(string(req.Signed.Chain), "PRIVATE KEY") {
				return errors.New("a private key travels")
			}
			block, _ := pem.Decode(req.Signed.Chain)
			if block == nil {
				return errors.New("no certificate was sent")
			}
			a.Subject = "/O=Test/CN=Ada"
			f.Asked = "signed " + req.Signed.ID
		default:
			c, err := gsi.ParseCredential(req.Proxy)
			if err != nil {
				return fault.Wrap(fault.Invalid, "take", "the credential", err)
			}
			a.Kind, a.Subject = "proxy", c.Identity()
			f.Asked = "proxy"
		}
		f.Given = append(slices.DeleteFunc(f.Given, func(b transfer.Activation) bool { return b.Domain == a.Domain }), a)
		return nil
	})
}

func (f *fakeCredentials) Delegate(context.Context, string, string) (transfer.Delegation, error) {
	r, err := gsi.NewProxyRequest(0)
	if err != nil {
		return transfer.Delegation{}, err
	}
	return transfer.Delegation{ID: "d1", Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.CSR()})}, nil
}

func (f *fakeCredentials) Deactivate(_ context.Context, _, endpoint string) error {
	return f.with(func() error {
		n := len(f.Given)
		if f.Given = slices.DeleteFunc(f.Given, func(a transfer.Activation) bool { return a.Domain == fakeDomain(endpoint) }); len(f.Given) == n {
			return fault.New(fault.NotFound, "deactivate", endpoint, "it is not activated")
		}
		return nil
	})
}

func (f *fakeCredentials) Activations(_ context.Context, _, endpoint string) ([]transfer.Activation, error) {
	err := f.with(func() error { return nil })
	if endpoint != "" {
		f.Given = slices.DeleteFunc(f.Given, func(a transfer.Activation) bool { return a.Domain != fakeDomain(endpoint) })
	}
	return f.Given, err
}

// askFake is a terminal where GRIDFERRY_TEST_SECRET is typed; none without it.
func askFake() func(context.Context, string) ([]byte, error) {
	typed := os.Getenv("GRIDFERRY_TEST_SECRET")
	if typed == "" {
		return nil
	}
	return func(_ context.Context, question string) ([]byte, error) {
		fmt.Fprintln(os.Stderr, question)
		return []byte(typed), nil
	}
}
