package check

import "strings"

// Names are names of one sort.
type Names struct {
	What  string // as "control characters"
	Names []string
}

// OddNames are names that break parsers, shells, globs, wire formats and
// encodings. Each is legal on a POSIX file system, and none is there twice,
// not even in another case.
func OddNames() []Names {
	return []Names{
		{"blanks and punctuation", []string{
			" leading", "trailing ", "two  spaces", " ", "-rf", "--", "...", "..a", ".hidden", "a..", "~", "~root",
			"*", "?", "[a-z]", "{a,b}", "a;b=c;", "Type=dir; x", "a=b", "semi;", "back\\slash", "quo\"te", "apo'strophe", "`tick`",
			"$HOME", "%41", "100%", "a&b|c", "<a>", "(b)", "#hash", "@at", "!bang", "^", "comma,", "colon:", "a->b", "a -> b",
			"226 Transfer complete.", "550-lie",
		}},
		{"other alphabets", []string{"ümlaut", "u\u0308mlaut", "日本語", "🚢", "\u202etxt", "\u00a0nbsp"}},
		{"200 bytes and more", []string{strings.Repeat("n", 200), strings.Repeat("日", 80)}},
		{"control characters", []string{"tab\there", "bell\x07", "esc\x1b[31m", "del\x7f", "\x01"}},
		{"bytes that are not UTF-8", []string{"latin1-\xfc", "\xff\xfe"}},
	}
}
