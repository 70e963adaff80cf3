package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// Options say where the configuration comes from.
type Options struct {
	// Path is the file; empty looks at GRIDFERRY_CONFIG, and else reads the
	// system's file and then the user's, neither of which need be there.
	// Beside each file, conf.d/*.yaml is read after it, by name.
	Path string

	// Set are values from the command line, by dotted key ("log.level"). They
	// win over the environment, which wins over the files: any single value
	// or list of texts is set by a variable named like GRIDFERRY_LOG_LEVEL.
	Set map[string]string

	Environ []string // "NAME=value"; nil is the process's
	System  string   // directory of the system's file; empty is /etc/gridferry
}

const (
	fileName  = "gridferryd.yaml"
	systemDir = "/etc/gridferry"
	envPrefix = "GRIDFERRY_"
	envPath   = envPrefix + "CONFIG"
)

// Load reads the configuration. The error is a *fault.Error; an Invalid one
// has Problems in its chain, each with its place. Check finds what is wrong
// beyond the form.
func Load(opts Options) (*Config, error) {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	if opts.System == "" {
		opts.System = systemDir
	}
	env := func(name string) string {
		for _, kv := range slices.Backward(opts.Environ) {
			if k, v, _ := strings.Cut(kv, "="); k == name {
				return v
			}
		}
		return ""
	}
	c := &Config{positions: map[string]position{}}
	d := &decoder{config: c}
	files, err := opts.files(env)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, classify("read configuration", f, err)
		}
		d.file(f, data)
	}
	for _, leaf := range leaves(reflect.TypeFor[Config](), nil) {
		name := envPrefix + strings.ToUpper(strings.Join(leaf, "_"))
		if value := env(name); value != "" {
			d.set(position{source: "environment variable " + name}, leaf.String(), value)
		}
	}
	keys := make([]string, 0, len(opts.Set))
	for key := range opts.Set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		d.set(position{source: "command line"}, key, opts.Set[key])
	}
	if len(d.problems) > 0 {
		return nil, fault.Wrap(fault.Invalid, "read configuration", "", d.problems)
	}
	c.fill(env)
	return c, nil
}

// files lists what is to be read, in order.
func (o Options) files(env func(string) string) ([]string, error) {
	path := o.Path
	if path == "" {
		path = env(envPath)
	}
	if path != "" {
		more, err := dropIns(path)
		return append([]string{path}, more...), err
	}
	user := env("XDG_CONFIG_HOME")
	if user == "" {
		user = filepath.Join(env("HOME"), ".config")
	}
	var files []string
	for _, dir := range []string{o.System, filepath.Join(user, "gridferry")} {
		path := filepath.Join(dir, fileName)
		if _, err := os.Stat(path); err == nil {
			files = append(files, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, classify("read configuration", path, err)
		}
		more, err := dropIns(path)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return files, nil
}

// dropIns lists the files of conf.d beside a file, by name.
func dropIns(path string) ([]string, error) {
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, classify("read configuration", dir, err)
	}
	var files []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".yaml" && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// leaves are the paths of what a single text can set.
func leaves(t reflect.Type, at path) []path {
	var found []path
	for f := range fieldsOf(t) {
		sub := append(slices.Clone(at), yamlKey(f))
		switch f.Type.Kind() {
		case reflect.Struct:
			found = append(found, leaves(f.Type, sub)...)
		case reflect.Map: // has names of its own, which no variable could carry
		default:
			found = append(found, sub)
		}
	}
	return found
}

func classify(op, path string, err error) error {
	k := fault.Internal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k = fault.NotFound
	case errors.Is(err, fs.ErrPermission):
		k = fault.Permission
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fault.Wrap(k, op, path, err)
}
