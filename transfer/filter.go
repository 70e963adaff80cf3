package transfer

import (
	"fmt"
	"path"
	"strings"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Excluded says whether the filters leave out an entry of that name (the last
// path element) and type, and why. The first filter that matches decides; an
// entry that none matches is included. Filters for files also decide about
// symbolic links.
//
// With delete_extra, an excluded name is none of the task's business: it is
// not deleted at the destination either.
func Excluded(filters []Filter, name string, t endpoints.Type) (reason string, excluded bool) {
	for i, f := range filters {
		if !f.matches(name, t) {
			continue
		}
		if f.Exclude {
			return fmt.Sprintf("excluded by filters[%d] %q", i, f.Name), true
		}
		return "", false
	}
	return "", false
}

func (f Filter) matches(name string, t endpoints.Type) bool {
	if f.Type == "file" && t == endpoints.Dir || f.Type == "dir" && t != endpoints.Dir {
		return false
	}
	ok, err := path.Match(f.Name, name)
	return ok && err == nil
}

// ParseFilter reads a filter as the command line writes it: [+|-][file:|dir:]GLOB,
// for example "-*.tmp" or "-dir:.git". Without a sign it excludes.
func ParseFilter(s string) (Filter, error) {
	f := Filter{Exclude: true}
	rest, include := strings.CutPrefix(s, "+")
	if include {
		f.Exclude = false
	} else {
		rest, _ = strings.CutPrefix(s, "-")
	}
	for _, t := range []string{"file", "dir"} {
		if glob, ok := strings.CutPrefix(rest, t+":"); ok {
			f.Type, rest = t, glob
			break
		}
	}
	f.Name = rest
	if err := f.validate(); err != nil {
		err.Path = "filter " + quoteShort(s)
		return Filter{}, err
	}
	return f, nil
}

// validate names the field of the filter that is wrong.
func (f Filter) validate() *fault.Error {
	const right = `write a glob over the last path element, like "*.tmp"`
	if f.Name == "" {
		return invalid("name", "is empty", right)
	}
	if len(f.Name) > 1024 {
		return invalid("name", fmt.Sprintf("has %d bytes", len(f.Name)), "write at most 1024")
	}
	if strings.Contains(f.Name, "/") {
		return invalid("name", quoteShort(f.Name)+" holds a slash", right)
	}
	if r, ok := controlCharacter(f.Name); ok {
		return invalid("name", fmt.Sprintf("holds the control character %U", r), right)
	}
	// Match reads the whole pattern, also when the name differs early.
	if _, err := path.Match(f.Name, ""); err != nil {
		return invalid("name", quoteShort(f.Name)+" is not a glob", `close every [ and escape with \`)
	}
	if f.Type != "" && f.Type != "file" && f.Type != "dir" {
		return invalid("type", quoteShort(f.Type)+" is not known", "write file or dir, or leave it out for both")
	}
	return nil
}
