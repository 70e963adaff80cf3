package gridftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// refusal is a server's reply, as an error.
func refusal(code int, lines ...string) error {
	return wire.NewReplyError("CMD", wire.NewReply(code, strings.Join(lines, "\n")))
}

func globus(code int, category string, errno syscall.Errno, words string) error {
	return refusal(code, "GlobusError: v=1 c="+category, fmt.Sprintf("GridFTP-Errno: %d", int(errno)), "GridFTP-Reason: System error", "GridFTP-Error-String: "+words, "End.")
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err         error
		read, write fault.Kind
		unsure      bool
	}{
		{globus(550, wire.CategoryPathNotFound, syscall.ENOENT, "No such file or directory"), fault.NotFound, fault.NotFound, false},
		{globus(550, wire.CategoryPermissionDenied, syscall.EACCES, "Permission denied"), fault.Permission, fault.Permission, false},
		{globus(553, wire.CategoryPathExists, syscall.EEXIST, "File exists"), fault.Exists, fault.Exists, false},
		{globus(500, wire.CategoryNotDirectory, syscall.ENOTDIR, "Not a directory"), fault.NotFound, fault.Exists, false},
		{globus(500, wire.CategoryIsDirectory, syscall.EISDIR, "Is a directory"), fault.NotFound, fault.Exists, false},
		{globus(451, wire.CategoryNoSpace, syscall.ENOSPC, "No space left on device"), fault.NoSpace, fault.NoSpace, false},
		{globus(451, wire.CategoryQuota, syscall.EDQUOT, "Disk quota exceeded"), fault.NoSpace, fault.NoSpace, false},
		{globus(451, wire.CategoryInternal, syscall.EIO, "Input/output error"), fault.Transient, fault.Transient, false},
		{globus(500, wire.CategoryInternal, syscall.ENAMETOOLONG, "File name too long"), fault.Invalid, fault.Invalid, false},
		{globus(500, wire.CategoryInternal, syscall.EXDEV, "Invalid cross-device link"), fault.Unsupported, fault.Unsupported, false},
		{refusal(452, "Error writing file: No space left on device"), fault.NoSpace, fault.NoSpace, false},
		{refusal(552, "Quota exceeded."), fault.NoSpace, fault.NoSpace, false},
		{refusal(500, "Command failed. : callback failed.", "an I/O operation was cancelled", "globus_xio: Operation was canceled"), fault.Transient, fault.Transient, false},
		{refusal(550, "/x: No such file or directory"), fault.NotFound, fault.NotFound, false},
		{refusal(530, "Login incorrect. : Gridmap lookup failure"), fault.Credential, fault.Credential, false},
		{refusal(421, "Too many connections (10)"), fault.Busy, fault.Busy, false},
		{refusal(421, "Service not available, closing."), fault.Transient, fault.Transient, false},
		{refusal(425, "Can't open data connection."), fault.Transient, fault.Transient, false},
		{refusal(502, "Command not implemented."), fault.Unsupported, fault.Unsupported, false},
		{refusal(550, "Failed to open file."), fault.Permission, fault.Permission, true},
		{refusal(500, "Command failed. : callback failed."), fault.Permission, fault.Permission, true},
		{refusal(500, "Invalid command."), fault.Unsupported, fault.Unsupported, false},
		{refusal(553, "Could not create file."), fault.Permission, fault.Permission, true},

		{&gsi.TrustError{Reason: gsi.ReasonExpired, Subject: "/CN=x", Detail: "ended"}, fault.Credential, fault.Credential, false},
		{&gsi.TrustError{Reason: gsi.ReasonHost, Subject: "/CN=x", Detail: "is for y"}, fault.Credential, fault.Credential, false},
		{gsi.ErrNoCredential, fault.Credential, fault.Credential, false},
		{tls.AlertError(45), fault.Credential, fault.Credential, false}, // certificate_expired
		{tls.AlertError(80), fault.Transient, fault.Transient, false},   // internal_error
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, fault.Transient, fault.Transient, false},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, fault.Transient, fault.Transient, false},
		{io.EOF, fault.Transient, fault.Transient, false},
		{io.ErrUnexpectedEOF, fault.Transient, fault.Transient, false},
		{os.ErrDeadlineExceeded, fault.Transient, fault.Transient, false},
		{wire.ErrClosed, fault.Transient, fault.Transient, false},
		{wire.ErrPoolClosed, fault.Transient, fault.Transient, false},
		{wire.ErrReplyTooLarge, fault.Internal, fault.Internal, false},
		{&wire.StallError{}, fault.Transient, fault.Transient, false},
		{&wire.CountError{Want: 1, Have: 2}, fault.Integrity, fault.Integrity, false},
		{&wire.NameError{Name: "a\nb"}, fault.Invalid, fault.Invalid, false},
		{wire.ErrNotDirectory, fault.NotFound, fault.Exists, false},
		{&wire.PipelineError{Side: wire.DestSide, Err: globus(550, wire.CategoryNoSpace, syscall.ENOSPC, "full")}, fault.NoSpace, fault.NoSpace, false},
		{fault.New(fault.Exists, "x", "y", "z"), fault.Exists, fault.Exists, false},
		{errors.New("what is this"), fault.Internal, fault.Internal, false},
	} {
		for a, want := range map[access]fault.Kind{reads: c.read, writes: c.write} {
			err, sure := classify(t.Context(), "open", "/x", fmt.Errorf("session: %w", c.err), a)
			if fault.KindOf(err) != want || sure == c.unsure {
				t.Errorf("%v (writes %v): %s, sure %v; want %s", c.err, a, fault.KindOf(err), sure, want)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("%v is lost in %v", c.err, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err, _ := classify(ctx, "open", "/x", wire.ErrClosed, reads); !fault.Is(err, fault.Canceled) {
		t.Errorf("after cancelling: %v", err)
	}
	if err, sure := classify(t.Context(), "open", "/x", nil, reads); err != nil || !sure {
		t.Errorf("no error became %v", err)
	}
}

func TestCheck(t *testing.T) {
	good := endpoints.Record{Kind: Kind, Servers: []string{"a.example.org", "b.example.org:2811", "[::1]:2811", "::1"}, Root: "/data", Options: map[string]string{"dcau": "none", "identity": "/CN=x"}}
	if err := Check(good); err != nil {
		t.Error(err)
	}
	for what, edit := range map[string]func(*endpoints.Record){
		"scheme":           func(r *endpoints.Record) { r.Scheme = "http" },
		"at least one":     func(r *endpoints.Record) { r.Servers = nil },
		"HOST":             func(r *endpoints.Record) { r.Servers = []string{"a/b"} },
		"HOST:PORT":        func(r *endpoints.Record) { r.Servers = []string{"a:99999"} },
		"not absolute":     func(r *endpoints.Record) { r.Root = "data" },
		"not an option":    func(r *endpoints.Record) { r.Options = map[string]string{"colour": "red"} },
		"not one of":       func(r *endpoints.Record) { r.Options = map[string]string{"prot": "secret"} },
		"no protected dat": func(r *endpoints.Record) { r.Scheme, r.Options = "ftp", map[string]string{"prot": "private"} },
	} {
		rec := good
		edit(&rec)
		if err := Check(rec); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
