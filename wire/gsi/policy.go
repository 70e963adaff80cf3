package gsi

import (
	"errors"
	"fmt"
	"strings"
)

// maxPolicy bounds a signing policy file, in bytes. Real ones have hundreds.
const maxPolicy = 1 << 20

// A signingPolicy says which subjects an authority may sign for: a file
// HASH.signing_policy in the EACL language, read as the Globus tools read it
// (gsi/callback/source/library/oldgaa in the Grid Community Toolkit). What is
// not understood grants nothing.
type signingPolicy struct {
	principals []policyPrincipal
}

type policyPrincipal struct {
	anybody bool
	name    string // of an authority, in policyForm; empty for other principals
	rights  []policyRight
}

// A policyRight is the right to sign for some subjects.
type policyRight struct {
	subjects [][]string // lists of patterns, one of each must match; no list: any subject
	unmet    bool       // it has a condition that is not known here
}

func parseSigningPolicy(text string) (*signingPolicy, error) {
	words, err := policyWords(text)
	if err != nil {
		return nil, err
	}
	p := &signingPolicy{}
	set := 0           // where the rights begin that the next conditions are for
	conditions := true // whether the next right begins another set
	for len(words) > 0 {
		kind := words[0]
		if kind == "access_id_ANYBODY" {
			p.principals = append(p.principals, policyPrincipal{anybody: true})
			words, conditions = words[1:], true
			continue
		}
		if len(words) < 3 {
			return nil, fmt.Errorf("it ends within %.40q", kind)
		}
		authority, value := words[1], words[2]
		words = words[3:]
		if strings.HasPrefix(kind, "access_id_") {
			principal := policyPrincipal{}
			if kind == "access_id_CA" && authority == "X509" {
				principal.name = policyForm(value)
			}
			p.principals = append(p.principals, principal)
			conditions = true
			continue
		}
		if len(p.principals) == 0 {
			return nil, fmt.Errorf("it begins with %.40q instead of access_id_CA", kind)
		}
		rights := &p.principals[len(p.principals)-1].rights
		switch {
		case kind == "pos_rights" || kind == "neg_rights":
			if conditions {
				set, conditions = len(*rights), false
			}
			if kind == "pos_rights" && authority == "globus" && value == "CA:sign" {
				*rights = append(*rights, policyRight{})
			}
		case strings.HasPrefix(kind, "cond_"):
			conditions = true
			for i := set; i < len(*rights); i++ {
				right := &(*rights)[i]
				if kind == "cond_subjects" && authority == "globus" {
					right.subjects = append(right.subjects, policyPatterns(value))
				} else {
					right.unmet = true
				}
			}
		default:
			return nil, fmt.Errorf("%.40q is none of access_id_CA, pos_rights and cond_subjects", kind)
		}
	}
	if len(p.principals) == 0 {
		return nil, errors.New("it is empty")
	}
	return p, nil
}

// policyWords splits at blanks, except between single quotation marks, and
// leaves out comments: words that begin with "#", and the rest of their line. A
// backslash between quotation marks takes the next character's meaning away.
func policyWords(text string) ([]string, error) {
	var words []string
	const blanks = " \t\r\n\v\f"
	for {
		text = strings.TrimLeft(text, blanks)
		switch {
		case text == "":
			return words, nil
		case text[0] == '#':
			_, text, _ = strings.Cut(text, "\n")
		case text[0] == '\'':
			var word strings.Builder
			i := 1
			for ; i < len(text) && text[i] != '\''; i++ {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				word.WriteByte(text[i])
			}
			if i >= len(text) {
				return nil, errors.New("a quotation mark in it is not closed")
			}
			words, text = append(words, word.String()), text[i+1:]
		default:
			i := strings.IndexAny(text, blanks)
			if i < 0 {
				i = len(text)
			}
			words, text = append(words, text[:i]), text[i:]
		}
	}
}

// policyPatterns splits a condition's value: patterns in double quotation
// marks, or one without them.
func policyPatterns(value string) []string {
	var patterns []string
	for part := range strings.SplitSeq(value, `"`) {
		if part = strings.Trim(part, " \t"); part != "" {
			patterns = append(patterns, part)
		}
	}
	return patterns
}

// allows reports whether the authority may sign for the subject; both are DNs
// as DN renders them. Only the first principal that is the authority counts,
// with all that is granted to it.
func (p *signingPolicy) allows(authority, subject string) bool {
	for _, right := range p.rights(authority) {
		if right.allows(policyForm(subject)) {
			return true
		}
	}
	return false
}

func (p *signingPolicy) rights(authority string) []policyRight {
	name := policyForm(authority)
	var rights []policyRight
	var first *policyPrincipal
	for i := range p.principals {
		principal := &p.principals[i]
		if first == nil && (principal.anybody || principal.name != "" && principal.name == name) {
			first = principal
		}
		if first != nil && principal.anybody == first.anybody && principal.name == first.name {
			rights = append(rights, principal.rights...)
		}
	}
	return rights
}

func (r *policyRight) allows(subject string) bool {
	if r.unmet {
		return false
	}
	for _, patterns := range r.subjects {
		matched := false
		for _, pattern := range patterns {
			matched = matched || policyMatch(policyForm(pattern), subject)
		}
		if !matched {
			return false
		}
	}
	return true
}

// policyMatch compares a subject with a pattern, whose last asterisk stands for
// one character or more; any other asterisk is only an asterisk.
func policyMatch(pattern, subject string) bool {
	star := strings.LastIndexByte(pattern, '*')
	if star < 0 {
		return pattern == subject
	}
	before, after := pattern[:star], pattern[star+1:]
	return len(subject) > len(before)+len(after) && strings.HasPrefix(subject, before) && strings.HasSuffix(subject, after)
}

// policyForm is a DN as policies are compared: without case, and with the
// present names of attributes.
func policyForm(dn string) string {
	dn = strings.ToLower(dn)
	for old, present := range map[string]string{"/e=": "/emailaddress=", "/email=": "/emailaddress=", "/userid=": "/uid="} {
		dn = strings.ReplaceAll(dn, old, present)
	}
	return dn
}

// patterns lists what the authority may sign for, for an error.
func (p *signingPolicy) patterns(authority string) string {
	var all []string
	for _, right := range p.rights(authority) {
		for _, patterns := range right.subjects {
			all = append(all, patterns...)
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	if rest := len(all) - maxListed; rest > 0 {
		all = append(all[:maxListed:maxListed], fmt.Sprintf("%d more", rest))
	}
	return strings.Join(all, ", ")
}

// maxListed bounds the lists in errors.
const maxListed = 5
