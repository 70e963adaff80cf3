package myproxy

import (
	"bufio"
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRequestRoundTrip(t *testing.T) {
	for name, q := range map[string]*request{
		"least": {command: CommandTrustRoots},
		"most": {
			command: CommandPut, user: "ada", passphrase: []byte("a=b \xff"), newPassphrase: []byte("other"), lifetime: 90 * time.Second,
			name: "night", description: "for the night", retrievers: "*", renewers: "/O=Test/CN=*", wantRoots: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := q.encode()
			if err != nil {
				t.Fatal(err)
			}
			if text[len(text)-1] != 0 {
				t.Error("no NUL at the end")
			}
			got, err := parseRequest(text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, q) {
				t.Errorf("got %+v, want %+v", got, q)
			}
		})
	}
}

// TestRequestOfOthers is what other clients than the C one send.
func TestRequestOfOthers(t *testing.T) {
	q, err := parseRequest([]byte("VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=ada\nPASSPHRASE=x\nLIFETIME=43200\nVONAME=atlas\nVONAME=cms"))
	if err != nil || q.user != "ada" || q.lifetime != 12*time.Hour || q.command != CommandGet {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestRequestRefuses(t *testing.T) {
	const start = "VERSION=MYPROXYv2\nCOMMAND=0\n"
	for name, text := range map[string]string{
		"empty":        "",
		"no command":   "VERSION=MYPROXYv2\n",
		"no version":   "COMMAND=0\n",
		"version":      "VERSION=MYPROXYv1\nCOMMAND=0\n",
		"command":      "VERSION=MYPROXYv2\nCOMMAND=get\n",
		"lifetime":     start + "LIFETIME=-1\n",
		"twice":        start + "USERNAME=ada\nUSERNAME=eve\n",
		"no equals":    start + "USERNAME\n",
		"NUL":          start + "USERNAME=a\x00b\n",
		"control":      start + "USERNAME=a\x1b[2J\n",
		"not text":     start + "USERNAME=a\xff\n",
		"long value":   start + "USERNAME=" + strings.Repeat("a", maxField+1),
		"long request": start + strings.Repeat("X=y\n", maxRequest),
	} {
		t.Run(name, func(t *testing.T) {
			var bad *malformedError
			if q, err := parseRequest([]byte(text)); !errors.As(err, &bad) {
				t.Errorf("%+v, %v", q, err)
			}
		})
	}
	_, err := parseRequest([]byte(start + "PASSPHRASE=" + strings.Repeat("secret", maxField)))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestRequestCannotCarry(t *testing.T) {
	for name, q := range map[string]*request{
		"line break in pass phrase": {user: "ada", passphrase: []byte("secret\nCOMMAND=3")},
		"NUL in new pass phrase":    {user: "ada", newPassphrase: []byte("secret\x00")},
		"line break in user":        {user: "ada\nCOMMAND=3"},
		"long name":                 {name: strings.Repeat("a", maxField+1)},
		"all of it long":            {user: strings.Repeat("a", maxField), passphrase: bytes.Repeat([]byte("a"), maxField)},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := q.encode()
			if refusal := refusalOf(err); text != nil || refusal != Misused {
				t.Errorf("%q, %v (%s)", text, err, refusal)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the pass phrase is in %q", err)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	r, err := parseResponse([]byte("VERSION=MYPROXYv2\nRESPONSE=1\nERROR=no\x1b[1m\nERROR=way\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.err(); err == nil || err.Error() != "no [1m; way" {
		t.Errorf("%v", err)
	}
	if text := string(refusal("no\nRESPONSE=0").encode(nil)); strings.Contains(text, "\nRESPONSE=0") {
		t.Errorf("words became a field: %q", text)
	}
	for name, text := range map[string]string{
		"empty":       "",
		"no version":  "RESPONSE=0\n",
		"no response": "VERSION=MYPROXYv2\n",
		"version":     "VERSION=MYPROXYv3\nRESPONSE=0\n",
		"response":    "VERSION=MYPROXYv2\nRESPONSE=7\n",
		"text":        "220 ready\n",
	} {
		if r, err := parseResponse([]byte(text)); refusalOf(err) != Malformed {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for text, want := range map[string]Refusal{"VERSION=MYPROXYv2\nRESPONSE=1\n": Rejected, "VERSION=MYPROXYv2\nRESPONSE=2\nAUTHORIZATION_DATA=x\n": Denied} {
		r, err := parseResponse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := refusalOf(r.err()); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestRoots(t *testing.T) {
	files := []RootFile{{"0a1b2c3d.0", []byte("certificate")}, {"0a1b2c3d.signing_policy", []byte("policy\n")}}
	r, err := parseResponse(bytes.TrimRight((&response{}).encode(append(files, RootFile{Name: "../evil"}, RootFile{Name: "a,b"})), "\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.roots(); err != nil || !reflect.DeepEqual(got, files) {
		t.Errorf("%v, %v", got, err)
	}
	for name, fields := range map[string]map[string]string{
		"path":       {fieldRoots: "../../etc/passwd", prefixFile + "../../etc/passwd": ""},
		"hidden":     {fieldRoots: ".bashrc", prefixFile + ".bashrc": ""},
		"not base64": {fieldRoots: "a.0", prefixFile + "a.0": "%"},
		"too many":   {fieldRoots: strings.Repeat("a,", maxRoots) + "a"},
	} {
		if got, err := (&response{fields: fields}).roots(); refusalOf(err) != Malformed {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestStored(t *testing.T) {
	r, err := parseResponse([]byte("VERSION=MYPROXYv2\nRESPONSE=0\nCRED_START_TIME=1700000000\nCRED_END_TIME=1800000000\nCRED_OWNER=/CN=Ada\n" +
		"ADDL_CREDS=night,\nCRED_night_START_TIME=1\nCRED_night_END_TIME=2\nCRED_night_OWNER=/CN=Ada\nCRED_night_LOCKMSG=stolen\n" +
		"CRED__START_TIME=3\nCRED__END_TIME=4\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.stored()
	want := []Stored{
		{Owner: "/CN=Ada", Start: time.Unix(1700000000, 0).UTC(), End: time.Unix(1800000000, 0).UTC()},
		{Name: "night", Owner: "/CN=Ada", Start: time.Unix(1, 0).UTC(), End: time.Unix(2, 0).UTC(), Locked: "stolen"},
		{Start: time.Unix(3, 0).UTC(), End: time.Unix(4, 0).UTC()},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (&response{fields: map[string]string{}}).stored(); refusalOf(err) != Malformed {
		t.Errorf("without times: %v", err)
	}
}

// TestWords is what Debian's server was heard to say, and what it should mean.
func TestWords(t *testing.T) {
	for words, want := range map[string]Refusal{
		"invalid credential passphrase":                                     WrongPassphrase,
		"invalid pass phrase":                                               WrongPassphrase,
		"no passphrase; authentication failed":                              WrongPassphrase,
		"authentication failed":                                             WrongPassphrase,
		"PAM authentication failed: Authentication failure":                 WrongPassphrase,
		WordsWrongPassphrase:                                                WrongPassphrase,
		`No credentials exist for username "ada".`:                          NoCredential,
		"no credentials found for user ada, owner \"/O=Test/CN=Ada\"":       NoCredential,
		"Credentials do not exist":                                          NoCredential,
		"unknown username: ada":                                             NoCredential,
		"requested credentials have expired":                                Expired,
		"credential locked; ask the operator":                               Denied,
		`"/CN=Eve" not authorized by server's authorized_retrievers policy`: Denied,
		"Pass phrase violates local policy.":                                Denied,
		WordsUnsupported:                                                    Unsupported,
		"Unable to delegate credentials.":                                   Rejected,
		wordsInternal:                                                       Rejected,
	} {
		if got := refusalIn(words); got != want {
			t.Errorf("%q is taken for %s, want %s", words, got, want)
		}
	}
}

func TestChain(t *testing.T) {
	long := append([]byte{0x30, 0x82, 1, 0}, make([]byte, 256)...)
	certs := [][]byte{{0x30, 1, 'x'}, long}
	text, err := encodeChain(certs)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(bytes.NewReader(append(text, "rest"...)))
	got, answer, err := readChain(r)
	if err != nil || answer != nil || !reflect.DeepEqual(got, certs) {
		t.Errorf("%v, %v, %v", got, answer, err)
	}
	if rest, err := r.Peek(5); string(rest) != "rest" {
		t.Errorf("%q, %v is left", rest, err)
	}
	if _, answer, err := readChain(bufio.NewReader(strings.NewReader("VERSION=MYPROXYv2\nRESPONSE=1\nERROR=no\n\x00"))); err != nil || answer.err() == nil {
		t.Errorf("%v, %v", answer, err)
	}
	for name, text := range map[string]string{
		"none":       "\x000",
		"too many":   "\x210",
		"no DER":     "\x01\x31\x01x",
		"indefinite": "\x01\x30\x80",
		"huge":       "\x01\x30\x84\x7f\xff\xff\xff",
		"long":       "\x01\x30\x83\x7f\xff\xff",
	} {
		if got, _, err := readChain(bufio.NewReader(strings.NewReader(text))); refusalOf(err) != Malformed {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, certs := range [][][]byte{nil, make([][]byte, maxChain+1)} {
		if _, err := encodeChain(certs); err == nil {
			t.Errorf("a chain of %d was encoded", len(certs))
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("VERSION=MYPROXYv2\nCOMMAND=0\nUSERNAME=ada\nPASSPHRASE=x\nLIFETIME=43200\n\x00"))
	f.Add([]byte("VERSION=MYPROXYv2\nRESPONSE=1\nERROR=no\n\x00"))
	f.Add([]byte("VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=a.0\nFILEDATA_a.0=AAAA\nCRED_START_TIME=1\nCRED_END_TIME=2\nADDL_CREDS=a,b\n"))
	f.Add([]byte("\x02\x30\x01x\x30\x82\x00\x01y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if q, err := parseRequest(text); err == nil {
			again, err := q.encode()
			if err != nil {
				// What a peer may say and we would not: only carriage returns.
				if !bytes.ContainsRune(text, '\r') {
					t.Fatalf("%q cannot be written again: %v", text, err)
				}
			} else if same, err := parseRequest(again); err != nil || !reflect.DeepEqual(q, same) {
				t.Fatalf("%+v became %+v, %v", q, same, err)
			}
		}
		if r, err := parseResponse(text); err == nil {
			_ = r.err()
			files, err := r.roots()
			if err == nil {
				for _, f := range files {
					if strings.ContainsAny(f.Name, "/\\") {
						t.Fatalf("a path: %q", f.Name)
					}
				}
			}
			_, _ = r.stored()
		}
		if certs, _, err := readChain(bufio.NewReader(bytes.NewReader(text))); err == nil && len(certs) > 0 {
			again, err := encodeChain(certs)
			if err != nil || !bytes.HasPrefix(text, again) {
				t.Fatalf("%x became %x, %v", text, again, err)
			}
		}
	})
}
