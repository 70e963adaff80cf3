package gridftp

import (
	"slices"
	"strings"
)

// Features is what a server's FEAT lists (RFC 2389): names in upper case, each
// with its parameters, which may be empty. A feature listed twice has both
// parameter texts, joined by a space.
type Features map[string]string

// maxFeatures bounds the features kept of one reply.
const maxFeatures = 500

// ParseFeatures reads a 211 reply to FEAT.
func ParseFeatures(r Reply) (Features, error) {
	if r.Code != 211 {
		return nil, syntaxError("features", r.String())
	}
	f := make(Features)
	for _, line := range r.Middle() {
		name, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" || len(f) >= maxFeatures {
			continue
		}
		name = strings.ToUpper(name)
		if had := f[name]; had != "" {
			params = had + " " + params
		}
		f[name] = strings.TrimSpace(params)
	}
	return f, nil
}

// Reply returns the 211 reply that lists the features, in order of name.
func (f Features) Reply() Reply {
	if len(f) == 0 {
		return Reply{Code: 211, Lines: []string{"No features."}}
	}
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	lines := []string{"Extensions supported:"}
	for _, name := range names {
		lines = append(lines, strings.TrimRight(" "+name+" "+f[name], " "))
	}
	return Reply{Code: 211, Lines: append(lines, "End.")}
}

// Has reports whether the feature is listed.
func (f Features) Has(name string) bool {
	_, ok := f[strings.ToUpper(name)]
	return ok
}

// Checksums returns the algorithms of CKSM the server offers, the one it
// prefers first. The Globus server gives each a weight, "MD5:10;SHA256:11;",
// and the larger one is the stronger, not the preferred; it is ignored, and
// the order is the server's.
func (f Features) Checksums() []string {
	var names []string
	for part := range strings.FieldsFuncSeq(f["CKSM"], func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		name, _, _ := strings.Cut(part, ":")
		if name = strings.ToUpper(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// Facts returns the names of the MLST facts the server can give, in lower
// case, and which of them it gives by default.
func (f Features) Facts() map[string]bool {
	facts := make(map[string]bool)
	for part := range strings.SplitSeq(f["MLST"], ";") {
		name, byDefault := strings.CutSuffix(strings.TrimSpace(part), "*")
		if name != "" {
			facts[strings.ToLower(name)] = byDefault
		}
	}
	return facts
}

// DCSC reports whether the server takes data channel credentials of type P.
func (f Features) DCSC() bool {
	return slices.ContainsFunc(strings.FieldsFunc(f["DCSC"], func(r rune) bool { return r == ',' || r == ' ' }),
		func(kind string) bool { return strings.EqualFold(kind, "P") })
}
