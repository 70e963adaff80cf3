package starter

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// maxInput bounds what is read of a request or a batch, in bytes.
const maxInput = 16 << 20

// requestFlags are the flags that make up a request to transfer.
type requestFlags struct {
	request, batch       string
	recursive            bool
	label, deadline      string
	sync, verify         string
	deleteExtra          bool
	maxDelete            string
	preserveTime, mode   bool
	symlinks, hardLinks  string
	filters              []string
	modifyWindow         string
	encrypt, atomic      bool
	skipErrors, failFast bool
	failOnQuota          bool
	maxFaults            int64
	route, tuning        string
	sourceCred, destCred string
	notify               string
	lines                []int // of the batch file, by item
	batchName            string
}

func (f *requestFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVarP(&f.recursive, "recursive", "r", false, "copy what is in the directory SOURCE into the directory DESTINATION")
	flags.StringVar(&f.batch, "batch", "", "read items from a `FILE`, or from standard input with - (see \"gridferry help batch\")")
	flags.StringVar(&f.request, "request", "", "read the request as JSON from a `FILE`, or from standard input with -; flags that are given as well replace its fields")
	flags.StringVar(&f.label, "label", "", "one line that says what this is")
	flags.StringVar(&f.deadline, "deadline", "", "give up after this long (36h, 7d) or at this `TIME` (2026-05-04T12:00:00Z) (default 7d)")
	flags.StringVar(&f.sync, "sync", "", "copy only what is needed: `RULE` is exists, size, mtime or checksum, or its level 0 to 3; each includes those before it")
	flags.StringVar(&f.verify, "verify", "", "check what arrived by checksum, size or none (default checksum)")
	flags.BoolVar(&f.deleteExtra, "delete-extra", false, "remove what the source does not have from the destination, after everything is verified")
	flags.StringVar(&f.maxDelete, "max-delete", "", "delete nothing if there are more extras than `N`, or more than N% of the destination")
	flags.BoolVar(&f.preserveTime, "preserve-time", false, "keep modification times")
	flags.BoolVar(&f.mode, "preserve-mode", false, "keep permission bits")
	flags.StringVar(&f.symlinks, "symlinks", "", "ignore, keep or copy symbolic links (default ignore)")
	flags.StringVar(&f.hardLinks, "hard-links", "", "keep names of one file together, or copy each of them (default copy)")
	flags.StringArrayVar(&f.filters, "filter", nil, "[+|-][file:|dir:]`GLOB`: include or exclude names; the first that matches decides; repeat it")
	flags.StringVar(&f.modifyWindow, "modify-window", "", "times this close are the same for --sync mtime (`DURATION`, such as 2s)")
	flags.BoolVar(&f.encrypt, "encrypt", false, "encrypt the data on its way")
	flags.BoolVar(&f.atomic, "atomic", false, "write every file under a temporary name, and rename it when it is proven")
	flags.BoolVar(&f.skipErrors, "skip-errors", false, "list files that are refused, and succeed without them")
	flags.BoolVar(&f.failFast, "fail-fast", false, "stop at the first file that is refused")
	flags.BoolVar(&f.failOnQuota, "fail-on-quota", false, "fail when the destination is full, rather than wait")
	flags.Int64Var(&f.maxFaults, "max-faults", 0, "fail when there were more than `N` faults, also such as would pass; 0 is any number")
	flags.StringVar(&f.route, "route", "", "auto, third-party (from server to server) or relay (through a worker) (default auto)")
	flags.StringVar(&f.tuning, "tuning", "", "auto, classic, and fixed values: cc=FILES,p=SOCKETS,pp=REQUESTS; range=SIZE for very large files, or range=none (default auto)")
	flags.StringVar(&f.sourceCred, "source-credential", "", "`ID` of the credential for the source")
	flags.StringVar(&f.destCred, "destination-credential", "", "`ID` of the credential for the destination")
	flags.StringVar(&f.notify, "notify", "", "whom to tell of what: `ADDRESS`, kinds (succeeded, failed, inactive, expiring, waiting), or off")
}

