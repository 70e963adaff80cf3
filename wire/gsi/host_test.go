package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"testing"
)

func TestMatchHost(t *testing.T) {
	san := &x509.Certificate{DNSNames: []string{"dtn.example.org", "*.pool.example.org"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.7"), net.ParseIP("2001:db8::7")}}
	cn := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}}
	}
	sanAndCN := &x509.Certificate{DNSNames: []string{"dtn.example.org"}, Subject: pkix.Name{CommonName: "other.example.org"}}
	for _, tc := range []struct {
		cert *x509.Certificate
		host string
		ok   bool
	}{
		{san, "dtn.example.org", true},
		{san, "DTN.Example.ORG", true},
		{san, "dtn.example.org.", true},
		{san, "a.pool.example.org", true},
		{san, "a.b.pool.example.org", false},
		{san, "pool.example.org", false},
		{san, "192.0.2.7", true},
		{san, "192.0.2.8", false},
		{san, "[2001:db8::7]", true},
		{san, "2001:db8:0::7", true},
		{san, "2001:db8::7%eth0", true},
		{san, "example.org", false},
		{san, "", false},
		{cn("dtn.example.org"), "dtn.example.org", true},
		{cn("host/dtn.example.org"), "dtn.example.org", true},
		{cn("ftp/dtn.example.org"), "dtn.example.org", false},
		{cn("*.example.org"), "dtn.example.org", true},
		{cn("127.0.0.1"), "127.0.0.1", true},
		{cn("Ada Lovelace"), "dtn.example.org", false},
		{cn(""), "dtn.example.org", false},
		{sanAndCN, "other.example.org", false},
	} {
		err := MatchHost(tc.cert, tc.host)
		if (err == nil) != tc.ok {
			t.Errorf("%v %v %q against %q: %v", tc.cert.DNSNames, tc.cert.IPAddresses, tc.cert.Subject.CommonName, tc.host, err)
		}
		var refused *TrustError
		if err != nil && (!errors.As(err, &refused) || refused.Reason != ReasonHost) {
			t.Errorf("%q: error %v (%T)", tc.host, err, err)
		}
	}
}
