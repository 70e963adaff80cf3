package gsi

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// An attribute is one type and value of a distinguished name, its value kept
// as it was encoded.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// attributeSET is one relative distinguished name; encoding/asn1 recognises a
// SET by the suffix of the type's name.
type attributeSET []attribute

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// shortNames are OpenSSL's, because gridmaps and the users who wrote them were
// made with OpenSSL. What is missing is shown as a dotted object identifier.
var shortNames = map[string]string{
	"2.5.4.3":                    "CN",
	"2.5.4.4":                    "SN",
	"2.5.4.5":                    "serialNumber",
	"2.5.4.6":                    "C",
	"2.5.4.7":                    "L",
	"2.5.4.8":                    "ST",
	"2.5.4.9":                    "street",
	"2.5.4.10":                   "O",
	"2.5.4.11":                   "OU",
	"2.5.4.12":                   "title",
	"2.5.4.13":                   "description",
	"2.5.4.15":                   "businessCategory",
	"2.5.4.17":                   "postalCode",
	"2.5.4.41":                   "name",
	"2.5.4.42":                   "GN",
	"2.5.4.43":                   "initials",
	"2.5.4.44":                   "generationQualifier",
	"2.5.4.45":                   "x500UniqueIdentifier",
	"2.5.4.46":                   "dnQualifier",
	"2.5.4.65":                   "pseudonym",
	"2.5.4.72":                   "role",
	"2.5.4.97":                   "organizationIdentifier",
	"0.9.2342.19200300.100.1.1":  "UID",
	"0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1":       "emailAddress",
	"1.2.840.113549.1.9.2":       "unstructuredName",
	"1.2.840.113549.1.9.8":       "unstructuredAddress",
	"1.3.6.1.4.1.311.60.2.1.1":   "jurisdictionL",
	"1.3.6.1.4.1.311.60.2.1.2":   "jurisdictionST",
	"1.3.6.1.4.1.311.60.2.1.3":   "jurisdictionC",
}

func parseName(raw []byte) ([]attributeSET, error) {
	var name []attributeSET
	rest, err := asn1.Unmarshal(raw, &name)
	if err != nil {
		return nil, fmt.Errorf("parse distinguished name: %w", err)
	}
	if len(rest) != 0 {
		return nil, errors.New("parse distinguished name: bytes after its end")
	}
	return name, nil
}

// DN renders a DER-encoded name (a certificate's RawSubject or RawIssuer) as
// OpenSSL 3's X509_NAME_oneline does: "/DC=org/DC=grid/CN=Ada", first component
// first, "+" between the parts of a multi-valued one, "\/" and "\+" for those
// characters in a value, \xHH for bytes outside printable ASCII. Unlike
// OpenSSL's, the form is unambiguous: a backslash in a value is \x5C. What is
// not a name gives the empty string, which matches nobody.
func DN(raw []byte) string {
	name, err := parseName(raw)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, rdn := range name {
		separator := byte('/')
		for _, a := range rdn {
			b.WriteByte(separator)
			separator = '+'
			oid := a.Type.String()
			if short, ok := shortNames[oid]; ok {
				b.WriteString(short)
			} else {
				b.WriteString(oid)
			}
			b.WriteByte('=')
			for _, c := range a.Value.Bytes {
				switch {
				case c == '/' || c == '+':
					b.WriteByte('\\')
					b.WriteByte(c)
				case c < ' ' || c > '~' || c == '\\':
					fmt.Fprintf(&b, `\x%02X`, c)
				default:
					b.WriteByte(c)
				}
			}
		}
	}
	return b.String()
}

// SameDN compares a DN as this package renders it with one that a person or an
// older tool wrote, in a gridmap or a configuration: "/CN=host/example.org"
// with a bare slash (OpenSSL before 3 wrote it so), "/Email=" and "/E=" for
// "/emailAddress=", "/USERID=" for "/UID=". The comparison minds case.
func SameDN(a, b string) bool { return a != "" && modernDN(a) == modernDN(b) }

var oldAttributes = map[string]string{"E": "emailAddress", "Email": "emailAddress", "USERID": "UID"}

