// Package setup writes a site's configuration. Each answer, from a flag or a
// prompt, is checked against what there really is - the authorities, the host's
// certificate, the servers, Temporal - before anything is written, and what is
// wrong is said with what to do about it.
package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/workers"
)

// Program is what the command gets from outside.
type Program struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       bool // Stdin and Stderr are one: people are asked

	// Temporal says whether a Temporal server answers and has the namespace.
	Temporal func(ctx context.Context, address, namespace string) error
	// CreateNexus makes a Nexus endpoint on the Temporal cluster.
	CreateNexus func(ctx context.Context, name, namespace, queue string) error
}

// Command returns "setup".
func (p Program) Command() *cobra.Command {
	var a Answers
	var output string
	var check, replace bool
	c := &cobra.Command{
		Use:   "setup",
		Short: "Write the configuration of a site's daemon, and check it against reality",
		Long: `Writes gridferryd.yaml from prompts or flags. Every answer is checked against what
there is: the authorities that are believed, the host's certificate and key, the
gridmap, the MyProxy and GridFTP servers, Temporal, directories and the mail server.
What is wrong is said, with what to do about it.

With --check it writes nothing and checks the answers alone. A file that is there
is not touched, unless --replace keeps it under another name first.`,
		Example: `  # asks, on a terminal
  gridferry setup

  # a site that has its own GridFTP server, without questions
  gridferry setup --endpoint lab#dtn=dtn.lab.example.org --myproxy myproxy.lab.example.org \
      --temporal temporal.lab.example.org:7233 --output /etc/gridferry/gridferryd.yaml

  # another namespace may ask this one for transfers
  gridferry setup nexus gridferry --target-namespace default`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.fill()
			asJSON, _ := c.Flags().GetBool("json") // the root's; without it there is none
			if p.Terminal && !asJSON {
				if err := p.ask(c, &a); err != nil {
					return err
				}
			}
			return p.run(c.Context(), a, run{output, check, replace, asJSON})
		},
	}
	for _, q := range questions() {
		q.flag(c.Flags(), &a)
	}
	c.Flags().StringArrayVar(&a.Endpoints, "endpoint", nil, "`NAME=HOST[:PORT][,HOST...]` of a GridFTP endpoint; may be repeated")
	c.Flags().StringVarP(&output, "output", "o", defaultOutput(), "`file` to write, - for standard output")
	c.Flags().BoolVar(&check, "check", false, "only check")
	c.Flags().BoolVar(&replace, "replace", false, "write although the file is there, which is kept as FILE.before-TIME")
	c.AddCommand(p.nexusCommand())
	return c
}

func defaultOutput() string {
	if os.Geteuid() == 0 {
		return "/etc/gridferry/gridferryd.yaml"
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "gridferryd.yaml"
	}
	return filepath.Join(dir, "gridferry", "gridferryd.yaml")
}

// run says what to do with the answers.
type run struct {
	output         string
	check, replace bool
	json           bool
}

// run checks the answers and writes the file.
func (p Program) run(ctx context.Context, a Answers, r run) error {
	findings := p.Check(ctx, a)
	text, err := a.Config()
	if err != nil {
		return err
	}
	findings = append(findings, readBack(text)...)
	problems := 0
	for _, f := range findings {
		if f.Level == Problem {
			problems++
		}
	}
	written := ""
	if problems == 0 && !r.check {
		if written, err = p.write(r.output, text, r.replace); err != nil {
			return err
		}
	}
	if r.json {
		out := json.NewEncoder(p.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(map[string]any{"findings": findings, "written": written}); err != nil {
			return fault.Wrap(fault.Internal, "write", "standard output", err)
		}
	} else {
		for _, f := range findings {
			fmt.Fprintln(p.Stderr, f)
		}
		if written != "" {
			fmt.Fprintf(p.Stderr, "Wrote %s. Start the daemon with: gridferryd run --config %s\n", written, written)
		}
	}
	if problems > 0 {
		return &fault.Error{Kind: fault.Invalid, Op: "set up", Err: fmt.Errorf("%d answers do not hold; nothing was written", problems),
			Hint: "mend what is marked with ✗ and run it again"}
	}
	return nil
}

// readBack reads the configuration as the daemon will.
func readBack(text []byte) []Finding {
	dir, err := os.MkdirTemp("", "gridferry-setup")
	if err != nil {
		return []Finding{problem("configuration", err, "")}
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "gridferryd.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return []Finding{problem("configuration", err, "")}
	}
	c, err := config.Load(config.Options{Path: file, Environ: []string{}})
	if err != nil {
		return []Finding{problem("configuration", err, "")}
	}
	var findings []Finding
	for _, wrong := range c.Check(workers.CheckRecord) {
		findings = append(findings, Finding{Level: Problem, About: wrong.Key, Text: wrong.Message, Hint: wrong.Hint})
	}
	return findings
}

// write writes the file as a whole, and never over another one.
func (p Program) write(output string, text []byte, replace bool) (string, error) {
	const op = "write"
	if output == "-" {
		_, err := p.Stdout.Write(text)
		return "", fault.Wrap(fault.Internal, op, "standard output", err)
	}
	failed := func(err error) (string, error) {
		kind := fault.Internal
		if errors.Is(err, fs.ErrPermission) {
			kind = fault.Permission
		}
		return "", fault.Wrap(kind, op, output, err)
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return failed(err)
	}
	if _, err := os.Lstat(output); err == nil {
		if !replace {
			return "", &fault.Error{Kind: fault.Exists, Op: op, Path: output, Err: errors.New("it is there already"), Hint: "give --replace, which keeps it under another name, or another --output"}
		}
		if err := os.Link(output, output+".before-"+time.Now().UTC().Format("20060102T150405.000Z")); err != nil {
			return failed(err)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(output), ".gridferryd-*.yaml")
	if err != nil {
		return failed(err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing of that name
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(0o644) // it holds no secret; the daemon may run as somebody else
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), output)
	}
	if err != nil {
		return failed(err)
	}
	return output, nil
}

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // works, but look at it
	Problem Level = "problem" // will not work
)

// Finding is what a check found.
type Finding struct {
	Level Level  `json:"level"`
	About string `json:"about"` // the question
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// String renders it in a line.
func (f Finding) String() string {
	mark := map[Level]string{OK: "✓", Warning: "!", Problem: "✗"}[f.Level]
	s := fmt.Sprintf("%s %s: %s", mark, f.About, strings.TrimSpace(f.Text))
	if f.Hint != "" {
		s += " (" + f.Hint + ")"
	}
	return s
}

func ok(about, format string, args ...any) Finding {
	return Finding{Level: OK, About: about, Text: fmt.Sprintf(format, args...)}
}

func warning(about, text, hint string) Finding { return Finding{Warning, about, text, hint} }

func problem(about string, err error, hint string) Finding {
	return Finding{Problem, about, err.Error(), hint}
}