// build makes the request and validates it, without contacting anything. With
// a site, file:///path is a path there, and here says that there is one.
func (f *requestFlags) build(s *session, cmd *cobra.Command, args []string, site string) (req transfer.Request, here bool, err error) {
	if req, err = f.gather(s, cmd, args); err != nil {
		return req, false, err
	}
	here = site != "" && localize(&req, site)
	return req, here, f.locate(req.Validate(s.Now()))
}

// gather makes the request of flags, arguments and files.
func (f *requestFlags) gather(s *session, cmd *cobra.Command, args []string) (transfer.Request, error) {
	var req transfer.Request
	var err error
	switch {
	case f.skipErrors && f.failFast:
		return req, &usageError{errors.New("--skip-errors and --fail-fast contradict one another: give one of them")}
	case f.batch != "" && f.request != "":
		return req, &usageError{errors.New("--batch and --request both say what to move: give one of them")}
	case f.request != "":
		if req, err = f.fromJSON(s, args); err != nil {
			return req, err
		}
	case f.batch != "":
		if req, err = f.fromBatch(s, args); err != nil {
			return req, err
		}
	case len(args) == 2:
		req = transfer.Request{Source: args[0], Destination: args[1], Recursive: f.recursive}
	default:
		return req, &usageError{fmt.Errorf("write SOURCE and DESTINATION, or --batch FILE; %d given", len(args))}
	}
	if err := f.apply(&req, cmd, s.Now()); err != nil {
		return req, err
	}
	if req.Owner == "" {
		req.Owner = s.Owner
	}
	return req, nil
}

func (f *requestFlags) fromJSON(s *session, args []string) (transfer.Request, error) {
	if len(args) > 0 || f.recursive {
		return transfer.Request{}, &usageError{errors.New("--request holds the locations already: give no others, and no -r")}
	}
	r, name, err := s.open(f.request)
	if err != nil {
		return transfer.Request{}, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxInput))
	if err != nil {
		return transfer.Request{}, fmt.Errorf("read %s: %w", name, err)
	}
	return transfer.DecodeRequest(text)
}

func (f *requestFlags) fromBatch(s *session, args []string) (transfer.Request, error) {
	if len(args) > 0 || f.recursive {
		return transfer.Request{}, &usageError{errors.New("--batch names the items: give no other locations, and write -r behind the items it is for")}
	}
	r, name, err := s.open(f.batch)
	if err != nil {
		return transfer.Request{}, err
	}
	defer r.Close()
	items, err := parseBatch(io.LimitReader(r, maxInput), name)
	if err != nil {
		return transfer.Request{}, err
	}
	var req transfer.Request
	f.batchName = name
	for _, it := range items {
		req.Items = append(req.Items, it.Item)
		f.lines = append(f.lines, it.line)
	}
	return req, nil
}

// open opens a file, or standard input for "-".
func (s *session) open(name string) (io.ReadCloser, string, error) {
	if name == "-" {
		return io.NopCloser(s.Stdin), "standard input", nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, "", &usageError{err}
	}
	return file, name, nil
}

