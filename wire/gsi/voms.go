package gsi

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Object identifiers of the Virtual Organization Membership Service (OGF
// GFD.182).
var (
	oidVOMS  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 5} // the extension of a proxy
	oidFQANs = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 4} // the attribute in it
)

// maxFQANs bounds the attributes that are read from one credential. People
// belong to dozens of groups at most.
const maxFQANs = 1000

// VOMS is what an attribute certificate in a proxy says of its holder's place
// in a virtual organization.
//
// It is a claim: neither its signature nor its issuer is checked here, so it may
// be shown and logged, and must decide nothing.
type VOMS struct {
	Organization        string
	Server              string   // that issued it, as host:port; empty when it is not said
	Issuer              string   // DN of that server
	FQANs               []string // "/org/group/Role=x", the first being the primary one
	NotBefore, NotAfter time.Time
	// Foreign means that it was issued for another certificate than the one
	// whose proxy it is in: whoever checks it will refuse it.
	Foreign bool
}

// VOMS returns what the peer's proxy claims; nothing when it has no attributes.
func (p *Peer) VOMS() ([]VOMS, error) { return voms(p.Chain) }

// VOMS returns what the credential's proxy claims; nothing when it has no
// attributes.
func (c *Credential) VOMS() ([]VOMS, error) { return voms(c.Chain) }

// voms reads the proxy nearest to the leaf that has attributes: the ones below
// it have what it has, and the ones above it were overruled by it.
func voms(chain []*x509.Certificate) ([]VOMS, error) {
	for _, cert := range chain {
		if !isProxy(cert) {
			break
		}
		der, _, ok := extension(cert, oidVOMS)
		if !ok {
			continue
		}
		found, err := parseVOMS(der, eec(chain))
		if err != nil {
			return nil, fmt.Errorf("read VOMS attributes of %s: %w", DN(cert.RawSubject), err)
		}
		return found, nil
	}
	return nil, nil
}

// An attributeCertificate is of version 2 (RFC 5755, 4.1).
type attributeCertificate struct {
	Info struct {
		Version   int
		Holder    asn1.RawValue
		Issuer    asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Serial    *big.Int
		Validity  struct{ NotBefore, NotAfter time.Time }

		Attributes []struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}
		IssuerUniqueID asn1.BitString   `asn1:"optional"`
		Extensions     []pkix.Extension `asn1:"optional"`
	}
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

// parseVOMS reads the extension's value: a sequence of sequences of attribute
// certificates. holder may be nil.
func parseVOMS(der []byte, holder *x509.Certificate) ([]VOMS, error) {
	var lists [][]attributeCertificate
	rest, err := asn1.Unmarshal(der, &lists)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, errors.New("bytes after its end")
	}
	var found []VOMS
	names := 0
	for _, list := range lists {
		for i := range list {
			v, err := list[i].read(holder)
			if err != nil {
				return nil, err
			}
			if names += len(v.FQANs); names > maxFQANs {
				return nil, fmt.Errorf("more than %d attributes", maxFQANs)
			}
			found = append(found, v)
		}
	}
	return found, nil
}

func (ac *attributeCertificate) read(holder *x509.Certificate) (VOMS, error) {
	v := VOMS{
		Issuer:    directoryName(ac.Info.Issuer),
		NotBefore: ac.Info.Validity.NotBefore,
		NotAfter:  ac.Info.Validity.NotAfter,
		Foreign:   holder == nil || !ac.isFor(holder),
	}
	for _, attribute := range ac.Info.Attributes {
		if !attribute.Type.Equal(oidFQANs) {
			continue
		}
		for _, value := range attribute.Values {
			// IetfAttrSyntax (RFC 5755, 4.4): whose attributes, as "org://host:port".
			var syntax struct {
				Authority asn1.RawValue `asn1:"optional,tag:0"`
				Values    []asn1.RawValue
			}
			if rest, err := asn1.Unmarshal(value.FullBytes, &syntax); err != nil || len(rest) != 0 {
				return v, errors.New("its attributes are malformed")
			}
			if uri, ok := generalURI(syntax.Authority); ok {
				v.Organization, v.Server, _ = strings.Cut(printable(uri), "://")
			}
			for _, name := range syntax.Values {
				v.FQANs = append(v.FQANs, fqan(printable(name.Bytes)))
			}
		}
	}
	return v, nil
}

// isFor reports whether the certificate's issuer and serial number are those
// that the holder is named by.
func (ac *attributeCertificate) isFor(holder *x509.Certificate) bool {
	var h struct {
		Base struct {
			Issuer []asn1.RawValue
			Serial *big.Int
			Unique asn1.BitString `asn1:"optional"`
		} `asn1:"tag:0"`
	}
	if _, err := asn1.Unmarshal(ac.Info.Holder.FullBytes, &h); err != nil || h.Base.Serial == nil {
		return false
	}
	for _, name := range h.Base.Issuer {
		if isDirectoryName(name) && sameName(name.Bytes, holder.RawIssuer) && h.Base.Serial.Cmp(holder.SerialNumber) == 0 {
			return true
		}
	}
	return false
}

// isDirectoryName reports whether a GeneralName holds a DN (RFC 5280, 4.2.1.6).
func isDirectoryName(v asn1.RawValue) bool {
	return v.Class == asn1.ClassContextSpecific && v.Tag == 4 && v.IsCompound
}

// directoryName finds the DN in an issuer, which is GeneralNames in version 1
// and those in a [0] in version 2.
func directoryName(issuer asn1.RawValue) string {
	names := issuer.Bytes
	if issuer.Class == asn1.ClassContextSpecific {
		var v2 asn1.RawValue
		if _, err := asn1.Unmarshal(names, &v2); err != nil {
			return ""
		}
		names = v2.Bytes
	}
	for len(names) > 0 {
		var name asn1.RawValue
		rest, err := asn1.Unmarshal(names, &name)
		if err != nil {
			return ""
		}
		if isDirectoryName(name) {
			return DN(name.Bytes)
		}
		names = rest
	}
	return ""
}

// generalURI finds the URI in GeneralNames, whose outer tag was replaced.
func generalURI(names asn1.RawValue) ([]byte, bool) {
	var name asn1.RawValue
	for rest := names.Bytes; len(rest) > 0; {
		var err error
		if rest, err = asn1.Unmarshal(rest, &name); err != nil {
			return nil, false
		}
		if name.Class == asn1.ClassContextSpecific && name.Tag == 6 {
			return name.Bytes, true
		}
	}
	return nil, false
}

// fqan leaves out the parts of a name that say nothing, as voms-proxy-info
// does.
func fqan(name string) string {
	name = strings.TrimSuffix(name, "/Capability=NULL")
	return strings.TrimSuffix(name, "/Role=NULL")
}

// printable is text of a peer's that goes into logs.
func printable(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(text))
}
