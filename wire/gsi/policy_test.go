package gsi

import (
	"strings"
	"testing"
)

func TestSigningPolicy(t *testing.T) {
	const ca = "/C=DE/O=GermanGrid/CN=GridKa-CA"
	entry := func(subjects string) string {
		return "access_id_CA X509 '" + ca + "'\npos_rights globus CA:sign\n" + subjects + "\n"
	}
	usual := entry(`cond_subjects globus '"/C=DE/O=GermanGrid/*" "/O=GermanGrid/*"'`)
	for name, tc := range map[string]struct {
		policy, subject string
		ok              bool
	}{
		"inside":                    {usual, "/O=GermanGrid/OU=FZK/CN=Ada", true},
		"inside by the other":       {usual, "/C=DE/O=GermanGrid/CN=Ada", true},
		"outside":                   {usual, "/C=FR/O=GermanGrid/CN=Ada", false},
		"nothing for the asterisk":  {usual, "/O=GermanGrid/", false},
		"prefix of another":         {usual, "/O=GermanGridder/CN=Ada", false},
		"case does not matter":      {usual, "/o=germangrid/cn=ada", true},
		"without double quotes":     {entry(`cond_subjects globus /O=GermanGrid/*`), "/O=GermanGrid/CN=Ada", true},
		"quoted once, with a blank": {entry(`cond_subjects globus '/O=German Grid/*'`), "/O=German Grid/CN=Ada", true},
		"exact":                     {entry(`cond_subjects globus '"/CN=Ada"'`), "/CN=Ada", true},
		"exact, and longer":         {entry(`cond_subjects globus '"/CN=Ada"'`), "/CN=Ada/CN=1", false},
		"asterisk in the middle":    {entry(`cond_subjects globus '"/O=G/*/CN=Ada"'`), "/O=G/OU=x/CN=Ada", true},
		"only the last is a glob":   {entry(`cond_subjects globus '"/O=*/CN=*"'`), "/O=G/CN=Ada", false},
		"everything":                {entry(`cond_subjects globus "*"`), "/O=G/CN=Ada", true},
		"old name of an attribute":  {entry(`cond_subjects globus '"/O=G/Email=a@b"'`), "/O=G/emailAddress=a@b", true},
		"question mark is itself":   {entry(`cond_subjects globus '"/CN=Ad?"'`), "/CN=Ada", false},
		"no condition":              {entry(""), "/CN=Anybody", true},
		"two conditions, both met":  {entry("cond_subjects globus '\"/O=G/*\"'\ncond_subjects globus '\"*/CN=Ada\"'"), "/O=G/CN=Ada", true},
		"two conditions, one met":   {entry("cond_subjects globus '\"/O=G/*\"'\ncond_subjects globus '\"*/CN=Ada\"'"), "/O=G/CN=Bob", false},
		"unknown condition":         {entry("cond_subjects globus '*'\ncond_time globus '1-2'"), "/CN=Ada", false},
		"condition of another kind": {entry("cond_subjects nikhef '*'"), "/CN=Ada", false},
		"several sets":              {entry("cond_subjects globus '\"/O=F/*\"'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=G/*\"'"), "/O=G/CN=Ada", true},
		"condition of a whole set":  {entry("pos_rights globus CA:sign\ncond_subjects globus '\"/O=F/*\"'"), "/O=G/CN=Ada", false},
		"denied":                    {strings.ReplaceAll(usual, "pos_rights", "neg_rights"), "/O=GermanGrid/CN=Ada", false},
		"another right":             {strings.ReplaceAll(usual, "CA:sign", "CA:look"), "/O=GermanGrid/CN=Ada", false},
		"another authority":         {strings.ReplaceAll(usual, "GridKa", "Other"), "/O=GermanGrid/CN=Ada", false},
		"another kind of name":      {strings.ReplaceAll(usual, "X509", "KERBEROS"), "/O=GermanGrid/CN=Ada", false},
		"a user":                    {strings.ReplaceAll(usual, "access_id_CA", "access_id_USER"), "/O=GermanGrid/CN=Ada", false},
		"anybody":                   {"access_id_ANYBODY pos_rights globus CA:sign cond_subjects globus '*'", "/CN=Ada", true},
		"the first that matches":    {strings.ReplaceAll(usual, "CA:sign", "CA:look") + "access_id_ANYBODY pos_rights globus CA:sign", "/CN=Ada", false},
		"in two places":             {usual + entry(`cond_subjects globus '"/O=More/*"'`), "/O=More/CN=Ada", true},
		"rights of the last only":   {"access_id_CA X509 '" + ca + "' access_id_CA X509 /CN=Other pos_rights globus CA:sign", "/CN=Ada", false},
		"comments":                  {"# EACL\n#access_id_CA\n" + usual + "# 'open", "/O=GermanGrid/CN=Ada", true},
		"escapes":                   {entry(`cond_subjects globus '"/CN=O\'Neill"'`), "/CN=O'Neill", true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseSigningPolicy(tc.policy)
			if err != nil {
				t.Fatal(err)
			}
			if p.allows(ca, tc.subject) != tc.ok {
				t.Errorf("%s may be signed for: %v\n%s", tc.subject, !tc.ok, tc.policy)
			}
		})
	}
}

func TestSigningPolicyMalformed(t *testing.T) {
	for text, word := range map[string]string{
		"":                                      "empty",
		"# only a comment":                      "empty",
		"pos_rights globus CA:sign":             "begins with",
		"access_id_CA X509":                     "ends within",
		"access_id_CA X509 'open":               "not closed",
		`access_id_CA X509 'open\'`:             "not closed",
		"access_id_CA X509 /CN=CA and so forth": "none of",
	} {
		if _, err := parseSigningPolicy(text); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want %q", text, err, word)
		}
	}
}

func FuzzSigningPolicy(f *testing.F) {
	f.Add("access_id_CA X509 '/CN=CA'\npos_rights globus CA:sign\ncond_subjects globus '\"/O=G/*\" \"/O=H/*\"'\n", "/O=G/CN=Ada")
	f.Add("access_id_ANYBODY pos_rights globus CA:sign # all", "/CN=Ada")
	f.Fuzz(func(t *testing.T, text, subject string) {
		p, err := parseSigningPolicy(text)
		if err != nil {
			return
		}
		if !strings.Contains(text, "CA:sign") && !strings.Contains(text, `\`) && p.allows("/CN=CA", subject) {
			t.Errorf("%q allows what it does not speak of", text)
		}
		p.patterns("/CN=CA")
	})
}