// apply puts the flags that were given into the request.
func (f *requestFlags) apply(req *transfer.Request, cmd *cobra.Command, now time.Time) error {
	given := cmd.Flags().Changed
	for _, t := range []struct {
		flag  string
		from  string
		field *string
	}{
		{"label", f.label, &req.Label},
		{"sync", f.sync, (*string)(&req.Sync)},
		{"verify", f.verify, (*string)(&req.Verify)},
		{"max-delete", f.maxDelete, &req.MaxDelete},
		{"symlinks", f.symlinks, (*string)(&req.Symlinks)},
		{"hard-links", f.hardLinks, (*string)(&req.HardLinks)},
		{"route", f.route, (*string)(&req.Route)},
		{"source-credential", f.sourceCred, &req.SourceCredential},
		{"destination-credential", f.destCred, &req.DestinationCredential},
		{"notify", f.notify, &req.Notify},
	} {
		if given(t.flag) {
			*t.field = t.from
		}
	}
	for _, t := range []struct {
		flag  string
		from  bool
		field *bool
	}{
		{"delete-extra", f.deleteExtra, &req.DeleteExtra},
		{"preserve-time", f.preserveTime, &req.PreserveTime},
		{"preserve-mode", f.mode, &req.PreserveMode},
		{"encrypt", f.encrypt, &req.Encrypt},
		{"atomic", f.atomic, &req.Atomic},
		{"fail-on-quota", f.failOnQuota, &req.FailOnFull},
	} {
		if given(t.flag) {
			*t.field = t.from
		}
	}
	switch {
	case f.skipErrors:
		req.OnError = transfer.OnErrorSkip
	case f.failFast:
		req.OnError = transfer.OnErrorFail
	}
	if given("max-faults") {
		req.MaxFaults = f.maxFaults
	}
	for i, text := range f.filters {
		filter, err := transfer.ParseFilter(text)
		if err != nil {
			return err
		}
		if i == 0 {
			req.Filters = nil
		}
		req.Filters = append(req.Filters, filter)
	}
	if given("modify-window") {
		d, err := transfer.ParseDuration(f.modifyWindow)
		if err != nil {
			return invalid("modify_window", err.Error(), "")
		}
		req.ModifyWindow = transfer.Duration(d)
	}
	if given("deadline") {
		t, err := parseDeadline(f.deadline, now)
		if err != nil {
			return err
		}
		req.Deadline = t
	}
	if given("tuning") {
		policy, err := parsePolicy(f.tuning)
		if err != nil {
			return err
		}
		req.Tuning = policy
	}
	return nil
}

// locate says in which line of the batch file an item stands that was refused.
func (f *requestFlags) locate(err error) error {
	var e *fault.Error
	if len(f.lines) == 0 || !errors.As(err, &e) {
		return err
	}
	var index int
	if n, _ := fmt.Sscanf(e.Path, "items[%d].", &index); n == 1 && index < len(f.lines) {
		e.Path += fmt.Sprintf(", line %d of %s", f.lines[index], f.batchName)
	}
	return err
}

// parseDeadline takes a time span from now, or a time.
func parseDeadline(text string, now time.Time) (time.Time, error) {
	if d, err := transfer.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid("deadline", strconv.Quote(text)+" is neither a time span nor a time", "write 36h, 7d, 2026-05-04T12:00:00Z or \"2026-05-04 12:00\"")
}

// parsePolicy takes "auto", "classic" and "cc=4,p=2,pp=20,range=1GiB", in any
// mixture.
func parsePolicy(text string) (transfer.Policy, error) {
	const right = "write auto, classic, or values such as cc=4,p=2,pp=20,range=1GiB"
	var p transfer.Policy
	for _, word := range strings.Split(text, ",") {
		name, value, fixed := strings.Cut(word, "=")
		if !fixed {
			if p.Name != "" {
				return p, invalid("tuning", strconv.Quote(text)+" names two policies", right)
			}
			if name == "" {
				return p, invalid("tuning", strconv.Quote(text)+" is not a tuning", right)
			}
			p.Name = name // Validate knows the policies
			continue
		}
		if name == "range" {
			size, err := rangeSize(value)
			if err != nil {
				return p, err
			}
			p.RangeSize = size // Validate knows the bounds
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return p, invalid("tuning."+name, strconv.Quote(value)+" is not a number above 0", right)
		}
		switch name {
		case "cc":
			p.Concurrency = n
		case "p":
			p.Parallelism = n
		case "pp":
			p.Pipelining = n
		default:
			return p, invalid("tuning", strconv.Quote(name)+" is not known", right)
		}
	}
	return p, nil
}
