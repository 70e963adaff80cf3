package starter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gridferry/gridferry/transfer"
)

const batchHelp = `A batch file names one item a line, between the same two endpoints:

    # comments and empty lines are left out
    gsiftp://a.example.org/data/x.h5   gsiftp://b.example.org/in/x.h5
    gsiftp://a.example.org/data/run 7  is three words, so quote what has spaces:
    "gsiftp://a.example.org/data/run 7/"  gsiftp://b.example.org/in/run7/  -r

-r or --recursive copies what is in a directory. Words are quoted with "..." or
'...', and a backslash takes the next character as it is. A file named "-" is
standard input.`

// maxLine bounds a batch line in bytes: two locations of the longest sort.
const maxLine = 64 << 10

// batchItem is an item and where it was written.
type batchItem struct {
	transfer.Item
	line int
}

// parseBatch reads a batch file. Errors are Invalid and name the line.
func parseBatch(r io.Reader, name string) ([]batchItem, error) {
	var items []batchItem
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	line := 0
	for scanner.Scan() {
		line++
		at := fmt.Sprintf("line %d of %s", line, name)
		words, err := splitWords(scanner.Text())
		if err != nil {
			return nil, invalid(at, err.Error(), "run \"gridferry help batch\" to see what a line looks like")
		}
		if len(words) == 0 {
			continue
		}
		item := batchItem{line: line}
		var places []string
		for _, w := range words {
			if w == "-r" || w == "--recursive" {
				item.Recursive = true
			} else {
				places = append(places, w)
			}
		}
		if len(places) != 2 {
			return nil, invalid(at, fmt.Sprintf("has %d locations", len(places)), "write SOURCE DESTINATION [-r], and quote what has spaces")
		}
		item.Source, item.Destination = places[0], places[1]
		if items = append(items, item); len(items) > transfer.MaxItems {
			return nil, invalid(at, fmt.Sprintf("is item %d", len(items)), fmt.Sprintf("at most %d fit a task; name directories, or start several", transfer.MaxItems))
		}
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, invalid(fmt.Sprintf("line %d of %s", line+1, name), fmt.Sprintf("is longer than %d bytes", maxLine), "write one item a line")
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(items) == 0 {
		return nil, invalid(name, "names no items", "write SOURCE DESTINATION [-r], one a line")
	}
	return items, nil
}

// splitWords splits a line as a shell would, without expanding anything.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			if i++; i == len(line) {
				return nil, errors.New("ends in a backslash")
			}
			word.WriteByte(line[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\r':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '#' && !inWord:
			return words, nil
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("has a %c that is not closed", quote)
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
