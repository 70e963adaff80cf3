package starter

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/transfer"
)

func (s *session) printJSON(v any) error {
	e := json.NewEncoder(s.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table prints rows in columns.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// printable quotes a text that would do something to a terminal: names of
// files and words of servers come from strangers.
func printable(text string) string {
	for _, r := range text {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}

// sentence is printable for texts of several lines, such as servers send: they
// become one line.
func sentence(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' || r == '\t' })
	return printable(strings.Join(lines, " "))
}

// privateKey is one in PEM, whole or cut off.
var privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)

// keyless takes private keys out of a text: errors quote arguments, and people
// paste what they have in the clipboard.
func keyless(text string) string { return privateKey.ReplaceAllString(text, "(a private key)") }

func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// state is a task's status in a word or two.
func state(t transfer.Task) string {
	switch {
	case t.Status == transfer.Active && t.Paused:
		return "PAUSED"
	default:
		return string(t.Status)
	}
}

func ended(t transfer.Task) bool {
	return t.Status == transfer.Succeeded || t.Status == transfer.Failed
}

// printReport prints what is true of a task, for people.
func (s *session) printReport(t transfer.Task, chunks bool) error {
	p := t.Progress
	rows := [][]string{
		{"task", string(t.ID)},
		{"status", state(t)},
		{"verdict", sentence(t.Verdict)},
	}
	if t.Label != "" {
		rows = append(rows, []string{"label", printable(t.Label)})
	}
	if t.Owner != "" {
		rows = append(rows, []string{"owner", printable(t.Owner)})
	}
	for _, end := range [][]string{{"source", t.Source}, {"destination", t.Destination}} {
		if end[1] != "" { // a deletion has but one
			rows = append(rows, []string{end[0], printable(end[1])})
		}
	}
	if t.Route.Path != "" {
		rows = append(rows, []string{"route", fmt.Sprintf("%s (%s)", t.Route.Path, sentence(t.Route.Reason))})
	}
	rows = append(rows,
		[]string{"requested", formatTime(t.Requested)},
		[]string{"deadline", formatTime(t.Deadline)})
	if !t.Completed.IsZero() {
		rows = append(rows, []string{"completed", fmt.Sprintf("%s, after %s", formatTime(t.Completed), transfer.FormatDuration(t.Completed.Sub(t.Requested)))})
	}
	more := ""
	if p.Walking {
		more = " found so far"
	}
	if t.Type == "DELETE" {
		rows = append(rows, []string{"deleted", strconv.FormatInt(p.Deleted, 10)})
	} else {
		rows = append(rows,
			[]string{"files", fmt.Sprintf("%d of %d%s%s", p.FilesDone, p.Files, more, counts(p))},
			[]string{"bytes", fmt.Sprintf("%s of %s%s (%d of %d)", transfer.FormatBytes(p.BytesDone), transfer.FormatBytes(p.Bytes), more, p.BytesDone, p.Bytes)},
			[]string{"rate", transfer.FormatRate(p.Rate)})
	}
	if p.ETA > 0 && !ended(t) {
		rows = append(rows, []string{"eta", transfer.FormatDuration(time.Duration(p.ETA))})
	}
	rows = append(rows, []string{"faults", strconv.FormatInt(p.Faults, 10)})
	if t.LastFault != nil && (t.Fatal == nil || t.LastFault.Message != t.Fatal.Message) {
		rows = append(rows, []string{"last fault", describeFault(*t.LastFault)})
	}
	if t.Fatal != nil {
		rows = append(rows, []string{"failed with", describeFault(*t.Fatal)})
	}
	if !t.AsOf.IsZero() {
		rows = append(rows, []string{"as of", formatTime(t.AsOf) + " (no worker answers now)"})
	}
	if err := table(s.Stdout, rows); err != nil || !chunks || len(t.Chunks) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(s.Stdout); err != nil {
		return err
	}
	return s.printChunks(t.Chunks)
}

// counts lists what else there is to say of the files, where there is any.
func counts(p transfer.Progress) string {
	var b strings.Builder
	for _, c := range []struct {
		n    int64
		what string
	}{
		{p.FilesInFlight, "in flight"}, {p.FilesOffline, "waiting for the archive"}, {p.FilesSkipped, "skipped"}, {p.FilesFailed, "failed"}, {p.FilesUnverified, "not verified but for their size"},
		{p.EntriesIgnored, "other entries ignored"}, {p.Deleted, "extras deleted"}, {p.Links, "links"},
	} {
		if c.n > 0 {
			fmt.Fprintf(&b, ", %d %s", c.n, c.what)
		}
	}
	return b.String()
}

func describeFault(f transfer.Fault) string {
	text := string(f.Kind) + ": " + sentence(f.Message)
	if f.Path != "" && !strings.Contains(f.Message, f.Path) {
		text = fmt.Sprintf("%s: %s: %s", f.Kind, printable(f.Path), sentence(f.Message))
	}
	if f.Count > 1 {
		text += fmt.Sprintf(" (%d times)", f.Count)
	}
	if !f.Time.IsZero() {
		text += ", at " + formatTime(f.Time)
	}
	return text
}

func (s *session) printChunks(chunks []transfer.Chunk) error {
	rows := [][]string{{"CHUNK", "FILES", "SIZE", "CC", "P", "PP", "STATE", "TUNING"}}
	for _, c := range chunks {
		state := c.State
		if state == "" {
			state = "-"
		}
		reason := c.Tuning.Reason
		if c.Ranged != nil {
			reason = c.Describe() + "; " + reason
		}
		rows = append(rows, []string{
			c.ID, strconv.FormatInt(c.Files, 10), transfer.FormatBytes(c.Bytes),
			strconv.Itoa(c.Tuning.Concurrency), strconv.Itoa(c.Tuning.Parallelism), strconv.Itoa(c.Tuning.Pipelining),
			state, sentence(reason),
		})
	}
	return table(s.Stdout, rows)
}

// entryJSON is an entry with names that do not change with the code's.
type entryJSON struct {
	Name    string         `json:"name"`
	Type    endpoints.Type `json:"type"`
	Size    int64          `json:"size"`
	ModTime time.Time      `json:"modification_time,omitzero"`
	Mode    string         `json:"mode,omitempty"` // octal
	Target  string         `json:"target,omitempty"`
}

func toJSON(e endpoints.Entry) entryJSON {
	j := entryJSON{Name: e.Name, Type: e.Type, Size: e.Size, ModTime: e.ModTime, Target: e.Target}
	if e.Mode != 0 {
		j.Mode = fmt.Sprintf("%04o", e.Mode)
	}
	return j
}

// describeEntry is a row of a long listing.
func describeEntry(e endpoints.Entry) []string {
	mode, size, name := "-", "-", printable(e.Name)
	if e.Mode != 0 {
		mode = fmt.Sprintf("%04o", e.Mode)
	}
	if e.Type == endpoints.File {
		size = strconv.FormatInt(e.Size, 10)
	}
	switch e.Type {
	case endpoints.Dir:
		name += "/"
	case endpoints.Link:
		name += " -> " + printable(e.Target)
	}
	return []string{string(e.Type), mode, size, formatTime(e.ModTime), name}
}
