package myproxyd

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Subject is the form of the names that are given: a DN with {user} where
// the user's name goes.
type Subject struct{ parts []part }

type part struct {
	oid   asn1.ObjectIdentifier
	ia5   bool // of those that are IA5String by their definition
	value string
}

// placeholder is what stands for the user's name.
const placeholder = "{user}"

var errSubject = errors.New(`a subject is written "/DC=org/DC=example/CN={user}"`)

// attributes are what a subject may be made of.
func attributes() map[string]part {
	return map[string]part{
		"CN":           {oid: asn1.ObjectIdentifier{2, 5, 4, 3}},
		"C":            {oid: asn1.ObjectIdentifier{2, 5, 4, 6}},
		"L":            {oid: asn1.ObjectIdentifier{2, 5, 4, 7}},
		"ST":           {oid: asn1.ObjectIdentifier{2, 5, 4, 8}},
		"O":            {oid: asn1.ObjectIdentifier{2, 5, 4, 10}},
		"OU":           {oid: asn1.ObjectIdentifier{2, 5, 4, 11}},
		"UID":          {oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}},
		"DC":           {oid: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, ia5: true},
		"emailAddress": {oid: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, ia5: true},
	}
}

// ParseSubject reads a subject in OpenSSL's one-line form. {user} must be in
// it, or everybody would be the same one.
func ParseSubject(text string) (Subject, error) {
	rest, ok := strings.CutPrefix(text, "/")
	if !ok || !utf8.ValidString(text) || len(text) > 1000 {
		return Subject{}, fmt.Errorf("%q: %w", text, errSubject)
	}
	if !strings.Contains(text, placeholder) {
		return Subject{}, fmt.Errorf("%q has no %s in it, so everybody would have the same name", text, placeholder)
	}
	var s Subject
	for field := range strings.SplitSeq(rest, "/") {
		name, value, ok := strings.Cut(field, "=")
		p, known := attributes()[name]
		switch {
		case !ok || value == "":
			return Subject{}, fmt.Errorf("%q: %q is not NAME=value: %w", text, field, errSubject)
		case !known:
			return Subject{}, fmt.Errorf("%q: no attribute is called %q here (CN, C, L, ST, O, OU, UID, DC, emailAddress)", text, name)
		case p.ia5 && strings.ContainsFunc(value, func(r rune) bool { return r > 0x7e }):
			return Subject{}, fmt.Errorf("%q: %s takes ASCII only", text, name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return Subject{}, fmt.Errorf("%q: %s has characters that are no text", text, name)
		case name == "C" && len(value) != 2:
			return Subject{}, fmt.Errorf("%q: C takes a country's two letters", text)
		}
		p.value = value
		s.parts = append(s.parts, p)
	}
	return s, nil
}

// name returns the DER form of a user's name. The user is put into values that
// were taken apart before, so that no slash in it could start another.
func (s Subject) name(user string) ([]byte, error) {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type attributeSET []attribute // encoding/asn1 takes the name's end for a SET
	var name []attributeSET
	for _, p := range s.parts {
		value := asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(strings.ReplaceAll(p.value, placeholder, user))}
		switch {
		case p.ia5:
			value.Tag = asn1.TagIA5String
		case isPrintable(value.Bytes):
			// As OpenSSL's default does: some compare names byte by byte.
			value.Tag = asn1.TagPrintableString
		}
		name = append(name, attributeSET{{Type: p.oid, Value: value}})
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		return nil, fmt.Errorf("make the subject of %s: %w", user, err)
	}
	return der, nil
}

// isPrintable tells whether text is an ASN.1 PrintableString (X.680, 41.4).
func isPrintable(text []byte) bool {
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && bytes.IndexByte([]byte(" '()+,-./:=?"), c) < 0 {
			return false
		}
	}
	return true
}
