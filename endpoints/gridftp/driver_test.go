package gridftp

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/memory"
	"github.com/gridferry/gridferry/fault"
	wire "github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

func TestOpenWithoutAServer(t *testing.T) {
	d := New(Config{Timeouts: wire.Timeouts{Dial: 5 * time.Second}})
	t.Cleanup(d.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	rec := endpoints.Record{Name: "lab#dtn", Kind: Kind, Scheme: "ftp", Servers: []string{nobody}}
	_, err = d.Open(t.Context(), rec, Identity{})
	if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "lab#dtn ("+nobody+")") {
		t.Errorf("nobody listens: %v", err)
	}
	rec.Scheme = "gsiftp"
	_, err = d.Open(t.Context(), rec, Identity{})
	var missing *endpoints.CredentialError
	if !fault.Is(err, fault.Credential) || !errors.As(err, &missing) || missing.Domain != "lab#dtn" || missing.Fingerprint != "" {
		t.Errorf("no credential: %v", err)
	}
	rec.Scheme = "gopher"
	if _, err := d.Open(t.Context(), rec, Identity{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a scheme of another kind: %v", err)
	}
}

// TestExpires: a storage ends with its credential, and errors that follow from
// it name which one that was.
func TestExpires(t *testing.T) {
	credential, err := gsi.NewEphemeral("ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s := &Storage{name: "lab#dtn", domain: "myproxy://lab:7512", config: wire.Config{Scheme: wire.GSIFTP, Credential: credential}}
	if !s.Expires().Equal(credential.NotAfter()) {
		t.Errorf("expires %v, the credential %v", s.Expires(), credential.NotAfter())
	}
	lent := &Lent{Fingerprint: "of the owner's", Expires: credential.NotAfter().Add(time.Hour)}
	if s := (&Storage{config: s.config, lent: lent}); !s.Expires().Equal(lent.Expires) || s.Fingerprint() != lent.Fingerprint {
		t.Errorf("a proxy tells of %s, which expires %v", s.Fingerprint(), s.Expires())
	}
	if plain := (&Storage{}); !plain.Expires().IsZero() {
		t.Errorf("plain FTP expires %v", plain.Expires())
	}
	for what, cause := range map[string]error{
		"expired":     fmt.Errorf("read: %w", wire.ErrExpired),
		"not let in":  refusal(530, "Login incorrect."),
		"not trusted": &gsi.TrustError{Reason: gsi.ReasonExpired},
	} {
		classified, sure := s.classify(t.Context(), "list", "/x", cause, reads)
		var tried *endpoints.CredentialError
		if !fault.Is(classified, fault.Credential) || !sure || !errors.As(classified, &tried) || !errors.Is(classified, cause) {
			t.Errorf("%s: %v", what, classified)
			continue
		}
		if tried.Domain != "myproxy://lab:7512" || tried.Fingerprint != credential.Fingerprint() {
			t.Errorf("%s: blamed %s of %s", what, tried.Fingerprint, tried.Domain)
		}
		again, _ := s.classify(t.Context(), "list", "/x", classified, reads)
		if again.Error() != classified.Error() {
			t.Errorf("%s: said twice: %v", what, again)
		}
	}
	if e, _ := s.classify(t.Context(), "list", "/x", refusal(550, "No such file"), reads); errors.As(e, new(*endpoints.CredentialError)) {
		t.Errorf("a missing file is blamed on a credential: %v", e)
	}
}

func TestReaches(t *testing.T) {
	full := &Storage{name: "full"}
	plain := &Storage{name: "plain", caps: endpoints.Caps{StreamOnly: true}}
	if err := full.Reaches(full); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"to plain FTP":    full.Reaches(plain),
		"from plain FTP":  plain.Reaches(full),
		"to another kind": full.Reaches(memory.NewDisk(memory.Options{}).Open()),
	} {
		if !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// fakeRun is a sendRun of n files, with the outcomes it has told of.
func fakeRun(n int) (*sendRun, *[]endpoints.Sent) {
	var told []endpoints.Sent
	r := &sendRun{src: &Storage{name: "src"}, dst: &Storage{name: "dst"}, done: func(s endpoints.Sent) { told = append(told, s) }}
	for i := range n {
		r.taken = append(r.taken, endpoints.Send{Source: fmt.Sprint("/s", i), Dest: fmt.Sprint("/d", i), Size: 10, Key: 100 + i})
	}
	return r, &told
}

func TestFinishTellsOfEveryFile(t *testing.T) {
	gone := refusal(550, "No such file")
	r, told := fakeRun(5)
	r.ended(wire.Outcome{Index: 0, Bytes: 10})
	r.ended(wire.Outcome{Index: 1, Bytes: -1})
	r.ended(wire.Outcome{Index: 2, Err: gone, Suspect: true})
	r.ended(wire.Outcome{Index: 3, Suspect: true})
	err := r.finish(t.Context(), &wire.PipelineError{Side: wire.SourceSide, Index: 2, Err: gone})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("the run ended with %v", err)
	}
	if len(*told) != 5 {
		t.Fatalf("told of %d files", len(*told))
	}
	for i, s := range *told {
		good := i < 2
		if s.Key != 100+i || s.Suspect == good || (s.Err != nil) != (i == 2) || s.AtSource != (i == 2) || good && s.Bytes != 10 {
			t.Errorf("file %d: %+v", i, s)
		}
	}
}

func TestFinishRecognisesABlockedChannel(t *testing.T) {
	for what, c := range map[string]struct {
		err     error
		moved   bool
		blocked bool
	}{
		"not one byte":      {&wire.StallError{First: true}, false, true},
		"refused by a peer": {refusal(425, "Can't open data connection."), false, true},
		"broke later":       {refusal(426, "Connection closed."), true, false},
		"stalled later":     {&wire.StallError{}, true, false},
	} {
		r, told := fakeRun(2)
		r.anybyte = c.moved
		r.ended(wire.Outcome{Index: 0, Err: c.err, Suspect: true})
		err := r.finish(t.Context(), &wire.PipelineError{Index: 0, Err: c.err})
		if !fault.Is(err, fault.Transient) || errors.Is(err, endpoints.ErrDataBlocked) != c.blocked || len(*told) != 2 {
			t.Errorf("%s: %v, told of %d", what, err, len(*told))
		}
	}
}
