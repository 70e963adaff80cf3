package notify

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

//go:embed templates
var templates embed.FS

// letter is what a message says.
type letter struct {
	Subject string
	Head    string // one sentence
	Advice  string // what to do; may be empty
	Rows    []row
	Link    string
}

// row is one line of the table: what, and its value.
type row struct{ Name, Value string }

// compose writes the letter of a message.
func compose(m message) letter {
	t := m.Task
	source, destination := place(t.Source), place(t.Destination)
	l := letter{Head: headline(m), Advice: advice(m), Link: m.link}
	l.Subject = "gridferry: " + l.Head
	if t.Label != "" {
		l.Subject += " (" + t.Label + ")"
	}
	add := func(name, value string) {
		if value != "" {
			l.Rows = append(l.Rows, row{name, value})
		}
	}
	add("Task ID", string(t.ID))
	add("Task Type", t.Type)
	add("Status", string(t.Status))
	add("Source", source)
	add("Destination", destination)
	add("Label", t.Label)
	p := t.Progress
	switch {
	case t.Type == "DELETE":
		add("Deleted", fmt.Sprint(p.Deleted))
	case p.FilesDone == p.Files:
		add("Files", fmt.Sprint(p.FilesDone))
		add("Bytes", fmt.Sprintf("%d (%s)", p.BytesDone, transfer.FormatBytes(p.BytesDone)))
	default:
		add("Files", fmt.Sprintf("%d of %d", p.FilesDone, p.Files))
		add("Bytes", fmt.Sprintf("%d (%s) of %d", p.BytesDone, transfer.FormatBytes(p.BytesDone), p.Bytes))
	}
	if p.FilesSkipped > 0 {
		add("Already there", fmt.Sprint(p.FilesSkipped))
	}
	if p.FilesFailed > 0 {
		add("Given up", fmt.Sprint(p.FilesFailed))
	}
	if p.FilesUnverified > 0 {
		add("Unverified", fmt.Sprintf("%d (only their sizes could be compared)", p.FilesUnverified))
	}
	if p.Rate > 0 {
		add("Rate", transfer.FormatRate(p.Rate))
	}
	add("Faults", fmt.Sprint(p.Faults))
	add("Requested", stamp(t.Requested))
	add("Completed", stamp(t.Completed))
	if t.Completed.IsZero() {
		add("Deadline", stamp(t.Deadline))
	}
	switch {
	case t.Fatal != nil:
		add("Reason", t.Fatal.Message)
	case m.Kind != transfer.NoticeSucceeded:
		add("Reason", t.Verdict)
	}
	return l
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC1123)
}

// place is a location with its endpoint set apart: "lab#dtn (lab#dtn:/data)".
func place(location string) string {
	l, err := transfer.ParseLocation(location)
	if err != nil {
		return location // a delete's, or with "and 3 more" behind it
	}
	return fmt.Sprintf("%s (%s)", l.Endpoint, location)
}

func headline(m message) string {
	what := "transfer"
	if m.Task.Type == "DELETE" {
		what = "deletion"
	}
	switch m.Kind {
	case transfer.NoticeSucceeded:
		if n := m.Task.Progress.FilesFailed; n > 0 {
			return fmt.Sprintf("Your %s is done, without %d files", what, n)
		}
		return "Your " + what + " succeeded"
	case transfer.NoticeInactive:
		return "Your " + what + " waits for a credential"
	case transfer.NoticeExpiring:
		return "A credential ends before your " + what + " will"
	case transfer.NoticeWaiting:
		return "Your " + what + " waits for space at the destination"
	}
	return "Your " + what + " failed"
}

func advice(m message) string {
	id := m.Task.ID
	switch m.Kind {
	case transfer.NoticeInactive, transfer.NoticeExpiring:
		f := m.Task.LastFault
		if f == nil || f.Kind != fault.Credential {
			return fmt.Sprintf("Give a fresh credential with \"gridferry endpoint activate\", for either of %s and %s. The task goes on by itself, from where it stands.",
				endpointOf(m.Task.Source), endpointOf(m.Task.Destination))
		}
		if f.Reason == transfer.ReasonConfigured {
			return "Put that right, where the credential is kept or at the server: none can be activated for this endpoint. The task goes on by itself, from where it stands, until its deadline."
		}
		return "Give a fresh credential with \"gridferry endpoint activate NAME\". The task goes on by itself, from where it stands, until its deadline."
	case transfer.NoticeWaiting:
		return "Make room at the destination. The task looks again by itself, until its deadline."
	case transfer.NoticeFailed:
		return fmt.Sprintf("\"gridferry details %s\" and \"gridferry events %s\" tell what happened. What arrived is intact: submitting the same again with --sync copies only the rest.", id, id)
	case transfer.NoticeSucceeded:
		if m.Task.Progress.FilesFailed > 0 {
			return fmt.Sprintf("\"gridferry results %s\" lists the files that were given up, and why.", id)
		}
	}
	return ""
}

func endpointOf(location string) string {
	l, err := transfer.ParseLocation(location)
	if err != nil {
		return location
	}
	return l.Endpoint
}

// clean makes a header's value one line: labels and ids are checked at the
// doors, and a raw start of a workflow has none.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// render returns the letter as plain text and as HTML.
func (l letter) render() (text, html string, err error) {
	var b bytes.Buffer
	t, err := template.New("letter.txt").Funcs(template.FuncMap{"clean": clean}).ParseFS(templates, "templates/letter.txt")
	if err == nil {
		err = t.Execute(&b, l)
	}
	if err != nil {
		return "", "", fault.Wrap(fault.Internal, "write", "a mail", err)
	}
	text = b.String()
	b.Reset()
	h, err := htmltemplate.ParseFS(templates, "templates/letter.html")
	if err == nil {
		err = h.Execute(&b, l)
	}
	if err != nil {
		return "", "", fault.Wrap(fault.Internal, "write", "a mail", err)
	}
	return text, b.String(), nil
}
