package activities

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Errors about what is written under a temporary name speak of the file.
func TestErrorsNameTheFile(t *testing.T) {
	for _, c := range []struct{ what, dest, op, path, want string }{
		{"a path", "/to/f", "write", "TEMP", "write /to/f: EOF"},
		{"below another root", "/to/f", "write", "/srv/deepTEMP", "write /srv/deep/to/f: EOF"},
		{"made to be printed", "/to/latin1-\xfc", "write", "/to/.latin1-?.gridferry-5e0c1d367d4b-3", "write /to/latin1-?: EOF"},
		{"something else", "/to/f", "read", "/from/f", "read /from/f: EOF"},
	} {
		temp := transfer.TempPath(c.dest, testTask, 3, 0)
		p := c.path
		if i := len(p) - len("TEMP"); i >= 0 && p[i:] == "TEMP" {
			p = p[:i] + temp
		}
		err := named(fault.Wrap(fault.Transient, c.op, p, io.EOF), temp, c.dest)
		if err.Error() != c.want || !errors.Is(err, io.EOF) || !fault.Is(err, fault.Transient) {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
		if f := toFault(err, "", time.Time{}); f.Message != c.want || c.op+" "+f.Path+": EOF" != c.want {
			t.Errorf("%s: %+v", c.what, f)
		}
	}
	temp := transfer.TempPath("/to/f", testTask, 3, 0)
	for what, err := range map[string]error{
		"stat /to/f: EOF":  fault.Wrap(fault.Transient, "stat", temp, io.EOF),
		"stat /to/g: EOF":  fault.Wrap(fault.Transient, "stat", "/to/g", io.EOF),
		"use lab#dtn: EOF": fault.Wrap(fault.Transient, "use", "lab#dtn", io.EOF),
		io.EOF.Error():     io.EOF,
	} {
		if got := namedByPath(err); got.Error() != what || !errors.Is(got, io.EOF) {
			t.Errorf("%v, want %s", got, what)
		}
	}
	if err := named(nil, "/to/.f", "/to/f"); err != nil {
		t.Errorf("no error: %v", err)
	}
}
