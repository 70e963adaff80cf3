package gridftp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseListLine reads one line of LIST as vsftpd, proftpd and Globus write it:
// the form of "ls -l", which no standard fixes.
//
//	-rw-r--r--    1 ftp      ftp            42 Nov 21 01:50 a file
//	lrwxrwxrwx    1 1000     1000            4 Jan  5  2024 link -> a file
//
// Times are taken as UTC, the default of both servers, and have no year when
// they lie less than about half a year from now, which the caller passes. The
// name is all that follows the one space after the date.
func ParseListLine(line string, now time.Time) (Entry, error) {
	fields, name, ok := cutFields(line, 8)
	special := ok && (line[0] == 'b' || line[0] == 'c')
	if special && strings.HasSuffix(fields[4], ",") {
		// Devices show "major, minor" instead of one size.
		if fields, name, ok = cutFields(line, 9); ok {
			fields = append(fields[:4], fields[5:]...)
		}
	}
	if !ok || name == "" || strings.IndexByte(name, 0) >= 0 {
		return Entry{}, syntaxError("listing line", line)
	}
	e := Entry{Name: name, Owner: fields[2], Group: fields[3]}
	var err error
	if e.Type, e.Mode, err = parseModeString(fields[0]); err != nil {
		return Entry{}, syntaxError("listing line", line)
	}
	if e.Size, err = parseCount(fields[4]); err != nil {
		return Entry{}, syntaxError("listing line", line)
	}
	if special {
		e.Size = -1
	}
	if e.ModTime, err = parseListTime(fields[5], fields[6], fields[7], now); err != nil {
		return Entry{}, syntaxError("listing line", line)
	}
	if e.Type == TypeLink {
		if name, target, ok := strings.Cut(name, " -> "); ok && name != "" {
			e.Name, e.LinkTarget = name, target
		}
	}
	return e, nil
}

// isListHeader reports a line that stands for no entry.
func isListHeader(line string) bool {
	rest, ok := strings.CutPrefix(line, "total ")
	if !ok {
		return strings.TrimSpace(line) == ""
	}
	_, err := parseCount(strings.TrimSpace(rest))
	return err == nil
}

// cutFields splits off n fields separated by spaces, and the rest after one
// more space.
func cutFields(line string, n int) (fields []string, rest string, ok bool) {
	for range n {
		line = strings.TrimLeft(line, " ")
		field, after, found := strings.Cut(line, " ")
		if !found {
			return nil, "", false
		}
		fields = append(fields, field)
		line = after
	}
	return fields, line, true
}

// parseModeString reads "-rwxr-sr-t", with a trailing "+", "." or "@" of
// systems with access lists.
func parseModeString(s string) (FileType, int, error) {
	s = strings.TrimRight(s, "+.@")
	if len(s) != 10 {
		return "", 0, syntaxError("mode", s)
	}
	kind := TypeOther
	switch s[0] {
	case '-':
		kind = TypeFile
	case 'd':
		kind = TypeDir
	case 'l':
		kind = TypeLink
	case 'b', 'c', 'p', 's', 'D':
	default:
		return "", 0, syntaxError("mode", s)
	}
	mode := 0
	for i, c := range []byte(s[1:]) {
		bit := 1 << (8 - i)
		special := 0o4000 >> (i / 3) // set-uid, set-gid, sticky, at the x of each group
		switch {
		case c == '-':
		case i%3 == 0 && c == 'r', i%3 == 1 && c == 'w', i%3 == 2 && c == 'x':
			mode |= bit
		case i == 2 && c == 's', i == 5 && c == 's', i == 8 && c == 't':
			mode |= bit | special
		case i == 2 && c == 'S', i == 5 && (c == 'S' || c == 'l'), i == 8 && c == 'T':
			mode |= special
		default:
			return "", 0, syntaxError("mode", s)
		}
	}
	return kind, mode, nil
}

// parseListTime reads "Nov 21 01:50" or "Nov 21 2024".
func parseListTime(month, day, last string, now time.Time) (time.Time, error) {
	now = now.UTC()
	if !strings.Contains(last, ":") {
		return time.Parse("Jan 2 2006", month+" "+day+" "+last)
	}
	// Parsed with a leap year, so that 29 February is a date.
	t, err := time.Parse("Jan 2 15:04 2006", month+" "+day+" "+last+" 2000")
	if err != nil {
		return t, err
	}
	t = t.AddDate(now.Year()-2000, 0, 0)
	// A clock ahead of ours by a day is a clock; further ahead is last year.
	if t.After(now.AddDate(0, 0, 1)) {
		t = t.AddDate(-1, 0, 0)
	}
	return t, nil
}

// FormatListLine writes the entry as ParseListLine reads it.
func FormatListLine(e Entry, now time.Time) string {
	var mode [10]byte
	switch e.Type {
	case TypeDir, CurrentDir, ParentDir:
		mode[0] = 'd'
	case TypeLink:
		mode[0] = 'l'
	case TypeOther:
		mode[0] = 's'
	default:
		mode[0] = '-'
	}
	bits := max(e.Mode, 0)
	for i := range 9 {
		mode[i+1] = '-'
		if bits&(1<<(8-i)) != 0 {
			mode[i+1] = "rwxrwxrwx"[i]
		}
		if i%3 == 2 && bits&(0o4000>>(i/3)) != 0 {
			letter := "sst"[i/3]
			if mode[i+1] == '-' {
				letter -= 'a' - 'A'
			}
			mode[i+1] = letter
		}
	}
	when := e.ModTime.UTC()
	date := when.Format("Jan _2 15:04")
	if when.Before(now.AddDate(0, -6, 0)) || when.After(now.AddDate(0, 0, 1)) {
		date = when.Format("Jan _2  2006")
	}
	name := e.Name
	if e.Type == TypeLink && e.LinkTarget != "" {
		name += " -> " + e.LinkTarget
	}
	return fmt.Sprintf("%s %3d %-8s %-8s %12s %s %s", mode[:], 1, orDash(e.Owner), orDash(e.Group), strconv.FormatInt(max(e.Size, 0), 10), date, name)
}

// orDash gives a column that would be empty, and shift the others, something.
func orDash(s string) string {
	if s = strings.ReplaceAll(s, " ", "_"); s == "" {
		return "-"
	}
	return s
}
