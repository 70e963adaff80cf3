package gsi

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestExpiries(t *testing.T) {
	f := newForgery(t)
	end := func(d time.Duration) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(d) }
	}
	older := func(l *x509.RevocationList) { l.ThisUpdate = l.ThisUpdate.Add(-time.Hour) }
	trust := f.load(TrustOptions{}, trustFiles{
		"HASH.r0": string(f.list(nil, end(10*24*time.Hour))),
		"HASH.r1": string(f.list(nil, older, end(time.Minute))),
	})
	all := trust.Expiries()
	if len(all) != 2 || all[0].Kind != ExpiryAuthority || all[1].Kind != ExpiryCRL {
		t.Fatalf("got %v, want the authority, which ends within the hour, and its newest list", all)
	}
	if e := all[1]; e.Name != "/O=Forged/CN=CA" || !strings.HasSuffix(e.File, ".r0") {
		t.Errorf("the newest list is %+v", e)
	}
	host := f.end("host").HostExpiry()
	for _, tc := range []struct {
		e    Expiry
		left time.Duration
		want string // empty: no warning
	}{
		{all[1], 15 * 24 * time.Hour, ""},
		{all[1], 13*24*time.Hour + time.Minute, "in 13 days"},
		{all[1], 5*time.Hour + time.Minute, "in 5 hours"},
		{all[1], -time.Hour, "ended on"},
		{all[1], 0, "fetch-crl"},
		{all[0], time.Hour, "authority /O=Forged/CN=CA"},
		{host, 14*24*time.Hour + time.Second, ""},
		{host, 14 * 24 * time.Hour, "host certificate of /O=Forged/CN=host"},
	} {
		if got := tc.e.Warning(tc.e.Ends.Add(-tc.left)); !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
			t.Errorf("%s, %v before: %q, want %q in it", tc.e.Kind, tc.left, got, tc.want)
		}
	}
}
