package gsi

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// vomsChain is a proxy that voms-proxy-fake 2.1.0 made, of which the key was
// thrown away.
func vomsChain(t testing.TB) *Credential {
	t.Helper()
	data, err := os.ReadFile("testdata/voms.pem")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := parseCertificates(data)
	if err != nil {
		t.Fatal(err)
	}
	return &Credential{Chain: chain}
}

func TestVOMS(t *testing.T) {
	c := vomsChain(t)
	found, err := c.VOMS()
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	v := found[0]
	if v.Organization != "test.vo" || v.Server != "voms.example.org:15000" || v.Issuer != "/O=Test/CN=voms.example.org" || v.Foreign ||
		!slices.Equal(v.FQANs, []string{"/test.vo", "/test.vo/production/Role=admin"}) || v.NotAfter.Sub(v.NotBefore) != time.Hour {
		t.Errorf("got %+v", v)
	}

	f := newForgery(t)
	peer, err := f.trust().Verify(f.proxy(f.end("Ada")).Chain, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if found, err := peer.VOMS(); found != nil || err != nil {
		t.Errorf("an ordinary proxy claims %v, %v", found, err)
	}
	// In a proxy of somebody else's, and above a proxy of its own.
	der, _, _ := extension(c.Chain[0], oidVOMS)
	stolen := f.proxy(f.proxy(f.end("Eve"), withExtension(oidVOMS, false, der)))
	if peer, err = f.trust().Verify(stolen.Chain, time.Now()); err != nil {
		t.Fatal(err)
	}
	if found, err := peer.VOMS(); err != nil || len(found) != 1 || !found[0].Foreign {
		t.Errorf("stolen attributes: %+v, %v", found, err)
	}
	damaged := f.proxy(f.end("Ada"), withExtension(oidVOMS, false, der[:len(der)-1]))
	if peer, err = f.trust().Verify(damaged.Chain, time.Now()); err != nil {
		t.Fatalf("attributes that cannot be read keep their bearer out: %v", err)
	}
	if _, err := peer.VOMS(); err == nil || !strings.Contains(err.Error(), "VOMS") {
		t.Errorf("damaged attributes: %v", err)
	}
}

func FuzzParseVOMS(f *testing.F) {
	c := vomsChain(f)
	der, _, ok := extension(c.Chain[0], oidVOMS)
	if !ok {
		f.Fatal("the sample has no attributes")
	}
	f.Add(der)
	f.Add([]byte{0x30, 2, 0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		found, err := parseVOMS(der, c.EEC())
		if err != nil {
			return
		}
		for _, v := range found {
			for _, text := range append(v.FQANs, v.Organization, v.Server, v.Issuer) {
				if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Fatalf("%q cannot be shown", text)
				}
			}
		}
	})
}
