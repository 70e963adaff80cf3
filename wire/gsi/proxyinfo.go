package gsi

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Object identifiers of RFC 3820 and of the Globus limited proxy.
var (
	oidProxyCertInfo = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}         // RFC 3820, 3.8
	oidDraftInfo     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 222}     // Globus Toolkit 3, before the RFC
	oidInheritAll    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}         // RFC 3820, 3.8.2
	oidIndependent   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}         // RFC 3820, 3.8.2
	oidLimited       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9} // Globus limited proxy
	oidSubjectAlt    = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidIssuerAlt     = asn1.ObjectIdentifier{2, 5, 29, 18}
	oidKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 15}
)

// noPathLength is proxyInfo.pathLength where the extension has none.
const noPathLength = -1

// proxyInfo is a ProxyCertInfo extension (RFC 3820, 3.8).
type proxyInfo struct {
	pathLength int // proxies allowed below this one, or noPathLength
	language   asn1.ObjectIdentifier
	policy     []byte
}

func (p *proxyInfo) limited() bool { return p.language.Equal(oidLimited) }

type proxyPolicyASN1 struct {
	Language asn1.ObjectIdentifier
	Policy   []byte `asn1:"optional"`
}

// parseProxyInfo reads the DER value of a ProxyCertInfo extension. The path
// length is an optional INTEGER before the policy, which encoding/asn1 cannot
// tell from an absent one by a struct alone.
func parseProxyInfo(der []byte) (*proxyInfo, error) {
	var fields []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &fields)
	if err != nil {
		return nil, fmt.Errorf("parse ProxyCertInfo: %w", err)
	}
	if len(rest) != 0 || len(fields) < 1 || len(fields) > 2 {
		return nil, errors.New("parse ProxyCertInfo: not a path length and a policy")
	}
	info := &proxyInfo{pathLength: noPathLength}
	if len(fields) == 2 {
		if rest, err := asn1.Unmarshal(fields[0].FullBytes, &info.pathLength); err != nil || len(rest) != 0 {
			return nil, errors.New("parse ProxyCertInfo: the path length is not a small integer")
		}
		if info.pathLength < 0 {
			return nil, errors.New("parse ProxyCertInfo: the path length is negative")
		}
		fields = fields[1:]
	}
	var policy proxyPolicyASN1
	if rest, err := asn1.Unmarshal(fields[0].FullBytes, &policy); err != nil || len(rest) != 0 {
		return nil, errors.New("parse ProxyCertInfo: the policy is malformed")
	}
	info.language, info.policy = policy.Language, policy.Policy
	return info, nil
}

// encodeProxyInfo returns the extension value of a proxy without path length.
func encodeProxyInfo(limited bool) ([]byte, error) {
	policy := proxyPolicyASN1{Language: oidInheritAll}
	if limited {
		policy.Language = oidLimited
	}
	return asn1.Marshal(struct{ Policy proxyPolicyASN1 }{policy})
}

// isProxy reports whether the certificate claims to be an RFC 3820 proxy.
func isProxy(cert *x509.Certificate) bool {
	_, _, ok := extension(cert, oidProxyCertInfo)
	return ok
}

// isLimited reports whether the certificate is a limited proxy.
func isLimited(cert *x509.Certificate) bool {
	value, _, ok := extension(cert, oidProxyCertInfo)
	if !ok {
		return false
	}
	info, err := parseProxyInfo(value)
	return err == nil && info.limited()
}

func extension(cert *x509.Certificate, oid asn1.ObjectIdentifier) (value []byte, critical, ok bool) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oid) {
			return e.Value, e.Critical, true
		}
	}
	return nil, false, false
}
