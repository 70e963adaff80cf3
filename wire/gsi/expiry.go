package gsi

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// WarnBefore is how long before its end something is worth a warning.
const WarnBefore = 14 * 24 * time.Hour

// An ExpiryKind is a kind of thing that ends.
type ExpiryKind string

// The kinds.
const (
	ExpiryHost      ExpiryKind = "host certificate"
	ExpiryAuthority ExpiryKind = "authority"       // its certificate
	ExpiryCRL       ExpiryKind = "revocation list" // of an authority
)

// An Expiry is the end of something that logins depend on.
type Expiry struct {
	Kind ExpiryKind
	Name string    // DN of the holder, or of the authority
	File string    // where it was read, without a directory; empty when that is not known
	Ends time.Time // when it is of no use any more
}

// Warning is a sentence for an operator, or empty while the end is more than
// WarnBefore away.
func (e Expiry) Warning(now time.Time) string {
	left := e.Ends.Sub(now)
	if left > WarnBefore {
		return ""
	}
	when := fmt.Sprintf("ends on %s, in %s", e.Ends.UTC().Format(time.RFC3339), roughly(left))
	if left <= 0 {
		when = fmt.Sprintf("ended on %s", e.Ends.UTC().Format(time.RFC3339))
	}
	switch e.Kind {
	case ExpiryHost:
		return fmt.Sprintf("the host certificate of %s %s: without a new one nobody will reach this host", e.Name, when)
	case ExpiryCRL:
		return fmt.Sprintf("the revocation list %s of %s %s: without a new one, as fetch-crl brings it, nobody from that authority will be let in", e.File, e.Name, when)
	}
	return fmt.Sprintf("the certificate %s of the authority %s %s: without a new one nobody from it will be let in", e.File, e.Name, when)
}

func roughly(d time.Duration) string {
	if days := int(d.Hours() / 24); days > 1 {
		return fmt.Sprintf("%d days", days)
	}
	return fmt.Sprintf("%d hours", int(d.Hours()))
}

// HostExpiry is the end of the credential of a host, whichever certificate of
// its chain ends first.
func (c *Credential) HostExpiry() Expiry {
	return Expiry{Kind: ExpiryHost, Name: c.Identity(), Ends: c.NotAfter()}
}

// Expiries lists the ends of the roots and of each authority's newest
// revocation list, the earliest first.
func (t *Trust) Expiries() []Expiry {
	var all []Expiry
	for _, root := range t.rootCerts {
		all = append(all, Expiry{ExpiryAuthority, DN(root.cert.RawSubject), root.file, root.cert.NotAfter})
	}
	for _, lists := range t.crls {
		newest := slices.MaxFunc(lists, func(a, b *crl) int { return a.list.ThisUpdate.Compare(b.list.ThisUpdate) })
		if end := newest.list.NextUpdate; !end.IsZero() {
			all = append(all, Expiry{ExpiryCRL, DN(newest.list.RawIssuer), newest.file, end})
		}
	}
	slices.SortFunc(all, func(a, b Expiry) int {
		if order := a.Ends.Compare(b.Ends); order != 0 {
			return order
		}
		return strings.Compare(a.File, b.File)
	})
	return all
}
