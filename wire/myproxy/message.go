package myproxy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A request is what a client asks, as it goes over the wire.
type request struct {
	command       Command
	user          string
	passphrase    []byte
	newPassphrase []byte
	lifetime      time.Duration // 0: as long as the server gives
	name          string        // of one credential among the user's; empty is the unnamed one
	description   string
	retrievers    string // DN pattern of who may get the stored credential, "*" for anybody
	renewers      string // DN pattern of who may renew it
	wantRoots     bool   // trust roots in the response
}

// encode writes the request, NUL and all. What it returns holds pass phrases.
func (q *request) encode() ([]byte, error) {
	b := make([]byte, 0, 512)
	var err error
	field := func(name string, value []byte) {
		if i := bytes.IndexAny(value, "\n\r\x00"); i >= 0 && err == nil {
			err = misused("%s holds a line break or a NUL, which MyProxy cannot carry", strings.ToLower(strings.ReplaceAll(name, "_", " ")))
		}
		if len(value) > maxField && err == nil {
			err = misused("%s is longer than %d bytes", strings.ToLower(strings.ReplaceAll(name, "_", " ")), maxField)
		}
		b = append(append(append(append(b, name...), '='), value...), '\n')
	}
	optional := func(name, value string) {
		if value != "" {
			field(name, []byte(value))
		}
	}
	field("VERSION", []byte(version))
	field("COMMAND", strconv.AppendInt(nil, int64(q.command), 10))
	field("USERNAME", []byte(q.user))
	field("PASSPHRASE", q.passphrase)
	if len(q.newPassphrase) > 0 {
		field("NEW_PHRASE", q.newPassphrase)
	}
	field("LIFETIME", strconv.AppendInt(nil, int64(q.lifetime/time.Second), 10))
	optional("RETRIEVER", q.retrievers)
	optional("RENEWER", q.renewers)
	optional("CRED_NAME", q.name)
	optional("CRED_DESC", q.description)
	if q.wantRoots {
		field("TRUSTED_CERTS", []byte("1"))
	}
	b = append(b, 0)
	if err == nil && len(b) > maxRequest {
		err = misused("the request is longer than %d bytes", maxRequest)
	}
	if err != nil {
		clear(b)
		return nil, err
	}
	return b, nil
}

// parseRequest reads a request. Trailing NULs are passed over, and their lack
// too: some clients send none. Unknown fields are ignored, as the C server does.
// Errors never quote values.
func parseRequest(text []byte) (*request, error) {
	q := &request{command: -1}
	seen := make(map[string]bool)
	err := eachField(text, maxRequest, func(name string, value []byte) error {
		if len(value) > maxField {
			return fmt.Errorf("%s is longer than %d bytes", name, maxField)
		}
		switch name {
		case "VERSION", "COMMAND", "USERNAME", "PASSPHRASE", "NEW_PHRASE", "LIFETIME", "RETRIEVER", "RENEWER",
			"CRED_NAME", "CRED_DESC", "TRUSTED_CERTS":
		default:
			return nil
		}
		if seen[name] {
			return fmt.Errorf("%s is given twice", name)
		}
		seen[name] = true
		switch name {
		case "VERSION":
			if string(value) != version {
				return fmt.Errorf("it is of another version than %s", version)
			}
			return nil
		case "PASSPHRASE":
			q.passphrase = append(q.passphrase, value...)
			return nil
		case "NEW_PHRASE":
			q.newPassphrase = append(q.newPassphrase, value...)
			return nil
		case "COMMAND", "LIFETIME":
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil {
				return fmt.Errorf("%s is no number from 0", name)
			}
			if name == "COMMAND" {
				q.command = Command(n)
			} else {
				q.lifetime = min(time.Duration(n)*time.Second, maxLifetime)
			}
			return nil
		case "TRUSTED_CERTS":
			q.wantRoots = string(value) == "1"
			return nil
		}
		if !utf8.Valid(value) || bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%s holds characters that are no text", name)
		}
		*map[string]*string{
			"USERNAME": &q.user, "RETRIEVER": &q.retrievers, "RENEWER": &q.renewers, "CRED_NAME": &q.name, "CRED_DESC": &q.description,
		}[name] = string(value)
		return nil
	})
	switch {
	case err != nil:
		return nil, &malformedError{fmt.Errorf("parse request: %w", err)}
	case !seen["VERSION"]:
		return nil, malformed("parse request: it has no VERSION")
	case !seen["COMMAND"]:
		return nil, malformed("parse request: it has no COMMAND")
	}
	return q, nil
}

