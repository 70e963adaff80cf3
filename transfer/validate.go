package transfer

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// What a request may ask for at most.
const (
	MaxItems   = 10_000
	MaxFilters = 1_000
	MaxLabel   = 128 // characters

	MaxConcurrency = 64
	MaxParallelism = 64
	MaxPipelining  = 1_000

	// DefaultDeadline is how long a task may take unless asked otherwise.
	DefaultDeadline = 7 * 24 * time.Hour
)

// Normalised returns the request with its defaults in place: the shorthand as
// an item, enumerations as their canonical constants, a deadline, and file
// destinations that were written with a trailing slash completed by the
// source's name. now is the time of submission. What Validate would refuse is
// left as it is.
func (r Request) Normalised(now time.Time) Request {
	r.Items = slices.Clone(r.Items)
	if len(r.Items) == 0 && (r.Source != "" || r.Destination != "") {
		r.Items = []Item{{Source: r.Source, Destination: r.Destination, Recursive: r.Recursive}}
		r.Source, r.Destination, r.Recursive = "", "", false
	}
	for i := range r.Items {
		it := &r.Items[i]
		src, err1 := parseLocation(it.Source)
		dst, err2 := parseLocation(it.Destination)
		if err1 == nil && err2 == nil && dst.Dir && !it.Recursive {
			it.Destination = dst.At(path.Join(dst.Path, src.Base())).String()
		}
	}
	r.Sync = canonical(r.Sync, syncNames)
	r.Verify = canonical(r.Verify, verifyNames)
	r.Symlinks = canonical(r.Symlinks, symlinksNames)
	r.HardLinks = canonical(r.HardLinks, hardLinksNames)
	r.OnError = canonical(r.OnError, onErrorNames)
	r.Route = canonical(r.Route, routeNames)
	r.Tuning.Name = canonical(r.Tuning.Name, policyNames)
	if r.Deadline.IsZero() {
		r.Deadline = now.Add(DefaultDeadline)
	}
	return r
}

// Checked returns the request normalised, or what is wrong with it, in the
// words of what was asked rather than of what it was normalised to.
func (r Request) Checked(now time.Time) (Request, error) {
	if err := r.Validate(now); err != nil {
		return r, err
	}
	normal := r.Normalised(now)
	// Completed destinations may collide where those that were written do not.
	return normal, normal.Validate(now)
}

