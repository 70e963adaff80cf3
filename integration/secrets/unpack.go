package secrets

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"regexp"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	maxDepth    = 6        // of things in things
	maxUnpacked = 64 << 20 // bytes of one thing
)

// hexRun is some bytes in hex, as PostgreSQL shows its bytea.
var hexRun = regexp.MustCompile(`[0-9a-fA-F]{32,}`)

// escaped is a byte as URLs escape it (RFC 3986, 2.1).
var escaped = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

func unescape(text []byte) []byte {
	raw, err := hex.AppendDecode(nil, text[1:])
	if err != nil {
		return text
	}
	return raw
}

// unpack calls visit with data, and with all that can be unpacked of it.
func unpack(place string, data []byte, visit func(place string, data []byte)) {
	unpackTo(place, data, maxDepth, visit)
}

func unpackTo(place string, data []byte, depth int, visit func(place string, data []byte)) {
	visit(place, data)
	if depth == 0 {
		return
	}
	decompress(data, func(how string, out []byte) { unpackTo(place+", "+how, out, depth-1, visit) })
	for _, digits := range hexRun.FindAll(data, -1) {
		raw := make([]byte, len(digits)/2)
		if _, err := hex.Decode(raw, digits[:2*len(raw)]); err == nil {
			unpackTo(place+", hex", raw, depth-1, visit)
		}
	}
	if raw := escaped.ReplaceAllFunc(data, unescape); len(raw) < len(data) {
		unpackTo(place+", URL", raw, depth-1, visit)
	}
	if text, ok := jsonStrings(data); ok {
		for _, t := range text {
			unpackTo(place+", JSON", []byte(t), depth-1, visit)
		}
	} else if raw, ok := fromBase64(data); ok {
		unpackTo(place+", base64", raw, depth-1, visit)
	}
}

// compression is a way to pack bytes that is known by how it begins.
type compression struct {
	name  string
	magic []byte
	open  func(io.Reader) (io.Reader, error)
}

func compressions() []compression {
	opens := func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }
	return []compression{
		{"gzip", []byte{0x1f, 0x8b, 8}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxUnpacked))
		}},
		// The second byte is what compressors of all levels write (RFC 1950, 2.2).
		{"zlib", []byte{0x78, 0x01}, opens}, {"zlib", []byte{0x78, 0x5e}, opens},
		{"zlib", []byte{0x78, 0x9c}, opens}, {"zlib", []byte{0x78, 0xda}, opens},
	}
}

// decompress yields whatever comes out, also of what is cut off, wherever
// something seems to begin.
func decompress(data []byte, yield func(how string, out []byte)) {
	for _, c := range compressions() {
		for rest := data; ; rest = rest[1:] {
			at := bytes.Index(rest, c.magic)
			if at < 0 {
				break
			}
			rest = rest[at:]
			r, err := c.open(bytes.NewReader(rest))
			if err != nil {
				continue
			}
			out, _ := io.ReadAll(io.LimitReader(r, maxUnpacked)) // the error says that it was none, or cut off
			if z, ok := r.(*zstd.Decoder); ok {
				z.Close()
			}
			if len(out) > 0 {
				yield(c.name, out)
			}
		}
	}
}

// jsonStrings returns the strings in one or more values of JSON, names of
// fields included.
func jsonStrings(data []byte) ([]string, bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || !strings.ContainsRune(`{["`, rune(data[0])) {
		return nil, false
	}
	var found []string
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		t, err := d.Token()
		if err != nil { // the end, or it stops being JSON
			return found, len(found) > 0
		}
		if text, ok := t.(string); ok && text != "" {
			found = append(found, text)
		}
	}
}

// fromBase64 decodes text that is base64 as a whole, of either alphabet, with
// or without padding and line breaks.
func fromBase64(data []byte) ([]byte, bool) {
	text := strings.NewReplacer("\n", "", "\r", "", "-", "+", "_", "/").Replace(string(data))
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	if len(text) < least {
		return nil, false
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	return raw, err == nil
}
