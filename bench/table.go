package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// WriteTable shows a report to people: what was compared, one table for each
// class with the ratios first, and what the names mean.
func WriteTable(w io.Writer, r Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "gridferry %s, %s, %d CPUs", r.Version, r.Machine.System, r.Machine.CPUs)
	if r.Machine.Load != nil {
		fmt.Fprintf(&b, ", load average %.1f before the start", *r.Machine.Load)
	}
	fmt.Fprintf(&b, "\n%s\nto %s\n", r.Source, r.Destination)
	fmt.Fprintf(&b, "%d rounds after %d of warming up, %s in all; encryption %s\n", r.Rounds, r.Warmup, formatSeconds(r.Seconds), onOff(r.Encrypt))
	b.WriteString("RATIO is gridferry's rate over the contender's: above 1, gridferry is faster.\n")
	for _, res := range r.Results {
		b.WriteByte('\n')
		writeResult(&b, res, r.Rounds)
	}
	b.WriteByte('\n')
	writeNames(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// writeResult says of whom there are fewer rounds.
func writeResult(b *strings.Builder, res Result, rounds int) {
	fmt.Fprintf(b, "%s (%s), verification %s: %s\n", res.Class, transfer.FormatBytes(res.Class.Bytes()), onOff(res.Verify), Headline(res.Summary))
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	header := "RATIO\t95 %\tCONTENDER\tFILES/S\tRATE\tMEDIAN\tIQR\tSERVER CPU/FILE\tCLIENT CPU/FILE\tTEMPORAL CPU/FILE"
	parts := 1.0 // of a file, that CPU times are told of
	if res.Class.Size >= smallestOfGiB {
		header = strings.ReplaceAll(header, "CPU/FILE", "CPU/GiB")
		parts = (1 << 30) / float64(res.Class.Size)
	}
	if res.Class.Each {
		header += "\tREQUEST"
	}
	fmt.Fprintln(t, header)
	for _, row := range res.Summary.Rows {
		if row.Error != "" {
			fmt.Fprintf(t, "-\t-\t%s\tfailed: %s\n", row.Contender, row.Error)
			continue
		}
		ratio, bounds := "-", "-"
		if row.Ratio != nil {
			ratio = formatRatio(*row.Ratio)
		}
		if row.Bounds != nil {
			bounds = formatBounds(*row.Bounds)
		}
		name := row.Contender
		if row.Rounds < rounds {
			name += fmt.Sprintf(" (%d of %d)", row.Rounds, rounds)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s to %s\t%s\t%s\t%s", ratio, bounds, name,
			significant(row.Files), transfer.FormatRate(row.Bytes), formatSeconds(row.Seconds), formatSeconds(row.IQR.Low), formatSeconds(row.IQR.High),
			formatCPU(row.ServerCPU, parts), formatCPU(row.ClientCPU, parts), formatCPU(row.EngineCPU, parts))
		if res.Class.Each {
			fmt.Fprintf(t, "\t%s", formatSeconds(row.Seconds/float64(res.Class.Files)))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	writeDropped(b, res.Dropped)
	writeQuiet(b, res.Rounds)
}

// writeQuiet says how quiet the machine was, from the first to the last round
// that counts.
func writeQuiet(b *strings.Builder, rounds []Round) {
	var loads, others []string
	for _, r := range rounds {
		if r.Round < 0 {
			continue
		}
		if r.Before != nil && r.After != nil {
			loads = append(loads, fmt.Sprintf("%.1f to %.1f", *r.Before, *r.After))
		}
		if r.Others != nil {
			others = append(others, fmt.Sprintf("%.2f", *r.Others))
		}
	}
	if len(loads) > 0 {
		fmt.Fprintf(b, "Load average in each round: %s.", strings.Join(loads, ", "))
	}
	if len(others) > 0 {
		fmt.Fprintf(b, " CPUs busy with other things: %s.", strings.Join(others, ", "))
	}
	if len(loads)+len(others) > 0 {
		b.WriteByte('\n')
	}
}

// Headline says in a line how gridferry did against the best of its peers.
func Headline(s Summary) string {
	if s.Best == nil {
		return "no comparison"
	}
	line := fmt.Sprintf("gridferry has %s the rate of the best peer, %s", formatRatio(s.Best.Ratio), s.Best)
	if s.Null != nil {
		line += fmt.Sprintf("; %s that of the null client, %s", formatRatio(s.Null.Ratio), s.Null)
	}
	return line
}

// String is who, and how sure.
func (b *Best) String() string {
	if b.Bounds == nil {
		return b.Contender
	}
	return fmt.Sprintf("%s (95 %%: %s)", b.Contender, formatBounds(*b.Bounds))
}

// writeNames explains the contenders that ran, and who did not.
func writeNames(b *strings.Builder, r Report) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range r.Contenders {
		fmt.Fprintf(t, "%s\t%s\n", c.Name, c)
	}
	t.Flush()
	for _, p := range r.Programs {
		fmt.Fprintf(b, "%s is %s, %s\n", p.Name, p.Path, p.Version)
	}
	if len(r.NotAsked) > 0 {
		fmt.Fprintf(b, "Not asked: %s.\n", strings.Join(r.NotAsked, ", "))
	}
	for _, l := range r.LeftOut {
		fmt.Fprintf(b, "Left out: %s\n", l)
	}
	for _, remark := range r.Remarks {
		fmt.Fprintf(b, "%s\n", remark)
	}
}

// String is who, where and why.
func (l LeftOut) String() string {
	if l.Class != nil {
		return fmt.Sprintf("%s for %s: %s", l.Name, l.Class, l.Reason)
	}
	return l.Name + ": " + l.Reason
}

func formatRatio(r float64) string { return fmt.Sprintf("%.2fx", r) }

func formatBounds(i Interval) string { return fmt.Sprintf("%.2f to %.2f", i.Low, i.High) }

// significant has three digits that mean something, and no exponent.
func significant(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func formatSeconds(s float64) string {
	switch {
	case s >= 100:
		return transfer.FormatDuration(time.Duration(s * float64(time.Second)))
	case s >= 1:
		return fmt.Sprintf("%.2f s", s)
	}
	return fmt.Sprintf("%.0f ms", 1000*s)
}

func formatCPU(perFile *float64, files float64) string {
	if perFile == nil {
		return "-"
	}
	s := *perFile * files
	if s >= 1 {
		return fmt.Sprintf("%.2f s", s)
	}
	return fmt.Sprintf("%s ms", significant(1000*s))
}
