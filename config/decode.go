package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"

	"github.com/gridferry/gridferry/internal/spelling"
)

// position is where something is said.
type position struct {
	source string // a file, or "environment variable X", or "flag"
	line   int    // 0 where there are no lines
}

func (p position) String() string {
	if p.line == 0 {
		return p.source
	}
	return p.source + ":" + strconv.Itoa(p.line)
}

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Source  string // file, environment variable or flag; empty when it is about what is not there
	Line    int    // 0 where there are no lines
	Key     string // "endpoints.lab#dtn.kind"
	Message string
	Hint    string
}

// String renders "file:line: key: message (hint)".
func (p Problem) String() string {
	var b strings.Builder
	for _, s := range []string{position{p.Source, p.Line}.String(), p.Key} {
		if s != "" {
			b.WriteString(s + ": ")
		}
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is an error that is all that is wrong, in the order of the files.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// decoder writes what files, environment and flags say into a Config.
type decoder struct {
	config   *Config
	problems Problems
}

// path is a list of keys, from the top.
type path []string

func (p path) String() string { return strings.Join(p, ".") }

func (d *decoder) complain(at position, p path, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{at.source, at.line, p.String(), fmt.Sprintf(format, args...), hint})
}

// file decodes a whole file.
func (d *decoder) file(name string, data []byte) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		// The parser has the line, when it knows it, only in its words.
		at, words := position{source: name}, strings.TrimPrefix(err.Error(), "yaml: ")
		if line, rest, ok := strings.Cut(strings.TrimPrefix(words, "line "), ": "); ok {
			if n, err := strconv.Atoi(line); err == nil {
				at.line, words = n, rest
			}
		}
		d.complain(at, nil, "", "%s", words)
		return
	}
	if len(doc.Content) > 0 { // else it is empty
		d.node(name, doc.Content[0], reflect.ValueOf(d.config).Elem(), nil)
	}
}

// node decodes n into v, which is settable.
func (d *decoder) node(source string, n *yaml.Node, v reflect.Value, at path) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias // one that contains itself ends where the types do
	}
	pos := position{source, n.Line}
	if n.Tag == "!!null" {
		return // "key:" with nothing behind it leaves the default
	}
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Kind() == reflect.Struct && !isText:
		d.mapping(source, n, at, "a mapping of keys to values", func(key string, keyPos position, value *yaml.Node) {
			field, ok := fieldOf(v, key)
			if !ok {
				d.complain(keyPos, append(slices.Clone(at), key), nearest(key, keysOf(v.Type())), "no such key")
				return
			}
			d.node(source, value, field, append(slices.Clone(at), key))
		})
	case v.Kind() == reflect.Map:
		d.mapping(source, n, at, "a mapping of names to values", func(key string, keyPos position, value *yaml.Node) {
			sub := append(slices.Clone(at), key)
			if before, ok := d.config.positions[sub.String()]; ok && before.source != source {
				d.complain(keyPos, sub, "", "it is already defined at %s", before)
				return
			}
			d.config.positions[sub.String()] = keyPos
			elem := reflect.New(v.Type().Elem()).Elem()
			d.node(source, value, elem, sub)
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf(key), elem)
		})
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.complain(pos, at, "", "a list is wanted here: [a, b]")
			return
		}
		d.config.positions[at.String()] = pos
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, elem := range n.Content {
			d.node(source, elem, v.Index(i), append(slices.Clone(at), strconv.Itoa(i)))
		}
	case n.Kind != yaml.ScalarNode:
		d.complain(pos, at, "", "a single value is wanted here")
	default:
		d.text(pos, n.Value, v, at)
	}
}

// mapping calls fn with the keys of n.
func (d *decoder) mapping(source string, n *yaml.Node, at path, want string, fn func(string, position, *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.complain(position{source, n.Line}, at, "", "%s is wanted here", want)
		return
	}
	d.config.positions[at.String()] = position{source, n.Line}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if line, twice := first[key.Value]; twice {
			d.complain(position{source, key.Line}, append(slices.Clone(at), key.Value), "", "it is already there in line %d", line)
			continue
		}
		first[key.Value] = key.Line
		fn(key.Value, position{source, key.Line}, n.Content[i+1])
	}
}

// text sets a single value.
func (d *decoder) text(pos position, text string, v reflect.Value, at path) {
	d.config.positions[at.String()] = pos
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			d.complain(pos, at, "", "%s", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			d.complain(pos, at, "", "%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			d.complain(pos, at, "", "%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	default:
		d.complain(pos, at, "", "it cannot be set as a single value")
	}
}

// set sets the value at a dotted path, as flags and the environment do. Lists
// are separated by commas.
func (d *decoder) set(pos position, dotted, text string) {
	at := path(strings.Split(dotted, "."))
	v := reflect.ValueOf(d.config).Elem()
	for i, key := range at {
		var ok bool
		if v.Kind() == reflect.Struct {
			v, ok = fieldOf(v, key)
		}
		if !ok {
			d.complain(pos, at[:i+1], "", "no such key")
			return
		}
	}
	if v.Kind() != reflect.Slice {
		d.text(pos, text, v, at)
		return
	}
	parts := strings.Split(text, ",")
	v.Set(reflect.MakeSlice(v.Type(), len(parts), len(parts)))
	for i, part := range parts {
		d.text(pos, strings.TrimSpace(part), v.Index(i), at)
	}
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for f := range fieldsOf(v.Type()) {
		if yamlKey(f) == key {
			return v.FieldByIndex(f.Index), true
		}
	}
	return reflect.Value{}, false
}

func yamlKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for f := range fieldsOf(t) {
		keys = append(keys, yamlKey(f))
	}
	return keys
}

// fieldsOf yields the fields that the file can set.
func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); yamlKey(f) != "" && !yield(f) {
				return
			}
		}
	}
}

// nearest hints at the key that was probably meant, or at all of them.
func nearest(key string, keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	if near, ok := spelling.Nearest(key, keys); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "known here: " + strings.Join(keys, ", ")
}
