package myproxyd

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/wire/gsi"
)

func TestSubject(t *testing.T) {
	for text, want := range map[string]string{
		"/DC=org/DC=example/CN={user}":                     "/DC=org/DC=example/CN=ada@example.org",
		"/C=DE/ST=Bavaria/L=Munich/O=A B/OU=C/CN=x {user}": "/C=DE/ST=Bavaria/L=Munich/O=A B/OU=C/CN=x ada@example.org",
		"/O=Test/UID={user}/emailAddress={user}":           "/O=Test/UID=ada@example.org/emailAddress=ada@example.org",
	} {
		der, err := subject(t, text).name("ada@example.org")
		if err != nil || gsi.DN(der) != want {
			t.Errorf("%s: %s, %v", text, gsi.DN(der), err)
		}
	}
	for text, want := range map[string]string{
		"":                      "written",
		"CN={user}":             "written",
		"/CN=ada":               "same name",
		"/CN={user}/":           "not NAME=value",
		"/CN={user}/O=":         "not NAME=value",
		"/CN={user}/X=1":        `called "X"`,
		"/CN={user}/C=Germany":  "two letters",
		"/CN={user}/DC=münchen": "ASCII",
		"/CN={user}\n":          "no text",
		"/CN={user}\xff":        "written",
	} {
		if _, err := ParseSubject(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add("/DC=org/DC=example/CN={user}")
	f.Add("/C=DE/O=Ä/emailAddress={user}@example.org")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSubject(text)
		if err != nil {
			return
		}
		der, err := s.name("ada")
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if gsi.DN(der) == "" {
			t.Fatalf("%q makes a name that cannot be read", text)
		}
	})
}