// Validate says what cannot be right about a request, before anything is
// contacted: an Invalid error that names the JSON field and what would be
// right. now is the time of submission.
func (r Request) Validate(now time.Time) error {
	for _, check := range []func() *fault.Error{
		r.validateEnums,
		func() *fault.Error { return validateLabel(r.Label) },
		func() *fault.Error { return validateDeadline(r.Deadline, now) },
		func() *fault.Error { return validateText("owner", r.Owner) },
		func() *fault.Error { return validateText("source_credential", r.SourceCredential) },
		func() *fault.Error { return validateText("destination_credential", r.DestinationCredential) },
		func() *fault.Error { return validateNotify(r.Notify) },
		func() *fault.Error { return r.Tuning.validate("tuning") },
		r.validateFilters,
		r.validateItems,
		r.validateDelete,
		r.validateFaults,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r Request) validateFaults() *fault.Error {
	if r.MaxFaults < 0 {
		return invalid("max_faults", "is negative", "write how many faults a task may have, or 0 for any number")
	}
	return nil
}

// Validate says what cannot be right about a change to a running task.
func (c Change) Validate(now time.Time) error {
	var err *fault.Error
	switch {
	case c.Label == nil && c.Deadline == nil && c.Tuning == nil:
		err = invalid("change", "changes nothing", "give a label, a deadline or a tuning")
	case c.Deadline != nil && c.Deadline.IsZero():
		err = invalid("deadline", "is the zero time", "write a time in the future, like "+now.Add(DefaultDeadline).UTC().Format(time.RFC3339))
	}
	if err == nil && c.Label != nil {
		err = validateLabel(*c.Label)
	}
	if err == nil && c.Deadline != nil {
		err = validateDeadline(*c.Deadline, now)
	}
	if err == nil && c.Tuning != nil {
		err = c.Tuning.validate("tuning")
	}
	if err != nil {
		return err
	}
	return nil
}

// Validate says what cannot be right about a request to delete.
func (r DeleteRequest) Validate(now time.Time) error {
	for _, check := range []func() *fault.Error{
		func() *fault.Error { return validateLabel(r.Label) },
		func() *fault.Error { return validateDeadline(r.Deadline, now) },
		func() *fault.Error { return validateText("owner", r.Owner) },
		func() *fault.Error { return validateText("credential", r.Credential) },
		func() *fault.Error { return validateNotify(r.Notify) },
		r.validatePaths,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r DeleteRequest) validatePaths() *fault.Error {
	if n := len(r.Paths); n == 0 || n > MaxItems {
		return invalid("paths", fmt.Sprintf("has %d locations", n), fmt.Sprintf("give 1 to %d", MaxItems))
	}
	seen := make(map[string]int, len(r.Paths))
	endpoint := ""
	for i, text := range r.Paths {
		field := fmt.Sprintf("paths[%d]", i)
		loc, err := parseField(field, text)
		if err != nil {
			return err
		}
		if i == 0 {
			endpoint = loc.Endpoint
		}
		if loc.Endpoint != endpoint {
			return invalid(field, fmt.Sprintf("is at %s and paths[0] at %s", loc.Endpoint, endpoint), "delete at one endpoint at a time")
		}
		if rest, home := loc.HomeRelative(); loc.Path == "/" || home && rest == "" {
			return invalid(field, fmt.Sprintf("%s is everything there is", loc.Path), "name what is below it")
		}
		if j, dup := seen[loc.Path]; dup {
			return invalid(field, fmt.Sprintf("is the same as paths[%d]", j), "name each path once")
		}
		seen[loc.Path] = i
	}
	for i, text := range r.Paths {
		loc, _ := parseLocation(text)
		if up, j, ok := ancestorIn(seen, loc.Path); ok {
			return invalid(fmt.Sprintf("paths[%d]", i), fmt.Sprintf("is inside paths[%d] (%s)", j, up), "leave out what a directory takes with it")
		}
	}
	return nil
}

func parseField(field, text string) (Location, *fault.Error) {
	loc, err := parseLocation(text)
	if err == nil && loc.Endpoint == Here {
		err = invalid("", "names no host, and the workers are elsewhere", "write file://HOST/path, for a host where a worker runs")
	}
	if err != nil {
		err.Path = field
	}
	return loc, err
}

// ancestorIn finds the closest proper ancestor of p among the keys of set.
func ancestorIn(set map[string]int, p string) (string, int, bool) {
	for p != "/" {
		p = path.Dir(p)
		if i, ok := set[p]; ok {
			return p, i, true
		}
	}
	return "", 0, false
}

func (r Request) validateItems() *fault.Error {
	switch {
	case len(r.Items) > 0 && (r.Source != "" || r.Destination != ""):
		return invalid("items", "is given together with source or destination", "put everything into items, or leave items out")
	case len(r.Items) == 0 && r.Source == "" && r.Destination == "":
		return invalid("items", "is empty", "give source and destination, or a list of items")
	case len(r.Items) > MaxItems:
		return invalid("items", fmt.Sprintf("has %d items", len(r.Items)), fmt.Sprintf("at most %d fit a request; ask for a directory, or for several transfers", MaxItems))
	case len(r.Items) > 0 && r.Recursive:
		return invalid("recursive", "is given together with items", "put recursive into the items it is for")
	}
	field := func(i int, name string) string { return fmt.Sprintf("items[%d].%s", i, name) }
	if len(r.Items) == 0 {
		field = func(_ int, name string) string { return name }
	}
	items := r.Normalised(time.Time{}).Items

	type pair struct{ src, dst Location }
	pairs := make([]pair, len(items))
	dests := make(map[string]int, len(items))
	for i, it := range items {
		var err *fault.Error
		p := &pairs[i]
		if p.src, err = parseField(field(i, "source"), it.Source); err != nil {
			return err
		}
		if p.dst, err = parseField(field(i, "destination"), it.Destination); err != nil {
			return err
		}
		first := pairs[0]
		switch {
		case p.src.Endpoint != first.src.Endpoint:
			return invalid(field(i, "source"), fmt.Sprintf("is at %s, but the first item's at %s", p.src.Endpoint, first.src.Endpoint), "all items of a request go between the same two endpoints")
		case p.dst.Endpoint != first.dst.Endpoint:
			return invalid(field(i, "destination"), fmt.Sprintf("is at %s, but the first item's at %s", p.dst.Endpoint, first.dst.Endpoint), "all items of a request go between the same two endpoints")
		case p.src.Dir && !it.Recursive:
			return invalid(field(i, "source"), "ends in a slash, so it is a directory", "set recursive (-r) for a directory")
		case !it.Recursive && (p.src.Path == "/" || p.src.Path == "/~"):
			return invalid(field(i, "source"), "is a directory", "set recursive (-r) for a directory")
		case p.src == p.dst || p.src.Endpoint == p.dst.Endpoint && p.src.Path == p.dst.Path:
			return invalid(field(i, "destination"), "is the same as the source", "name another path or another endpoint")
		}
		if j, dup := dests[p.dst.Path]; dup {
			if pairs[j].src.Path == p.src.Path {
				return invalid(field(i, "source"), fmt.Sprintf("is the same item as items[%d]", j), "name each item once")
			}
			return invalid(field(i, "destination"), fmt.Sprintf("is the same as that of items[%d]", j), "give every item a destination of its own")
		}
		dests[p.dst.Path] = i
	}
	for i, p := range pairs {
		if up, j, ok := ancestorIn(dests, p.dst.Path); ok {
			return invalid(field(i, "destination"), fmt.Sprintf("is nested in that of items[%d] (%s)", j, up), "choose destinations that do not lie in one another")
		}
	}
	if pairs[0].src.Endpoint != pairs[0].dst.Endpoint {
		return nil
	}
	// At one endpoint the walk could meet what the copy has just written.
	sources := make(map[string]int, len(items))
	trees := make(map[string]int, len(items))
	for i, p := range pairs {
		sources[p.src.Path] = i
		if items[i].Recursive {
			trees[p.src.Path] = i
		}
	}
	for i, p := range pairs {
		if up, _, ok := ancestorIn(trees, p.dst.Path); ok {
			return invalid(field(i, "destination"), fmt.Sprintf("is inside the source %s", up), "choose a destination outside of what is copied")
		}
		if j, ok := sources[p.dst.Path]; ok {
			return invalid(field(i, "destination"), fmt.Sprintf("is the source of items[%d]", j), "make it two transfers, one after the other")
		}
		if up, _, ok := ancestorIn(dests, p.src.Path); ok && r.DeleteExtra {
			return invalid(field(i, "source"), fmt.Sprintf("is inside the destination %s, where delete_extra would remove it", up), "choose another destination, or leave delete_extra out")
		}
	}
	return nil
}

func (r Request) validateDelete() *fault.Error {
	if r.MaxDelete != "" && !r.DeleteExtra {
		return invalid("max_delete", "is given without delete_extra", "set delete_extra as well")
	}
	if _, err := ParseMaxDelete(r.MaxDelete); err != nil {
		return invalid("max_delete", err.Error(), `write a number of names ("100") or a percentage ("5%")`)
	}
	recursive := r.Recursive
	for _, it := range r.Items {
		recursive = recursive || it.Recursive
	}
	if r.DeleteExtra && !recursive {
		return invalid("delete_extra", "is given without a recursive item", "extras are only looked for inside directories that are copied")
	}
	return nil
}

// DeleteBound is a parsed MaxDelete: a bound on how many extras a task may
// remove.
type DeleteBound struct {
	Set     bool
	Count   int64 // when not Percent
	Percent bool
	Share   float64 // of the names found at the destination, 0 to 100
}

// ParseMaxDelete parses "", "100" or "5%".
func ParseMaxDelete(s string) (DeleteBound, error) {
	if s == "" {
		return DeleteBound{}, nil
	}
	if num, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(num, 64)
		if err != nil || !(f >= 0 && f <= 100) || strings.ContainsAny(num, "eExXpP_+-nN") {
			return DeleteBound{}, fmt.Errorf("%s is not a percentage of 0 to 100", quoteShort(s))
		}
		return DeleteBound{Set: true, Percent: true, Share: f}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || s[0] == '+' || s[0] == '-' {
		return DeleteBound{}, fmt.Errorf("%s is not a number of names", quoteShort(s))
	}
	return DeleteBound{Set: true, Count: n}, nil
}

// Allows reports whether extras names may be removed of the total that the
// destination has.
func (b DeleteBound) Allows(extras, total int64) bool {
	switch {
	case !b.Set:
		return true
	case b.Percent:
		return float64(extras)*100 <= b.Share*float64(total)
	}
	return extras <= b.Count
}

func (r Request) validateFilters() *fault.Error {
	if len(r.Filters) > MaxFilters {
		return invalid("filters", fmt.Sprintf("has %d rules", len(r.Filters)), fmt.Sprintf("at most %d fit a request", MaxFilters))
	}
	for i, f := range r.Filters {
		if err := f.validate(); err != nil {
			err.Path = fmt.Sprintf("filters[%d].%s", i, err.Path)
			return err
		}
	}
	return nil
}

func (r Request) validateEnums() *fault.Error {
	for _, err := range []*fault.Error{
		oneOf("sync", r.Sync, syncNames),
		oneOf("verify", r.Verify, verifyNames),
		oneOf("symlinks", r.Symlinks, symlinksNames),
		oneOf("hard_links", r.HardLinks, hardLinksNames),
		oneOf("on_error", r.OnError, onErrorNames),
		oneOf("route", r.Route, routeNames),
	} {
		if err != nil {
			return err
		}
	}
	if r.ModifyWindow < 0 || time.Duration(r.ModifyWindow) > 24*time.Hour {
		return invalid("modify_window", r.ModifyWindow.String()+" is out of range", `write "0s" to "24h"`)
	}
	return nil
}

func (p Policy) validate(field string) *fault.Error {
	if err := oneOf(field+".name", p.Name, policyNames); err != nil {
		return err
	}
	for _, v := range []struct {
		name     string
		val, max int
	}{{"cc", p.Concurrency, MaxConcurrency}, {"p", p.Parallelism, MaxParallelism}, {"pp", p.Pipelining, MaxPipelining}} {
		if v.val < 0 || v.val > v.max {
			return invalid(field+"."+v.name, fmt.Sprintf("%d is out of range", v.val), fmt.Sprintf("write 1 to %d, or 0 to leave it to the policy", v.max))
		}
	}
	if p.RangeSize > 0 && p.RangeSize < MinRangeSize || p.RangeSize > MaxRangeSize {
		return invalid(field+".range_size", fmt.Sprintf("%d is out of range", p.RangeSize), fmt.Sprintf("write %d to %d bytes, 0 to leave it to the policy, or -1 for no ranges", MinRangeSize, MaxRangeSize))
	}
	return nil
}

func validateLabel(label string) *fault.Error {
	right := fmt.Sprintf("write one line of at most %d characters", MaxLabel)
	if lines := strings.Count(strings.ReplaceAll(label, "\r\n", "\n"), "\n"); lines > 0 {
		return invalid("label", fmt.Sprintf("has %d lines", lines+1), right)
	}
	if n := utf8.RuneCountInString(label); n > MaxLabel {
		return invalid("label", fmt.Sprintf("has %d characters", n), right)
	}
	return validateText("label", label)
}

func validateDeadline(deadline, now time.Time) *fault.Error {
	if deadline.IsZero() || deadline.After(now) {
		return nil
	}
	return invalid("deadline", deadline.UTC().Format(time.RFC3339)+" is past", "write a time after "+now.UTC().Format(time.RFC3339))
}

// validateText checks the short texts that end up in logs, mail headers and
// search attributes.
func validateText(field, s string) *fault.Error {
	if !utf8.ValidString(s) {
		return invalid(field, "is not UTF-8", "write UTF-8 text")
	}
	if r, ok := controlCharacter(s); ok {
		return invalid(field, fmt.Sprintf("holds the control character %U", r), "leave control characters out")
	}
	if len(s) > 1024 {
		return invalid(field, fmt.Sprintf("has %d bytes", len(s)), "write at most 1024")
	}
	return nil
}

func validateNotify(s string) *fault.Error {
	if f := validateText("notify", s); f != nil {
		return f
	}
	_, err := ParseNotifyRule(s)
	f, _ := errors.AsType[*fault.Error](err)
	return f
}

// CheckItem says whether an item can mean what was found under its source's
// name; only after looking there can "recursive" be known to be wrong. Links
// pass: the walk follows a link that is an item's own source, and asks again.
func CheckItem(it Item, found endpoints.Entry) error {
	switch {
	case found.Type == endpoints.Dir && !it.Recursive:
		return invalid("recursive", it.Source+" is a directory", "set recursive (-r) to copy what is in it")
	case found.Type == endpoints.File && it.Recursive:
		return invalid("recursive", it.Source+" is a file", "recursive (-r) is for directories; leave it out")
	case found.Type == endpoints.Other:
		return fault.Wrap(fault.Unsupported, "copy", it.Source, errors.New("is a device, a socket or a pipe"))
	}
	return nil
}
