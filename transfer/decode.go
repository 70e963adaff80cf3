package transfer

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/internal/spelling"
)

// MaxRequest is the longest request in bytes of JSON: the largest payload that
// Temporal takes.
const MaxRequest = 2 << 20

// DecodeRequest reads a request as doors do, strictly: a field that does not
// exist, a value of the wrong type or text after the end is an Invalid error
// that names the field and what would be right. It does not Validate.
func DecodeRequest(text []byte) (Request, error) { return decode[Request](text) }

// DecodeDeleteRequest reads a request to delete, as strictly.
func DecodeDeleteRequest(text []byte) (DeleteRequest, error) { return decode[DeleteRequest](text) }

// DecodeChange reads a change to a task, as strictly.
func DecodeChange(text []byte) (Change, error) { return decode[Change](text) }

func decode[T any](text []byte) (T, error) {
	var v, none T
	if len(text) > MaxRequest {
		return none, invalid("request", fmt.Sprintf("has %d bytes", len(text)), fmt.Sprintf("at most %d fit; ask for a directory, or for several transfers", MaxRequest))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return none, invalid("request", jsonProblem(err), "write one JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return none, invalid("request", fmt.Sprintf("goes on after its end, at byte %d", d.InputOffset()), "write one JSON object")
	}
	// Names first: a misspelt field explains more than the type of its value.
	if err := checkFields(raw, reflect.TypeFor[T](), ""); err != nil {
		return none, err
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) && wrong.Field != "" {
			return none, invalid(wrong.Field, "is a JSON "+wrong.Value, "write "+jsonType(wrong.Type))
		}
		return none, invalid("request", jsonProblem(err), "")
	}
	return v, nil
}

// checkFields compares the names in a JSON value with the fields of the type
// that it is for, in depth.
func checkFields(raw json.RawMessage, t reflect.Type, at string) *fault.Error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return checkValue(raw, t, at)
	}
	switch t.Kind() {
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			return invalid(at, "is not a list", "write [...]")
		}
		for i, v := range list {
			if err := checkFields(v, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Struct:
		return checkObject(raw, t, at)
	}
	return checkValue(raw, t, at)
}

func checkObject(raw json.RawMessage, t reflect.Type, at string) *fault.Error {
	fields := make(map[string]reflect.Type, t.NumField())
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
		names = append(names, name)
	}
	prefix := at
	if at == "" {
		at = "request"
	} else {
		prefix += "."
	}
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return invalid(at, "is null", "write a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return invalid(at, "is not a JSON object", "write {...}")
	}
	seen := make(map[string]bool, len(names))
	for d.More() {
		tok, err := d.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return invalid(at, "is not a JSON object", "write {...}")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return invalid(prefix+name, jsonProblem(err), "")
		}
		ft, known := fields[name]
		switch {
		case !known:
			return unknownField(prefix, name, names)
		case seen[name]:
			return invalid(prefix+name, "is given twice", "leave one of them out")
		}
		seen[name] = true
		if err := checkFields(value, ft, prefix+name); err != nil {
			return err
		}
	}
	return nil
}

// checkValue tries a single value by itself, so that the message names its
// field whatever reads it.
func checkValue(raw json.RawMessage, t reflect.Type, at string) *fault.Error {
	err := json.Unmarshal(raw, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return invalid(at, "is a JSON "+wrong.Value, "write "+jsonType(t))
	}
	return invalid(at, jsonProblem(err), "write "+jsonType(t))
}

func unknownField(prefix, name string, names []string) *fault.Error {
	right := "fields are " + strings.Join(names, ", ")
	if near, ok := spelling.Nearest(name, names); ok {
		right = fmt.Sprintf("did you mean %q?", prefix+near)
	}
	err := invalid(prefix+name, "is not a field", right)
	if _, bad := controlCharacter(name); bad || name == "" || len(name) > 100 {
		err.Path = prefix + quoteShort(name)
	}
	return err
}

// jsonProblem drops the decoder's package name from its messages.
func jsonProblem(err error) string {
	if errors.Is(err, io.EOF) {
		return "is empty"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// jsonType says in JSON's words what belongs in a field of type t.
func jsonType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return `a duration: "90s", "36h", "7d"`
	case t == reflect.TypeFor[Sync]():
		return "a name or a level of 0 to 3"
	case t.PkgPath() == "time" && t.Name() == "Time":
		return `a time: "2006-01-02T15:04:05Z"`
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	}
	return "a JSON object"
}
