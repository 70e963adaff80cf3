package gsi

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestClientTLS(t *testing.T) {
	f := newForgery(t)
	a, err := NewAuthority("TLS")
	if err != nil {
		t.Fatal(err)
	}
	host, err := a.Host("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	user, err := a.User("Ada")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if chain := r.TLS.PeerCertificates; len(chain) > 0 {
			_, _ = io.WriteString(w, DN(chain[0].RawSubject))
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{host.TLSCertificate()}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	get := func(c *Credential, trust *Trust, name string) (string, error) {
		t.Helper()
		config, err := ClientTLS(c, trust, name)
		if err != nil {
			t.Fatal(err)
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer client.CloseIdleConnections()
		r, err := client.Get(server.URL)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		return string(text), err
	}
	for _, tc := range []struct {
		c      *Credential
		trust  *Trust
		host   string
		reason Reason
		shown  string
	}{
		{user, a.Trust(), "127.0.0.1", "", "/O=TLS/CN=Ada"},
		{nil, a.Trust(), "127.0.0.1", "", ""},
		{nil, a.Trust(), "dtn.example.org", ReasonHost, ""},
		{user, f.trust(), "127.0.0.1", ReasonUnknownAuthority, ""},
	} {
		shown, err := get(tc.c, tc.trust, tc.host)
		wantRefusal(t, err, tc.reason, "")
		if err == nil && shown != tc.shown {
			t.Errorf("the server saw %q, want %q", shown, tc.shown)
		}
	}
	for name, wrong := range map[string]func() (*tls.Config, error){
		"host":  func() (*tls.Config, error) { return ClientTLS(user, a.Trust(), "") },
		"trust": func() (*tls.Config, error) { return ClientTLS(user, nil, "localhost") },
	} {
		if _, err := wrong(); err == nil {
			t.Errorf("a configuration without %s was made", name)
		}
	}
}
