package gridftp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridferry/gridferry/wire/gsi"
)

func TestLogin(t *testing.T) {
	f := newFake(t, answers(nil))
	var log bytes.Buffer
	config := f.config()
	config.User, config.Password = "ada", "s3cret"
	config.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := Dial(bounded(t), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(bounded(t)); err != nil {
		t.Error(err)
	}
	if got := f.heardLines(); !reflect.DeepEqual(got[:3], []string{"USER ada", "PASS s3cret", "FEAT"}) {
		t.Errorf("the server heard %q", got)
	}
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "PASS ***") {
		t.Errorf("the log shows the password, or not the command:\n%s", &log)
	}
	if c.Err() == nil || c.Noop(bounded(t)) == nil {
		t.Error("the session can be used after Quit")
	}
	if c.Quit(bounded(t)) != nil || c.Close() != nil {
		t.Error("ending twice is an error")
	}
}

func TestLoginRefused(t *testing.T) {
	for name, test := range map[string]struct {
		script map[string]string
		is     func(*ReplyError) bool
	}{
		"full":         {script: map[string]string{"": "421 Too many connections, try again later"}, is: (*ReplyError).Busy},
		"wrong user":   {script: map[string]string{"PASS": "530 Login incorrect."}, is: (*ReplyError).Login},
		"USER alone":   {script: map[string]string{"USER": "530 no"}, is: (*ReplyError).Login},
		"no binary":    {script: map[string]string{"TYPE": "504 no"}, is: (*ReplyError).Unsupported},
		"ACCT in turn": {script: map[string]string{"PASS": "332 and the account?"}, is: func(e *ReplyError) bool { return e.Reply.Code == 332 }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, answers(test.script))
			_, err := Dial(bounded(t), f.config())
			var refusal *ReplyError
			if !errors.As(err, &refusal) || !test.is(refusal) {
				t.Errorf("got %v", err)
			}
		})
	}
	f := newFake(t, answers(map[string]string{"FEAT": "502 what?", "SITE": "500 what?"}))
	if c, err := Dial(bounded(t), f.config()); err != nil || len(c.Features()) != 0 {
		t.Errorf("a server without FEAT: %v", err)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, config := range map[string]Config{
		"scheme":               {Scheme: "http", Addr: "h"},
		"no host":              {Scheme: FTP, Addr: ":21"},
		"line end in user":     {Scheme: FTP, Addr: "h", User: "a\r\nDELE /x"},
		"line end in password": {Scheme: FTP, Addr: "h", Password: "a\nb"},
		"protection in clear":  {Scheme: FTP, Addr: "h", Prot: gsi.Private},
		"no credential":        {Scheme: GSIFTP, Addr: "h"},
		"protection":           {Scheme: FTP, Addr: "h", Prot: 'X'},
	} {
		config.Dialer = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%s: something was contacted", name)
			return nil, os.ErrInvalid
		}
		if _, err := Dial(bounded(t), config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	credential, err := gsi.NewEphemeral("ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{"h": "h:2811", "h:1": "h:1", "::1": "[::1]:2811", "[::1]:5": "[::1]:5"} {
		c, err := Config{Scheme: GSIFTP, Addr: in, Credential: credential, Trust: new(gsi.Trust)}.normalize()
		if err != nil || c.Addr != want {
			t.Errorf("address %q became %q, %v; want %q", in, c.Addr, err, want)
		}
	}
}

// TestDeadlines: a server that says nothing ends the session, with a timeout;
// a context that ends does too, at once, with its own error.
func TestDeadlines(t *testing.T) { synctest.Test(t, testDeadlines) }

func testDeadlines(t *testing.T) {
	silent := answers(map[string]string{"NOOP": "-"})
	f := newPiped(t, silent)
	config := f.config()
	config.Timeouts.Reply = 50 * time.Millisecond
	c, err := Dial(bounded(t), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Noop(bounded(t)); !errors.Is(err, os.ErrDeadlineExceeded) || c.Err() == nil {
		t.Errorf("a silent server gave %v; the session: %v", err, c.Err())
	}
	c = f.dial()
	ctx, cancel := context.WithCancel(bounded(t))
	go func() {
		eventually(t, "the command arrives", func() bool { return strings.Count(strings.Join(f.heardLines(), " "), "NOOP") == 2 })
		cancel()
	}()
	if err := c.Noop(ctx); !errors.Is(err, context.Canceled) || !errors.Is(c.Err(), context.Canceled) {
		t.Errorf("cancelling gave %v; the session: %v", err, c.Err())
	}
	mute := newPiped(t, answers(map[string]string{"": "220-and then"}))
	config = mute.config()
	config.Timeouts = Timeouts{Dial: 20 * time.Millisecond, Login: 20 * time.Millisecond, Reply: time.Minute}
	if _, err := Dial(bounded(t), config); err == nil {
		t.Error("a login that never ends succeeded")
	}
}

func TestServerCloses(t *testing.T) {
	f := newFake(t, answers(map[string]string{"NOOP": "421 idle for too long"}))
	c := f.dial()
	var refusal *ReplyError
	if err := c.Noop(bounded(t)); !errors.As(err, &refusal) || !errors.As(c.Err(), &refusal) {
		t.Errorf("421 gave %v and left the session with %v", err, c.Err())
	}
	f = newFake(t, func(s *fakeSession, verb, _ string) string {
		if verb == "NOOP" {
			s.Close()
		}
		return ""
	})
	c = f.dial()
	if err := c.Noop(bounded(t)); err == nil || c.Err() == nil {
		t.Errorf("a closed connection gave %v and left the session with %v", err, c.Err())
	}
}

func TestRefusalLeavesSession(t *testing.T) {
	f := newFake(t, answers(map[string]string{"DELE": "550 no such file", "RNFR": "550 no such file", "RNTO": "503 RNFR first"}))
	c := f.dial()
	var refusal *ReplyError
	for name, err := range map[string]error{"DELE": c.RemoveFile(bounded(t), "/x"), "RNFR": c.Rename(bounded(t), "/x", "/y")} {
		if !errors.As(err, &refusal) || !refusal.NotFound() {
			t.Errorf("%s gave %v", name, err)
		}
	}
	if err := c.Noop(bounded(t)); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	f := newFake(t, answers(nil))
	c := f.dial()
	before := len(f.heardLines())
	ctx := bounded(t)
	for _, name := range []string{"", "a\r\nDELE /b", "a\nb", "a\x00b"} {
		var bad *NameError
		_, statErr := c.Stat(ctx, name)
		_, sumErr := c.Checksum(ctx, "MD5", name, 0, -1, nil)
		_, getErr := c.Get(ctx, Transfer{Path: name}, TransferOptions{Mode: Stream})
		for what, err := range map[string]error{
			"Stat": statErr, "Checksum": sumErr, "Get": getErr,
			"List": c.List(ctx, name, nil), "Mkdir": c.Mkdir(ctx, name), "Rename": c.Rename(ctx, "/a", name),
			"Symlink": c.Symlink(ctx, name, "/x"), "Chmod": c.Chmod(ctx, name, 0o644), "SetModTime": c.SetModTime(ctx, name, time.Now()),
		} {
			if !errors.As(err, &bad) {
				t.Errorf("%s of %q gave %v", what, name, err)
			}
		}
		c = f.dial()
	}
	for _, line := range f.heardLines()[before:] {
		if strings.HasPrefix(line, "DELE") {
			t.Errorf("the server heard %q", line)
		}
	}
}

func TestListing(t *testing.T) {
	collect := func(c *Client, path string) ([]string, error) {
		var names []string
		err := c.List(bounded(t), path, func(page []Entry) error {
			for _, e := range page {
				names = append(names, e.Name)
			}
			return nil
		})
		return names, err
	}
	mlsd := "type=cdir; .\r\ntype=file;size=1; a b\r\ntype=file; new\nline\r\ntype=dir; d\r\n"
	ls := "total 3\r\ndrwxr-xr-x 2 a b 1 Jan  1  2024 .\r\n-rw-r--r-- 1 a b 5 Jan  1  2024 a b\r\n-rw-r--r-- 1 a b 5 Jan  1  2024  new\r\n"
	for name, test := range map[string]struct {
		script map[string]string
		want   []string
		fails  bool
	}{
		"MLSC":                                     {map[string]string{"MLSC": "250-Contents\n type=cdir; .\n type=file; a b\n type=dir; d\n250 End"}, []string{"a b", "d"}, false},
		"MLSC in several replies":                  {map[string]string{"MLSC": "150-Contents\n type=file; a\n150 End\n150-Contents\n type=file; b\n150 End\n250-Contents\n type=cdir; .\n250 End"}, []string{"a", "b"}, false},
		"MLSC with a line end in a name":           {map[string]string{"MLSC": "250-Contents\n type=cdir; .\n type=file; a\nb\n250 End"}, []string{"a\r\nb"}, false},
		"MLSC with a forged end":                   {map[string]string{"MLSC": "250-Contents\n type=cdir; .\n type=file; a\n250 End\n type=file; b\n250 End"}, nil, true},
		"MLSC with a way out":                      {map[string]string{"MLSC": "250-Contents\n type=cdir; .\n type=file; ../x\n250 End"}, nil, true},
		"MLSC of a file":                           {map[string]string{"MLSC": "250-Contents\n type=file; dir\n250 End", "MLST": "250-st\n type=file; /dir\n250 End"}, nil, true},
		"MLSC of a folder with its own name in it": {map[string]string{"MLSC": "250-Contents\n type=file; dir\n250 End", "MLST": "250-st\n type=dir; /dir\n250 End"}, []string{"dir"}, false},
		"MLSD":         {map[string]string{"FEAT": "211-x\n MLST type*;\n211 End", "PASV": serveData(t, mlsd), "MLSD": "150 here\n226 done"}, []string{"a b", "new\nline", "d"}, false},
		"MLSD garbage": {map[string]string{"FEAT": "211-x\n MLST type*;\n211 End", "PASV": serveData(t, "type=file\r\n"), "MLSD": "150 here\n226 done"}, nil, true},
		"MLSD cut off": {map[string]string{"FEAT": "211-x\n MLST type*;\n211 End", "PASV": serveData(t, mlsd), "MLSD": "150 here\n426 broke"}, nil, true},
		"LIST":         {map[string]string{"FEAT": "502 what", "PASV": serveData(t, ls), "LIST": "150 here\n226 done"}, []string{"a b", " new"}, false},
		"LIST refused": {map[string]string{"FEAT": "502 what", "LIST": "550 no", "PASV": serveData(t, "")}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(newFake(t, answers(test.script)).dial(), "/some/dir")
			if (err != nil) != test.fails || !test.fails && !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
	// What the caller says ends the listing, and leaves the session usable.
	c := newFake(t, answers(map[string]string{"MLSC": "250-Contents\n type=file; a\n type=file; b\n250 End"})).dial()
	stop := errors.New("stop")
	if err := c.List(bounded(t), "/d", func([]Entry) error { return stop }); err != stop {
		t.Errorf("got %v, want the caller's own error", err)
	}
	if err := c.Noop(bounded(t)); err != nil {
		t.Error(err)
	}
}

func TestChecksumWaits(t *testing.T) {
	release := make(chan struct{})
	f := newFake(t, func(s *fakeSession, verb, argument string) string {
		switch verb {
		case "CKSM":
			if argument != "SHA256 5 100 /x y" {
				t.Errorf("CKSM %s", argument)
			}
			s.say("113 still at it")
			<-release
			return "213 ABCDEF01"
		}
		return ""
	})
	config := f.config()
	c, err := Dial(bounded(t), config)
	if err != nil {
		t.Fatal(err)
	}
	alive := 0
	sum, err := c.Checksum(bounded(t), "sha256", "/x y", 5, 100, func() {
		if alive++; alive == 1 {
			close(release)
		}
	})
	if err != nil || sum != "abcdef01" || alive == 0 {
		t.Errorf("got %q, %v; heard of %d times", sum, err, alive)
	}
	for _, bad := range []string{"213 ", "213 xyz", "213 12 34"} {
		f := newFake(t, answers(map[string]string{"CKSM": bad}))
		if sum, err := f.dial().Checksum(bounded(t), "MD5", "/x", 0, 1, nil); err == nil {
			t.Errorf("%q was taken for the checksum %q", bad, sum)
		}
	}
}
