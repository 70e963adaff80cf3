package secrets

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Secret is something that is searched for, in every form in which a program
// might write it. Its long values are cut into windows, so that a piece of a
// secret is found as well: one of 31 bytes or more holds a whole window.
type Secret struct {
	name    string
	needles []needle
}

// A needle is some bytes that occur nowhere by chance.
type needle struct {
	bytes []byte
	form  string
}

const (
	window = 16 // bytes of a value that are searched for at once
	// least is the shortest needle, in bytes: shorter ones occur by chance.
	least = 8
)

// Text is a pass phrase, or any other text of at least 8 bytes, as it is and as
// JSON, Go and URLs quote it.
func Text(name, text string) Secret {
	s := Secret{name: name}
	shapes := []string{text, url.QueryEscape(text), url.PathEscape(text), percent(text)}
	for _, quoted := range []string{jsonQuoted(text, true), jsonQuoted(text, false), strconv.Quote(text), strconv.QuoteToASCII(text)} {
		shapes = append(shapes, quoted[1:len(quoted)-1])
	}
	slices.Sort(shapes)
	for _, shape := range slices.Compact(shapes) {
		s.add("text", []byte(shape))
	}
	return s
}

// percent escapes every byte (RFC 3986, 2.1).
func percent(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		fmt.Fprintf(&out, "%%%02X", b)
	}
	return out.String()
}

func jsonQuoted(text string, html bool) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(html)
	_ = enc.Encode(text) // a string always has a form in JSON
	return strings.TrimSuffix(out.String(), "\n")
}

// Bytes is a key that is nothing but bytes.
func Bytes(name string, key []byte) Secret {
	s := Secret{name: name}
	s.add("bytes", key)
	return s
}

// Key is a private key: its secret integers big-endian, as DER and PEM have
// them (RFC 8017, A.1.2; RFC 5915), little-endian, as Go has them in memory,
// and in decimal. The public ones beside them in DER are no secret.
func Key(name string, key crypto.Signer) (Secret, error) {
	s := Secret{name: name}
	number := func(what string, n *big.Int) {
		big := n.Bytes()
		s.add(what, big)
		little := slices.Clone(big)
		slices.Reverse(little)
		s.add(what+", little-endian", little)
		s.plain(what+", decimal", []byte(n.String()))
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		number("private exponent", key.D)
		for _, p := range key.Primes {
			number("prime", p)
		}
		number("first exponent", key.Precomputed.Dp)
		number("second exponent", key.Precomputed.Dq)
		number("coefficient", key.Precomputed.Qinv)
	case *ecdsa.PrivateKey:
		d, err := key.Bytes()
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		number("private number", new(big.Int).SetBytes(d))
	case ed25519.PrivateKey:
		s.add("seed", key.Seed())
	default:
		return s, fmt.Errorf("%s: no form of a %T is known", name, key)
	}
	return s, nil
}

// add adds the windows of a value, and what encodings make of them.
func (s *Secret) add(what string, value []byte) {
	s.plain(what, value)
	for w := range windows(value) {
		s.needle(what+", hex", []byte(hex.EncodeToString(w)))
		s.needle(what+", hex", []byte(strings.ToUpper(hex.EncodeToString(w))))
		for _, separator := range []string{" ", ",", ", "} {
			s.needle(what+", numbers", numbers(w, separator))
		}
		for shift := range 3 {
			for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				s.needle(what+", base64", encoded(enc, w, shift))
			}
		}
	}
}

// plain adds the windows of a value as they are.
func (s *Secret) plain(what string, value []byte) {
	for w := range windows(value) {
		s.needle(what, w)
	}
}

func (s *Secret) needle(form string, b []byte) {
	if len(b) >= least && !slices.ContainsFunc(s.needles, func(n needle) bool { return bytes.Equal(n.bytes, b) }) {
		s.needles = append(s.needles, needle{slices.Clone(b), form})
	}
}

// windows yields all of a value, the last window overlapping the one before.
func windows(value []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for at := 0; at < len(value); at += window {
			from := max(0, min(at, len(value)-window))
			if !yield(value[from:min(from+window, len(value))]) {
				return
			}
		}
	}
}

// encoded is the part of value's base64 form that does not depend on what is
// around it, when it begins shift bytes into a group of three.
func encoded(enc *base64.Encoding, value []byte, shift int) []byte {
	text := enc.EncodeToString(append(make([]byte, shift), value...))
	from := (8*shift + 5) / 6
	to := 8 * (shift + len(value)) / 6
	return []byte(text[from:to])
}

// numbers is how fmt and JSON show bytes that they take for numbers.
func numbers(value []byte, separator string) []byte {
	var out []byte
	for i, b := range value {
		if i > 0 {
			out = append(out, separator...)
		}
		out = strconv.AppendUint(out, uint64(b), 10)
	}
	return out
}
