package secrets

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"
)

// phrase has what the forms quote differently.
const phrase = `q7Vb"x+ Ä<Zk9/3&w%L2\mP?8=dR#tY;5`

func wantFound(t *testing.T, found []Finding, secret string) {
	t.Helper()
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Secret == secret }) {
		t.Errorf("%s was not found: %v", secret, found)
	}
}

func TestTextInEveryForm(t *testing.T) {
	s := NewSearcher(Text("phrase", phrase))
	for name, text := range map[string]string{
		"as it is":        phrase,
		"query":           "user=ada&phrase=" + url.QueryEscape(phrase),
		"path":            url.PathEscape(phrase),
		"percent":         percent(phrase),
		"hex":             hex.EncodeToString([]byte("x" + phrase)),
		"HEX":             strings.ToUpper(hex.EncodeToString([]byte(phrase))),
		"Go's %q":         fmt.Sprintf("%q", phrase),
		"Go's %+q":        fmt.Sprintf("%+q", phrase),
		"Go's %v":         fmt.Sprintf("%v", []byte(phrase)),
		"JSON":            jsonQuoted(phrase, true),
		"JSON, plain":     jsonQuoted(phrase, false),
		"numbers in JSON": strings.ReplaceAll(fmt.Sprint([]byte(phrase)), " ", ","),
		"a log": func() string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("said", "phrase", phrase)
			return b.String()
		}(),
	} {
		found := s.Scan(name, []byte("before "+text+" after"))
		wantFound(t, found, "phrase")
		for _, f := range found {
			if line := f.String(); strings.Contains(line, phrase[:8]) || f.Place != name {
				t.Errorf("%s: reported as %q", name, line)
			}
		}
	}
	for _, other := range []string{"", "q7Vb", "another phrase, of much the same length", strings.Repeat("A", 100)} {
		if found := s.Search("elsewhere", []byte(other)); len(found) > 0 {
			t.Errorf("found in %q: %v", other, found)
		}
	}
}

// Whatever is around a secret shifts it in base64, and mail breaks it in lines.
func TestBase64AtAllAlignments(t *testing.T) {
	s := NewSearcher(Text("phrase", phrase))
	for before := range 6 {
		for after := range 4 {
			whole := append(append(bytes.Repeat([]byte{0xfb}, before), phrase...), bytes.Repeat([]byte{0xff}, after)...)
			for name, enc := range map[string]*base64.Encoding{"standard": base64.StdEncoding, "URL": base64.RawURLEncoding} {
				text := enc.EncodeToString(whole)
				if found := s.Scan(name, []byte("x"+text+"x")); len(found) == 0 {
					t.Errorf("%s, %d bytes before, %d after: not found", name, before, after)
				}
			}
		}
	}
	// Every window by itself stands the test, not only the first.
	for w := range windows([]byte(phrase)) {
		for before := range 3 {
			text := base64.StdEncoding.EncodeToString(append(append(make([]byte, before), w...), 1, 2))
			if found := s.Scan("a window", []byte(text)); len(found) == 0 {
				t.Errorf("%q, %d bytes before: not found", w, before)
			}
		}
	}
}

func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"RSA": r, "ECDSA": e, "Ed25519": ed}
}

func TestKeysInEveryForm(t *testing.T) {
	for kind, key := range keys(t) {
		secret, err := Key(kind, key)
		if err != nil {
			t.Fatal(err)
		}
		s := NewSearcher(secret)
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
		quoted, err := json.Marshal(map[string]any{"pem": string(text), "bytes": text})
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string][]byte{
			"PKCS #8": pkcs8, "PEM": text, "PEM in JSON": quoted,
			"hex": []byte(hex.EncodeToString(pkcs8)), "PEM in a URL": []byte(url.QueryEscape(string(text))),
		}
		if r, ok := key.(*rsa.PrivateKey); ok {
			forms["PKCS #1"] = x509.MarshalPKCS1PrivateKey(r)
			forms["half of its PEM"] = text[1000:]
			forms["half of PKCS #1"] = forms["PKCS #1"][600:]
			forms["the exponent"] = r.D.Bytes()
			forms["a prime"] = r.Primes[1].Bytes()
			forms["a prime, little-endian"] = reversed(r.Primes[0])
			forms["Go's %v"] = fmt.Append(nil, *r)
		}
		for form, data := range forms {
			data = append(append([]byte("some bytes before "), data...), " and after"...)
			if found := s.Search(form, data); len(found) == 0 {
				t.Errorf("%s as %s: not found", kind, form)
			}
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if found := s.Search("its public key", public); len(found) > 0 {
			t.Errorf("%s: %v", kind, found)
		}
	}
	if _, err := Key("none", nil); err == nil {
		t.Error("nothing was taken for a key")
	}
}

