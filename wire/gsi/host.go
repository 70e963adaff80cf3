package gsi

import (
	"crypto/x509"
	"net"
	"strings"
)

// MatchHost reports whether an end-entity certificate is for host, a DNS name
// or an IP address, as a *TrustError when it is not. Subject alternative names
// decide, with wildcards for one whole leftmost label. Only a certificate that
// names no host there is judged by its last CN, "host" or Globus's
// "host/example.org".
func MatchHost(cert *x509.Certificate, host string) error {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if i := strings.IndexByte(host, '%'); i >= 0 && strings.Contains(host, ":") {
		host = host[:i] // an IPv6 zone is ours, not the certificate's
	}
	if host == "" {
		return refuse(ReasonHost, cert, "no host name was expected of it, so none can match")
	}
	names := cert
	if len(cert.DNSNames) == 0 && len(cert.IPAddresses) == 0 {
		cn := strings.TrimPrefix(cert.Subject.CommonName, "host/")
		if ip := net.ParseIP(cn); ip != nil {
			names = &x509.Certificate{IPAddresses: []net.IP{ip}}
		} else {
			names = &x509.Certificate{DNSNames: []string{cn}}
		}
	}
	if err := names.VerifyHostname(host); err != nil {
		e := refuse(ReasonHost, cert, "it is for %s, not for %s", hostNames(names), host)
		e.Err = err
		return e
	}
	return nil
}

func hostNames(cert *x509.Certificate) string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 1 && names[0] == "" {
		return "no host"
	}
	return strings.Join(names, ", ")
}
