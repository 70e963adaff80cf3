package transfer

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
)

func TestWaitsFor(t *testing.T) {
	for _, test := range []struct {
		fault Fault
		want  string
	}{
		{Fault{Kind: fault.Credential}, ForCredential},
		{Fault{Kind: fault.Credential, Reason: ReasonConfigured}, ForCredential},
		{Fault{Kind: fault.NoSpace}, ForSpace},
		{Fault{Kind: fault.NoSpace, OwnStore: true}, ForStore},
		{Fault{Kind: fault.Busy}, ForServer},
		{Fault{Kind: fault.Busy, Reason: ReasonDrained}, ForDrained},
		{Fault{Kind: fault.Busy, Reason: ReasonLimit}, ForLimit},
		{Fault{Kind: fault.Transient}, ForServer},
		{Fault{Kind: fault.Canceled}, ForServer},
		{Fault{Kind: fault.NotFound}, ForFiles},
		{Fault{Kind: fault.Permission}, ForFiles},
		{Fault{Kind: fault.Exists}, ForFiles},
		{Fault{Kind: fault.Unsupported}, ForFiles},
		{Fault{Kind: fault.Integrity}, ForFiles},
		{Fault{Kind: fault.Invalid}, ForFiles},
		{Fault{Kind: fault.Internal}, ForOperator},
		{Fault{Kind: "Odd"}, ForOperator},
	} {
		if what, hint := WaitsFor(test.fault); what != test.want || hint == "" {
			t.Errorf("%+v waits for %q (%s), want %q", test.fault, what, hint, test.want)
		}
	}
}

func TestOutlookIsASentence(t *testing.T) {
	o := Outlook{Prospect: Waiting, Text: "waiting for space", Since: time.Date(2026, 11, 21, 8, 5, 0, 0, time.UTC), Hint: "make some"}
	if got, want := o.String(), "waiting for space; since 2026-11-21 08:05:00 UTC (make some)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (Outlook{Text: "progressing"}).String(); got != "progressing" {
		t.Errorf("%q", got)
	}
}
