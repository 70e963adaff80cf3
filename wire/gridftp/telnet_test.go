package gridftp

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestByte255: the byte goes to each server in the form that it was seen to
// understand, and to others not at all.
func TestByte255(t *testing.T) {
	for greeting, want := range map[string]string{
		"220 ProFTPD Server (Debian) [::1]":               "MKD /a\xff\xffb",
		"220 (vsFTPd 3.0.3)":                              "MKD /a\xffb",
		"220 dtn GridFTP Server 13.24 (gcc64, 1-1) ready": "",
		"220 welcome":                                     "",
	} {
		f := newFake(t, answers(map[string]string{"": greeting}))
		c := f.dial()
		if c.Carries("\xff") != (want != "") || !c.Carries("a\tb ~") {
			t.Errorf("%s: carries the byte 255: %v, a tab: %v", greeting, c.Carries("\xff"), c.Carries("a\tb ~"))
		}
		if globus := strings.Contains(greeting, "GridFTP Server "); c.Carries("\x01") == globus || c.Carries("del\x7f") == globus || c.Carries("日本語") == globus {
			t.Errorf("%s: carries names that are not ASCII, or not printable: %v", greeting, c.Carries("日本語"))
		}
		err := c.Mkdir(bounded(t), "/a\xffb")
		var bad *NameError
		switch {
		case want == "":
			_, getErr := c.Get(bounded(t), Transfer{Path: "/a\xffb"}, TransferOptions{Mode: Stream})
			for what, err := range map[string]error{"MKD": err, "CKSM": second(c.Checksum(bounded(t), "MD5", "/a\xffb", 0, 1, nil)), "RETR": getErr} {
				if !errors.As(err, &bad) || !bad.Telnet {
					t.Errorf("%s, %s: %v", greeting, what, err)
				}
			}
			if strings.Contains(strings.Join(f.heardLines(), "\n"), iac) {
				t.Errorf("%s: heard %q", greeting, f.heardLines())
			}
		case err != nil || !slices.Contains(f.heardLines(), want):
			t.Errorf("%s: %v, heard %q", greeting, err, f.heardLines())
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestByte255ThirdParty(t *testing.T) {
	src, dst := newFake(t, answers(map[string]string{"RETR": "226 done"})), newFake(t, answers(map[string]string{"STOR": "226 done"}))
	list := files(3)
	list[1].Source = "/\xff"
	_, err := moveAll(t, src, dst, Options{}, list)
	var failure *PipelineError
	var bad *NameError
	if !errors.As(err, &failure) || !errors.As(err, &bad) || failure.Index != 1 || failure.Side != "" {
		t.Errorf("got %v", err)
	}
}

// TestLoginDirectory: what PWD says is where the session returns to after the
// commands that must leave it.
func TestLoginDirectory(t *testing.T) {
	for reply, want := range map[string]string{
		`257 "/home/ada" is the current directory`: "/home/ada",
		`257 "/a ""b"" c"`:                         `/a "b" c`,
		`257 "/"`:                                  "/",
		"257 \"/a\xff\xffb\" is":                   "/a\xffb",
		`257 "relative"`:                           "",
		`257 "/unended`:                            "",
		`257 ""`:                                   "",
		`257 what?`:                                "",
		`550 no`:                                   "",
	} {
		f := newFake(t, answers(map[string]string{"": "220 (vsFTPd 3.0.3)", "FEAT": "502 what", "PWD": reply}))
		if got := f.dial().Home(); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
	where := "/home"
	f := newFake(t, func(_ *fakeSession, verb, argument string) string {
		switch verb {
		case "":
			return "220 old server"
		case "FEAT":
			return "502 what"
		case "PWD":
			return `257 "` + where + `"`
		case "CWD":
			if argument == "/none" {
				return "550 no"
			}
			where = argument
		case "SIZE":
			return "550 not a plain file"
		case "MDTM":
			return "550 not a plain file"
		case "PASV":
			return serveData(t, "-rw-r--r-- 1 a b 5 Jan  1  2024 f\r\n")
		case "LIST":
			return "150 here\n226 done"
		}
		return ""
	})
	c := f.dial()
	if e, err := c.Stat(bounded(t), "/some/dir"); err != nil || !e.IsDir() || where != "/home" {
		t.Errorf("Stat: %+v, %v; the session is in %s", e, err, where)
	}
	if err := c.List(bounded(t), "/some/dir", func([]Entry) error { return nil }); err != nil || where != "/home" {
		t.Errorf("List: %v; the session is in %s", err, where)
	}
	var refusal *ReplyError
	if _, err := c.Stat(bounded(t), "/none"); !errors.As(err, &refusal) || where != "/home" {
		t.Errorf("Stat of nothing: %v; the session is in %s", err, where)
	}
}
