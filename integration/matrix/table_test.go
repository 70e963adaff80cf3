package matrix_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/workers"
)

var update = flag.Bool("update", false, "write the table of what kinds can do into README.md")

// readme has the table between two lines.
const (
	readme     = "../../README.md"
	tableBegin = "<!-- what the drivers say of real servers: go test ./integration/matrix -run TestTable -update -->\n"
	tableEnd   = "<!-- end -->\n"
)

// TestTable: the table in the README is what the drivers say of the
// servers, as a worker opens them.
func TestTable(t *testing.T) {
	s := newSite(t)
	c, err := config.Load(config.Options{Path: s.Conf})
	must(t, err)
	opener, err := workers.NewOpener(c, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(opener.Close)
	var table strings.Builder
	table.WriteString("| kind | server | written in ranges | straight to another server | checksums at the server | times | modes | links |\n|---|---|---|---|---|---|---|---|\n")
	for _, k := range s.kinds {
		rec, err := opener.Resolve(t.Context(), k.endpoint())
		must(t, err)
		opened, err := opener.Open(t.Context(), rec, "", "")
		must(t, err)
		table.WriteString(row(k, opened))
		must(t, opened.Close())
	}
	text, err := os.ReadFile(readme)
	must(t, err)
	head, rest, found := strings.Cut(string(text), tableBegin)
	old, tail, ended := strings.Cut(rest, tableEnd)
	switch {
	case !found || !ended:
		t.Fatalf("%s has no place for the table", readme)
	case *update:
		must(t, os.WriteFile(readme, []byte(head+tableBegin+table.String()+tableEnd+tail), 0o644))
	case old != table.String():
		t.Errorf("%s says otherwise; with -update the test writes it:\n%s", readme, &table)
	}
}

// row is what a kind can do, asked for as the engine does.
func row(k *kind, s endpoints.Storage) string {
	caps := s.Caps()
	_, sends := s.(endpoints.ThirdParty)
	_, sums := s.(endpoints.Checksummer)
	_, times := s.(endpoints.TimeSetter)
	_, modes := s.(endpoints.ModeSetter)
	_, links := s.(endpoints.Linker)
	if sends {
		sends = s.(endpoints.ThirdParty).Reaches(s) == nil
	}
	ranges := answer(caps.Ranges)
	if !caps.Ranges && caps.Parts.Most > 0 {
		ranges = fmt.Sprintf("as parts of %d MiB and more", caps.Parts.Least/mib)
	}
	checksums := "none: read back"
	if sums && len(caps.Checksums) > 0 {
		checksums = strings.Join(caps.Checksums, ", ")
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", caps.Kind, k.server,
		ranges, answer(sends), checksums, answer(times && caps.Times), answer(modes && caps.Modes), answer(links && caps.Links))
}

func answer(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