// modernDN escapes every slash and plus that does not begin an attribute, since
// then it can only belong to a value, and gives old attribute names their
// present ones.
func modernDN(dn string) string {
	var b strings.Builder
	for i := 0; i < len(dn); i++ {
		switch c := dn[i]; c {
		case '\\':
			b.WriteByte(c)
			if i++; i < len(dn) {
				b.WriteByte(dn[i])
			}
		case '/', '+':
			attribute, _, ok := strings.Cut(dn[i+1:], "=")
			if !ok || strings.ContainsFunc(attribute, notAttribute) || attribute == "" {
				b.WriteByte('\\')
				b.WriteByte(c)
				continue
			}
			b.WriteByte(c)
			if modern, ok := oldAttributes[attribute]; ok {
				b.WriteString(modern)
				i += len(attribute)
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func notAttribute(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.'
}

// canonicalName returns the canonical encoding of each RDN of a name: two names
// are the same when these are. It is the form OpenSSL compares and hashes:
// strings in UTF-8, ASCII letters in lower case, white space trimmed and runs
// of it made one.
func canonicalName(raw []byte) ([][]byte, error) {
	name, err := parseName(raw)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(name))
	for i, rdn := range name {
		for j, a := range rdn {
			if text, ok := decodeString(a.Value); ok {
				rdn[j].Value = asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagUTF8String, Bytes: canonicalText(text)}
			}
		}
		if out[i], err = asn1.Marshal(rdn); err != nil {
			return nil, fmt.Errorf("encode distinguished name: %w", err)
		}
	}
	return out, nil
}

// tagUniversalString and tagVisibleString are missing from encoding/asn1.
const (
	tagVisibleString   = 26
	tagUniversalString = 28
)

// decodeString returns the value as UTF-8, or false when its type is not one
// of those whose text counts in a comparison of names.
func decodeString(v asn1.RawValue) ([]byte, bool) {
	if v.Class != asn1.ClassUniversal || v.IsCompound {
		return nil, false
	}
	switch v.Tag {
	case asn1.TagUTF8String:
		return v.Bytes, true
	case asn1.TagPrintableString, asn1.TagIA5String, tagVisibleString, asn1.TagT61String:
		// Treated as Latin-1, as OpenSSL does.
		out := make([]byte, 0, len(v.Bytes))
		for _, c := range v.Bytes {
			out = utf8.AppendRune(out, rune(c))
		}
		return out, true
	case asn1.TagBMPString:
		if len(v.Bytes)%2 != 0 {
			return nil, false
		}
		units := make([]uint16, 0, len(v.Bytes)/2)
		for i := 0; i < len(v.Bytes); i += 2 {
			units = append(units, uint16(v.Bytes[i])<<8|uint16(v.Bytes[i+1]))
		}
		return []byte(string(utf16.Decode(units))), true
	case tagUniversalString:
		if len(v.Bytes)%4 != 0 {
			return nil, false
		}
		var out []byte
		for i := 0; i < len(v.Bytes); i += 4 {
			r := uint32(v.Bytes[i])<<24 | uint32(v.Bytes[i+1])<<16 | uint32(v.Bytes[i+2])<<8 | uint32(v.Bytes[i+3])
			if r > utf8.MaxRune {
				return nil, false
			}
			out = utf8.AppendRune(out, rune(r))
		}
		return out, true
	}
	return nil, false
}

// canonicalText folds ASCII only: OpenSSL leaves other letters as they are.
func canonicalText(text []byte) []byte {
	var out []byte
	space := false
	for _, c := range text {
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			space = len(out) > 0
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		if space {
			out = append(out, ' ')
			space = false
		}
		out = append(out, c)
	}
	return out
}

// sameName reports whether two DER-encoded names are the same name.
func sameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := canonicalName(a)
	y, errY := canonicalName(b)
	if errX != nil || errY != nil || len(x) != len(y) {
		return false
	}
	for i := range x {
		if !bytes.Equal(x[i], y[i]) {
			return false
		}
	}
	return true
}

// extraCommonName returns the CN that subject adds to issuer when subject is
// exactly issuer and one more RDN holding one CN: the shape of every proxy's
// name (RFC 3820, 3.4).
func extraCommonName(subject, issuer []byte) (string, bool) {
	s, errS := canonicalName(subject)
	i, errI := canonicalName(issuer)
	if errS != nil || errI != nil || len(s) != len(i)+1 {
		return "", false
	}
	for k := range i {
		if !bytes.Equal(s[k], i[k]) {
			return "", false
		}
	}
	name, err := parseName(subject)
	if err != nil {
		return "", false
	}
	last := name[len(name)-1]
	if len(last) != 1 || !last[0].Type.Equal(oidCommonName) {
		return "", false
	}
	return string(last[0].Value.Bytes), true
}

// withCommonName returns the name with one more RDN, CN=cn, after it. The
// bytes of the name itself are kept verbatim, whatever its string types.
func withCommonName(raw []byte, cn string) ([]byte, error) {
	var name []asn1.RawValue
	if rest, err := asn1.Unmarshal(raw, &name); err != nil || len(rest) != 0 {
		return nil, errors.New("extend distinguished name: not a name")
	}
	last, err := asn1.Marshal(attributeSET{{
		Type:  oidCommonName,
		Value: asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagPrintableString, Bytes: []byte(cn)},
	}})
	if err != nil {
		return nil, fmt.Errorf("extend distinguished name: %w", err)
	}
	return asn1.Marshal(append(name, asn1.RawValue{FullBytes: last}))
}
