package setup

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
)

// ask asks for what no flag has said. A wrong answer is asked for again.
func (p Program) ask(c *cobra.Command, a *Answers) error {
	in := bufio.NewReader(p.Stdin)
	line := func(prompt, preset string) (string, error) {
		if preset != "" {
			prompt += " [" + preset + "]"
		}
		fmt.Fprintf(p.Stderr, "%s: ", prompt)
		text, err := in.ReadString('\n')
		if err != nil && (err != io.EOF || text == "") {
			return "", fault.New(fault.Canceled, "ask", prompt, "the input ended; nothing was written")
		}
		switch text = strings.TrimSpace(text); text {
		case "":
			return preset, nil
		case "-": // without, where there is something preset
			return "", nil
		}
		return text, nil
	}
	fmt.Fprintln(p.Stderr, `Enter takes what stands in brackets; "-" means none.`)
	pending := []question(nil) // those whose check comes with a later one
	for _, q := range questions() {
		pending = append(pending, q)
		if q.check == nil {
			continue
		}
		for again := false; ; again = true {
			for _, q := range pending {
				if c.Flags().Changed(q.name) && !again {
					continue
				}
				answer, err := line(q.prompt, *q.answer(a))
				if err != nil {
					return err
				}
				*q.answer(a) = answer
			}
			a.fill()
			if !p.show(q.check(p, c.Context(), *a)) {
				break
			}
		}
		pending = nil
	}
	for !c.Flags().Changed("endpoint") {
		text, err := line("GridFTP endpoint, as lab#dtn=dtn.lab.example.org (empty: no more)", "")
		if err != nil {
			return err
		}
		if text == "" {
			break
		}
		if !p.show(p.checkEndpoint(c.Context(), *a, text)) {
			a.Endpoints = append(a.Endpoints, text)
		}
	}
	return nil
}

// show tells what was found and reports whether something is wrong.
func (p Program) show(findings []Finding) (wrong bool) {
	for _, f := range findings {
		fmt.Fprintln(p.Stderr, "  "+f.String())
		wrong = wrong || f.Level == Problem
	}
	return wrong
}
