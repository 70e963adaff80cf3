package gridftp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A FileType is what sort of thing a listing entry is.
type FileType string

// The file types. CurrentDir and ParentDir are the listed directory itself and
// the one above, which MLSD may list beside the contents.
const (
	TypeFile   FileType = "file"
	TypeDir    FileType = "dir"
	TypeLink   FileType = "link" // a symbolic link whose target's type the server did not say
	TypeOther  FileType = "other"
	CurrentDir FileType = "cdir"
	ParentDir  FileType = "pdir"
)

// An Entry is one thing in a listing, or the answer to MLST. Names are the
// server's bytes, unchanged: they need not be UTF-8, and a name in a
// directory may hold line ends, which no command can carry back.
type Entry struct {
	Name    string // in a directory listing without its directory; in MLST as the server gives it
	Type    FileType
	Size    int64     // bytes; -1 when not known
	ModTime time.Time // UTC; zero when not known
	Mode    int       // permission bits, 0 to 07777; -1 when not known
	Owner   string    // name, or number where the server has no name; may be empty
	Group   string    // as Owner
	Perm    string    // RFC 3659's perm fact: what the session may do; may be empty
	Unique  string    // names the same thing under whatever path (device and inode); may be empty

	// LinkTarget is set when the name is a symbolic link whose target is
	// known. Globus's servers then say of the other fields what is true of the
	// target, and give the target as an absolute path; they leave out links
	// that lead nowhere. From LIST the other fields are the link's own.
	LinkTarget string
}

// IsLink reports whether the entry is a symbolic link.
func (e Entry) IsLink() bool { return e.Type == TypeLink || e.LinkTarget != "" }

// IsDir reports whether the entry is a directory, or a link to one.
func (e Entry) IsDir() bool {
	return e.Type == TypeDir || e.Type == CurrentDir || e.Type == ParentDir
}

// timeVal is the layout of RFC 3659's time values, always in UTC.
const timeVal = "20060102150405"

// FormatTime writes t as MDTM, MFMT and the modify fact have it, in whole
// seconds.
func FormatTime(t time.Time) string { return t.UTC().Format(timeVal) }

// ParseTime reads a time value, with or without a fraction of a second.
func ParseTime(text string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	t, err := time.Parse(timeVal, whole)
	if err != nil || len(whole) != len(timeVal) {
		return time.Time{}, syntaxError("time", text)
	}
	if fraction != "" {
		nanos, err := parseFraction(fraction)
		if err != nil {
			return time.Time{}, syntaxError("time", text)
		}
		t = t.Add(time.Duration(nanos))
	}
	return t, nil
}

// parseFraction reads the digits after a decimal point as nanoseconds.
func parseFraction(digits string) (int64, error) {
	if len(digits) > 9 {
		digits = digits[:9]
	}
	nanos, err := parseCount(digits)
	for range 9 - len(digits) {
		nanos *= 10
	}
	return nanos, err
}

// ParseFacts reads one line of MLSD, or of MLST's and MLSC's replies without
// their leading space (RFC 3659, 7.2): "fact=value;fact=value; name". The name
// is all that follows the first space, byte by byte.
func ParseFacts(line string) (Entry, error) {
	facts, name, ok := strings.Cut(line, " ")
	if !ok || name == "" || strings.IndexByte(name, 0) >= 0 {
		return Entry{}, syntaxError("facts", line)
	}
	e := Entry{Name: name, Type: TypeOther, Size: -1, Mode: -1}
	var uid, gid string
	for fact := range strings.SplitSeq(strings.TrimSuffix(facts, ";"), ";") {
		if fact == "" {
			continue
		}
		key, value, ok := strings.Cut(fact, "=")
		if !ok {
			return Entry{}, syntaxError("fact", fact)
		}
		var err error
		switch strings.ToLower(key) {
		case "type":
			e.setType(value)
		case "size", "sizd":
			e.Size, err = parseCount(value)
		case "modify":
			e.ModTime, err = ParseTime(value)
		case "unix.mode":
			var mode uint64
			mode, err = strconv.ParseUint(value, 8, 32)
			e.Mode = int(mode & 0o7777)
		case "unix.owner", "unix.ownername":
			e.Owner = value
		case "unix.group", "unix.groupname":
			e.Group = value
		case "unix.uid":
			uid = value
		case "unix.gid":
			gid = value
		case "perm":
			e.Perm = value
		case "unique":
			e.Unique = value
		case "unix.slink":
			e.LinkTarget = percentDecode(value)
		}
		if err != nil {
			return Entry{}, syntaxError("fact", fact)
		}
	}
	if e.Owner == "" {
		e.Owner = uid
	}
	if e.Group == "" {
		e.Group = gid
	}
	return e, nil
}

func (e *Entry) setType(value string) {
	switch lower := strings.ToLower(value); {
	case lower == "file", lower == "dir", lower == "cdir", lower == "pdir":
		e.Type = FileType(lower)
	case strings.HasPrefix(lower, "os.unix=slink"), strings.HasPrefix(lower, "os.unix=symlink"):
		// proftpd and pure-ftpd: "OS.unix=slink:/target" or without a target.
		e.Type = TypeLink
		if _, target, ok := strings.Cut(value, ":"); ok {
			e.LinkTarget = percentDecode(target)
		}
	}
}

// FormatFacts writes the entry as ParseFacts reads it, with the facts it has,
// in the order and spelling of the Globus server. The name must not be empty
// nor hold CR, LF or NUL.
func FormatFacts(e Entry) string {
	var b strings.Builder
	b.WriteString("Type=")
	switch e.Type {
	case TypeLink:
		b.WriteString("OS.unix=slink:" + percentEncode(e.LinkTarget))
	case TypeOther, "":
		b.WriteString("OS.unix=special")
	default:
		b.WriteString(string(e.Type))
	}
	b.WriteByte(';')
	fact := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=" + value + ";")
		}
	}
	if !e.ModTime.IsZero() {
		fact("Modify", FormatTime(e.ModTime))
	}
	if e.Size >= 0 {
		fact("Size", strconv.FormatInt(e.Size, 10))
	}
	fact("Perm", e.Perm)
	if e.Mode >= 0 {
		fact("UNIX.mode", fmt.Sprintf("%04o", e.Mode&0o7777))
	}
	fact("UNIX.owner", percentEncode(e.Owner))
	fact("UNIX.group", percentEncode(e.Group))
	fact("Unique", e.Unique)
	if e.LinkTarget != "" && e.Type != TypeLink {
		fact("UNIX.slink", percentEncode(e.LinkTarget))
	}
	b.WriteByte(' ')
	b.WriteString(e.Name)
	return b.String()
}

// percentEncode hides what would end a fact or a line; the Globus server
// encodes the targets of links in this way, and nothing else.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == ';' || c == '%' || c == 0x7f {
			b.WriteString(string([]byte{'%', hex[c>>4], hex[c&15]}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// percentDecode undoes percentEncode; a percent sign that no two hexadecimal
// digits follow stays.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(v))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
