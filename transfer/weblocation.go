package transfer

import (
	"fmt"
	"path"
	"strings"

	"github.com/gridferry/gridferry/fault"
)

// isWeb says that URLs of a scheme have queries. Those of WebDAV, as storage of
// the grid writes them, name files as ftp does.
func isWeb(scheme string) bool { return scheme == "https" || scheme == "http" }

// parseWebPath takes the path of an http or https URL. The first "?" begins a
// query, which stays part of the path as it is written (RFC 3986, 3.4): what a
// signed URL is for is in it. Its slashes are encoded, since it is no
// directories that they part. A fragment never reaches a server, so it is
// refused, and so is a "?" in a name, which could not be told from the other.
func parseWebPath(endpoint, text string) (Location, *fault.Error) {
	if strings.Contains(text, "#") {
		return Location{}, invalid("", `holds a "#"`, "write %23 for the character; fragments are for browsers")
	}
	text, query, asked := strings.Cut(text, "?")
	p, err := percentDecode(text)
	if err != nil {
		return Location{}, invalid("", err.Error(), "write %25 for a percent sign")
	}
	if r, ok := controlCharacter(p); ok {
		return Location{}, invalid("", fmt.Sprintf("holds the control character %U", r), "control characters are not allowed in locations")
	}
	if strings.Contains(p, "?") {
		return Location{}, invalid("", `has a "?" in a name`, "write davs:// instead of https://, where it is an ordinary character")
	}
	loc, ferr := finishLocation(endpoint, p)
	if ferr != nil || !asked || query == "" {
		return loc, ferr
	}
	if loc.Dir && loc.Path != "/" {
		loc.Path += "/"
	}
	loc.Path, loc.Dir = loc.Path+"?"+encodeQuery(query), false
	return loc, nil
}

// encodeQuery encodes slashes, and what cannot stand in a request line.
func encodeQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("/\"<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// webPath is the path of an http or https URL as text.
func webPath(p string) string {
	p, query, asked := strings.Cut(p, "?")
	if asked {
		query = "?" + query
	}
	return percentEncode(p) + query
}

// Base is the name of what is there: the path's last element, without a query.
func (l Location) Base() string {
	p := l.Path
	if scheme, _, ok := strings.Cut(l.Endpoint, "://"); ok && isWeb(scheme) {
		p, _, _ = strings.Cut(p, "?")
	}
	return path.Base(p)
}
