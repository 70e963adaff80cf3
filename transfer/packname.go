package transfer

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// File names are bytes, and JSON strings are Unicode: encoding/json replaces
// every byte that is not UTF-8, and the name then is another file's, or
// nobody's. A name that JSON cannot carry travels as a NUL, which no name
// holds, and hexadecimal digits.
const packed = "\x00"

// PackName returns a text for name that survives JSON: name itself, if it is
// UTF-8.
func PackName(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return packed + hex.EncodeToString([]byte(name))
}

// UnpackName returns the name that PackName has made into text.
func UnpackName(text string) string {
	if digits, ok := strings.CutPrefix(text, packed); ok {
		if name, err := hex.DecodeString(digits); err == nil {
			return string(name)
		}
	}
	return text
}

// plainFile is File without its methods.
type plainFile File

// MarshalJSON packs the names.
func (f File) MarshalJSON() ([]byte, error) {
	f.Source, f.Dest, f.Link = PackName(f.Source), PackName(f.Dest), PackName(f.Link)
	return json.Marshal(plainFile(f))
}

// UnmarshalJSON unpacks the names.
func (f *File) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, (*plainFile)(f)); err != nil {
		return err
	}
	f.Source, f.Dest, f.Link = UnpackName(f.Source), UnpackName(f.Dest), UnpackName(f.Link)
	return nil
}