func reversed(n *big.Int) []byte {
	b := n.Bytes()
	slices.Reverse(b)
	return b
}

func TestUnpacks(t *testing.T) {
	s := NewSearcher(Text("phrase", phrase))
	compressed := func(open func(io.Writer) io.WriteCloser) []byte {
		var b bytes.Buffer
		w := open(&b)
		for i := range 500 { // enough for all of them to have codes of their own for bytes
			fmt.Fprintf(w, "somebody said %x, ", i*i)
		}
		fmt.Fprint(w, phrase)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	packed := map[string][]byte{
		"gzip": compressed(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"zlib": compressed(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		"zstd": compressed(func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		}),
		"JSON in JSON":   []byte(jsonQuoted(jsonQuoted(jsonQuoted(phrase, true), true), true)),
		"PostgreSQL":     []byte(`(1,ada,"\\\\x` + hex.EncodeToString([]byte(jsonQuoted(jsonQuoted(jsonQuoted(phrase, true), true), true))) + `")`),
		"base64, twice":  []byte(base64.StdEncoding.EncodeToString([]byte(base64.URLEncoding.EncodeToString([]byte(phrase))))),
		"JSON in base64": []byte(`{"n":1}` + "\n" + `{"data":"` + base64.StdEncoding.EncodeToString([]byte(jsonQuoted(jsonQuoted(phrase, true), true))) + `"}`),
	}
	packed["zstd in gzip in the middle of something"] = append(append([]byte("\x1f\x8b\x08 and \x28\xb5\x2f\xfd begin nothing; "), compressed(func(w io.Writer) io.WriteCloser {
		z := gzip.NewWriter(w)
		if _, err := z.Write(packed["zstd"]); err != nil {
			t.Fatal(err)
		}
		return z
	})...), "and so on"...)
	for name, data := range packed {
		if found := s.Scan(name, data); len(found) > 0 {
			t.Errorf("%s hides nothing: %v", name, found)
		}
		wantFound(t, s.Search(name, data), "phrase")
	}
	cut := packed["gzip"][:len(packed["gzip"])-8]
	wantFound(t, s.Search("what was cut off", cut), "phrase")
}

// A secret may lie across what is read at once.
func TestScanReader(t *testing.T) {
	s := NewSearcher(Text("phrase", phrase))
	for _, before := range []int{0, 100, 8<<20 - 40, 8<<20 - 20, 8<<20 - 1, 8 << 20} {
		data := append(append(make([]byte, before), phrase[:window]...), make([]byte, 100)...)
		found, err := s.ScanReader("memory", iotest.HalfReader(bytes.NewReader(data)))
		if err != nil || len(found) != 1 {
			t.Errorf("%d bytes before: %v, %v", before, found, err)
		}
	}
	if _, err := s.ScanReader("broken", iotest.ErrReader(io.ErrClosedPipe)); err == nil {
		t.Error("what cannot be read has been searched")
	}
}

// Payloads are searched in what the SDK makes of them.
func TestHistory(t *testing.T) {
	type input struct {
		Note  string
		Bytes []byte
	}
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(input{Bytes: []byte(jsonQuoted(jsonQuoted(phrase, true), true))})
	if err != nil {
		t.Fatal(err)
	}
	memo := &commonpb.Memo{Fields: map[string]*commonpb.Payload{"label": payloads.Payloads[0]}}
	s := NewSearcher(Text("phrase", phrase))
	for name, attributes := range map[string]*historypb.WorkflowExecutionStartedEventAttributes{
		"input": {Input: payloads}, "memo": {Memo: memo}, "identity": {Identity: "of " + phrase},
	} {
		h := &historypb.History{Events: []*historypb.HistoryEvent{{
			Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{WorkflowExecutionStartedEventAttributes: attributes},
		}}}
		found, err := s.History(name, h)
		if err != nil {
			t.Fatal(err)
		}
		wantFound(t, found, "phrase")
	}
	if found, err := s.History("empty", &historypb.History{}); err != nil || len(found) > 0 {
		t.Errorf("an empty history: %v, %v", found, err)
	}
}
