package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// TestGlobusLibrary: what the Globus client library can say beyond what
// globus-url-copy does by default.
func TestGlobusLibrary(t *testing.T) {
	w := newWorld(t)
	w.write("a file", "hello world")
	c := w.login()
	for _, step := range [][2]string{
		{"MFMT 20200101000000 a file", "213"},
		{"SITE CHMOD 640 a file", "250"},
		{"STAT a file", "213 status of a file; -rw-r-----"},
		{"STAT nofile", "550 GlobusError: v=1 c=PATH_NOT_FOUND"},
		{"STAT", "212"},
		{"SITE VERSION", "200 "},
		{"SITE SETNETSTACK default", "250"},
		{"SITE SETNETSTACK TCP", "250"},
		{"SITE SETNETSTACK udt", "501"},
		{"SITE SETDISKSTACK file", "250"},
		{"SITE SETDISKSTACK popen", "501"},
		{"SITE SBUF 10000", "200"},
		{"SITE RBUFSZ 10000", "200"},
		{"SITE SBUFSZ 10000", "200"},
		{"HELP SITE", "214 Help for SITE:"},
		{"OPTS RETR StripeLayout=Blocked;BlockSize=1048576;", "200"},
		{"OPTS RETR StripeLayout=Partitioned;Parallelism=2,2,2;", "200"},
		{"OPTS RETR Markers=x;", "501"},
		{"OPTS CKSM Markers=2;", "200"},
		{"OPTS PASV AllowDelayed=1;", "200"},
		{"SPAS 2", "229 Entering Striped Passive Mode.; |1|127.0.0.1|"},
		{"SPAS 3", "522"},
		{"SITE CHGRP users a file", "500"},
	} {
		c.do(step[0], step[1])
	}
	for _, command := range []string{"ERET P 2 5 a file", `ERET P="2 5" a file`, `eret p="2 5" a file`} {
		if got := c.fetch(command); got != "llo w" {
			t.Errorf("%s gave %q", command, got)
		}
	}
	for _, command := range []string{`ERET P="2 5 a file`, `ERET P="2" a file`, `ERET P="a b" a file`, `ERET P="1 2"`, `ERET X="1 2" a file`} {
		c.do(command, "501")
	}
	c.put(`ESTO A="6" a file`, "folks")
	w.want("a file", "hello folks")
	e, err := gridftp.ParseListLine(strings.TrimPrefix(c.do("STAT a file", "213").Lines[1], " "), time.Now())
	if err != nil || e.Name != "a file" || e.Size != 11 || e.Mode != 0o640 {
		t.Errorf("STAT told %+v, %v", e, err)
	}
}

// TestListTree: MLSR lists all below a directory by names that count from it,
// and follows no link, least of all one to what it is in.
func TestListTree(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	for _, dir := range []string{"d", "d/sub", "d/sub/deep", "d/empty"} {
		c.do("MKD "+dir, "257")
	}
	for _, name := range []string{"d/f", "d/sub/two words", "d/sub/deep/g"} {
		w.write(name, "x")
	}
	c.do("SITE SYMLINKFROM d", "350")
	c.do("SITE SYMLINKTO d/sub/loop", "250")
	c.do("OPTS MLST Type;", "200")
	lines := strings.Split(strings.TrimSuffix(c.fetch("MLSR d"), "\r\n"), "\r\n")
	want := map[string]bool{
		"Type=cdir; .": true, "Type=file; f": true, "Type=dir; sub": true, "Type=dir; empty": true, "Type=file; sub/two words": true,
		"Type=dir; sub/deep": true, "Type=file; sub/deep/g": true, "Type=dir; sub/loop": true,
	}
	for _, line := range lines {
		if !want[line] {
			t.Errorf("%q is listed, or twice", line)
		}
		delete(want, line)
	}
	for line := range want {
		t.Errorf("%q is not listed", line)
	}
	if got := c.fetch("MLSR d/f"); got != "Type=file; f\r\n" {
		t.Errorf("MLSR of a file: %q", got)
	}
	c.passive()
	c.do("MLSR nodir", "550")
}

// TestSentMarkers: whoever asks for markers of what is sent gets them, and
// nobody else.
func TestSentMarkers(t *testing.T) {
	w := newWorld(t)
	const size = 64 << 20 // more than sockets hold
	w.write("f", "")
	if err := os.Truncate(filepath.Join(w.root, "f"), size); err != nil {
		t.Fatal(err)
	}
	c := w.login()
	c.do("MODE E", "200")
	set := c.receiver()
	for _, step := range []struct {
		option string
		first  int
		asked  bool
	}{{"Markers=1;", 150, true}, {"Markers=0;", 125, false}} {
		c.do("OPTS RETR "+step.option, "200")
		c.send("RETR f")
		sink := heldSink{released: make(chan struct{})}
		received := make(chan error, 1)
		go func() {
			n, err := set.Receive(t.Context(), sink, data.Config{}, data.ReceiveOptions{})
			if err == nil && n != size {
				err = fmt.Errorf("%d bytes came", n)
			}
			received <- err
		}()
		if !step.asked {
			// None may come, and one would after a second.
			time.AfterFunc(1200*time.Millisecond, func() { close(sink.released) })
		}
		c.expect(strconv.Itoa(step.first))
		markers := 0
		var last gridftp.PerfMarker
		r := c.reply()
		for ; r.Code == gridftp.CodePerfMarker; r = c.reply() {
			var err error
			if last, err = gridftp.ParsePerfMarker(r); err != nil {
				t.Error(err)
			}
			if markers++; markers == 1 && step.asked {
				close(sink.released)
			}
		}
		if err := <-received; err != nil || r.Code != 226 {
			t.Fatalf("%s: %v, and the server said %v", step.option, err, r)
		}
		// One meanwhile and one at the end, at least.
		if step.asked != (markers >= 2) || !step.asked && markers > 0 || step.asked && last.Bytes != size {
			t.Errorf("%s: %d markers, and %d bytes counted", step.option, markers, last.Bytes)
		}
	}
}

// A heldSink takes nothing until it is released.
type heldSink struct{ released chan struct{} }

func (s heldSink) WriteAt(b []byte, _ int64) (int, error) {
	<-s.released
	return len(b), nil
}