// eachField calls do for each NAME=value line. The last line need not end.
func eachField(text []byte, limit int, do func(name string, value []byte) error) error {
	if len(text) > limit {
		return fmt.Errorf("it is longer than %d bytes", limit)
	}
	text = bytes.TrimRight(text, "\x00")
	if bytes.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("it has a NUL within")
	}
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte("="))
		if !ok {
			return fmt.Errorf("a line in it is not NAME=value")
		}
		if err := do(string(name), value); err != nil {
			return err
		}
	}
	return nil
}

// The codes of RESPONSE.
const (
	responseOK        = 0
	responseError     = 1
	responseChallenge = 2 // the server wants more proof than it has
)

// A response is what a server answers.
type response struct {
	code   int
	errors []string // ERROR, line by line
	// fields are all others; of those that repeat, the last.
	fields map[string]string
}

// parseResponse reads a response, without its NUL.
func parseResponse(text []byte) (*response, error) {
	r := &response{code: -1, fields: make(map[string]string)}
	versioned := false
	err := eachField(text, maxResponse, func(name string, value []byte) error {
		switch name {
		case "VERSION":
			if string(value) != version {
				return fmt.Errorf("it is of version %.20q, not %s", value, version)
			}
			versioned = true
		case "RESPONSE":
			n, err := strconv.ParseUint(string(value), 10, 8)
			if err != nil || n > responseChallenge {
				return fmt.Errorf("RESPONSE is %.20q", value)
			}
			r.code = int(n)
		case "ERROR":
			if len(r.errors) < 100 {
				r.errors = append(r.errors, printable(value))
			}
		default:
			if len(r.fields) >= 2*maxRoots {
				return fmt.Errorf("it has more than %d fields", 2*maxRoots)
			}
			r.fields[name] = string(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, &malformedError{fmt.Errorf("parse response: %w", err)}
	case !versioned:
		return nil, malformed("parse response: it has no VERSION")
	case r.code < 0:
		return nil, malformed("parse response: it has no RESPONSE")
	}
	return r, nil
}

// printable is a peer's text as it may stand in an error or a log: bounded,
// and without what would move a terminal's cursor.
func printable(text []byte) string {
	const most = 1000
	if len(text) > most {
		text = text[:most]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, string(text)))
}

// err returns the refusal, if it is one.
func (r *response) err() error {
	switch r.code {
	case responseOK:
		return nil
	case responseChallenge:
		return &wordsError{"further proof of identity is asked for", Denied}
	}
	words := strings.Join(r.errors, "; ")
	if words == "" {
		words = "no reason given"
	}
	return &wordsError{words: words}
}

// encode writes a response, NUL and all, with trust roots if there are any.
// Files whose names the protocol cannot carry are left out.
func (r *response) encode(files []RootFile) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "VERSION=%s\nRESPONSE=%d\n", version, r.code)
	for _, line := range r.errors {
		fmt.Fprintf(&b, "ERROR=%s\n", printable([]byte(line)))
	}
	var names []string
	for _, f := range files {
		if plainName(f.Name) {
			names = append(names, f.Name)
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(&b, "%s=%s\n", fieldRoots, strings.Join(names, ","))
	}
	for _, f := range files {
		if plainName(f.Name) {
			fmt.Fprintf(&b, "%s%s=%s\n", prefixFile, f.Name, base64.StdEncoding.EncodeToString(f.Content))
		}
	}
	return append(b.Bytes(), 0)
}

// Trust roots in a response: TRUSTED_CERTS=name,name and FILEDATA_name=base64.
const (
	fieldRoots = "TRUSTED_CERTS"
	prefixFile = "FILEDATA_"
)

// A RootFile is one file of a directory of trusted authorities: a certificate,
// a signing policy or a CRL.
type RootFile struct {
	Name    string // no path: "1a2b3c4d.0", "1a2b3c4d.signing_policy"
	Content []byte
}

// roots returns the trust roots that a response carries.
func (r *response) roots() ([]RootFile, error) {
	list := r.fields[fieldRoots]
	if list == "" {
		return nil, nil
	}
	names := strings.Split(list, ",")
	if len(names) > maxRoots {
		return nil, malformed("it sent more than %d trust roots", maxRoots)
	}
	files := make([]RootFile, 0, len(names))
	for _, name := range names {
		if !plainName(name) {
			return nil, malformed("a trust root is named %.80q", name)
		}
		content, err := base64.StdEncoding.DecodeString(r.fields[prefixFile+name])
		if err != nil {
			return nil, malformed("the trust root %s is not base64", name)
		}
		files = append(files, RootFile{Name: name, Content: content})
	}
	return files, nil
}

// plainName tells whether a server's file name is safe to create. (The names
// of trust directories are hashes with a suffix, and words.)
func plainName(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
