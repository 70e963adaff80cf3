package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestGridmap(t *testing.T) {
	g, err := ParseGridmap(strings.Join([]string{
		"\ufeff\"/O=Test/CN=Windows\" win\r",
		`# comment`,
		``,
		`"/DC=org/DC=grid/CN=Ada Lovelace" ada`,
		`  "/O=Test/CN=Bob \"the\" Builder"   bob, robert`,
		`"/O=Test/CN=Back\\slash" back`,
		`/O=Test/CN=bare bare`,
		`"/O=Test/CN=Twice" one`,
		`"/O=Test/CN=Twice" two`,
		`"/O=Test/emailAddress=a@b" mail`,
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for dn, want := range map[string][]string{
		"/DC=org/DC=grid/CN=Ada Lovelace": {"ada"},
		`/O=Test/CN=Bob "the" Builder`:    {"bob", "robert"},
		`/O=Test/CN=Back\slash`:           {"back"},
		"/O=Test/CN=bare":                 {"bare"},
		"/O=Test/CN=Windows":              {"win"},
		"/O=Test/CN=Twice":                {"one", "two"},
		"/O=Test/Email=a@b":               {"mail"}, // the old name of the same attribute
		"/O=Test/CN=ada lovelace":         nil,
		"/O=Test/CN=Twice/CN=1":           nil,
		"":                                nil,
	} {
		if got, err := g.Users(dn); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", dn, got, err, want)
		}
	}
}

func TestGridmapsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`"/O=Test/CN=x`:     "line 1: a quotation mark is not closed",
		"#\n\"/O=Test\"":    `line 2: "/O=Test" is mapped to nobody`,
		`/O=Test/CN=nobody`: "mapped to nobody",
	} {
		if _, err := ParseGridmap(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestGridmapIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "grid-mapfile")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`"/CN=a" one`)
	g, err := LoadGridmap(file)
	if err != nil {
		t.Fatal(err)
	}
	write(`"/CN=a" another`)
	if got, err := g.Users("/CN=a"); err != nil || !slices.Equal(got, []string{"another"}) {
		t.Errorf("after a change: got %v, %v", got, err)
	}
	// One that became wrong lets nobody in, rather than who was in before.
	write(`"/CN=a`)
	if got, err := g.Users("/CN=a"); err == nil {
		t.Errorf("a broken map gave %v", got)
	}
}

func FuzzGridmap(f *testing.F) {
	f.Add(`"/DC=org/CN=Ada Lovelace" ada,root`)
	f.Add(`"/CN=\"` + "\n" + `/CN=x\\ y`)
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseGridmap(text)
		if err != nil {
			return
		}
		for _, e := range entries {
			if len(e.users) == 0 || slices.Contains(e.users, "") {
				t.Fatalf("%q gave %q no user", text, e.dn)
			}
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{"USER anonymous", "\xff\xf4\xff\xf2ABOR", "REST 0-1,3-4", "ERET P 0 10 a b", "", " ", "cwd  x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		req := parseRequest(line)
		if strings.Contains(req.verb, " ") || req.verb != strings.ToUpper(req.verb) {
			t.Fatalf("%q has the verb %q", line, req.verb)
		}
		if _, err := parseRestart(req.arg); err == nil && req.arg == "" {
			t.Fatal("nothing is a restart marker")
		}
		if n, path, ok := cutModule(req.arg, "P", 2); ok && (len(n) != 2 || n[0] < 0 || n[1] < 0 || path == "") {
			t.Fatalf("%q was read as %v of %q", req.arg, n, path)
		}
		p, err := cleanPath("/home", req.arg)
		if err == nil && (!strings.HasPrefix(p, "/") || strings.Contains(p+"/", "/../") || strings.ContainsAny(p, "\x00\r\n")) {
			t.Fatalf("%q became the path %q", req.arg, p)
		}
	})
}
