// Package spelling finds the name that somebody probably meant to write, for
// messages that say what was wrong with another. It knows letters, and nothing
// of what they mean.
package spelling

import "strings"

// longest is how many bytes are still taken for a misspelt name: looking for a
// near one takes time with the square of it.
const longest = 64

// Nearest returns the name that is closest to what somebody wrote, the first of
// several, when at most half of his letters are wrong; case does not count.
func Nearest(wrote string, names []string) (name string, ok bool) {
	if len(wrote) > longest {
		return "", false
	}
	wrote = strings.ToLower(wrote)
	least := len(wrote)/2 + 1
	for _, n := range names {
		if d := distance(wrote, strings.ToLower(n)); d < least {
			name, least, ok = n, d, true
		}
	}
	return name, ok
}

// distance is Levenshtein's: how many bytes to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1) // from what was seen of a to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
