package main

import (
	"context"
	"errors"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Check finds what depends on the path that is looked at: nothing but "/~" and
// "/scratch" is sound.
func (f *fake) Check(ctx context.Context, at transfer.Place, req transfer.CheckRequest, tell func(string)) (transfer.Checkup, error) {
	loc, err := transfer.ParseLocation(at.Location)
	if err != nil {
		return transfer.Checkup{}, err
	}
	if loc.Endpoint == "lab#strange" {
		return transfer.Checkup{}, &fault.Error{Kind: fault.Credential, Op: "log in to", Path: "lab#strange", Err: errors.New("530 Login incorrect"), Hint: "check the password file"}
	}
	tell("login")
	c := transfer.Checkup{Location: loc.String(), Kind: "gridftp", Server: "220 dtn1\x1b GridFTP Server ready.", Says: []string{"CKSM SHA256:10;", "\x1b[2JMFMT"}, RTT: transfer.Duration(12 * time.Millisecond), Findings: []transfer.Finding{
		{Name: "login", Outcome: transfer.Works, Took: transfer.Duration(41 * time.Millisecond), Seen: "took 41 ms, round trip 12 ms", Means: "one session that waits for each answer does 83 requests a second at most"},
		{Name: "written in ranges", Outcome: transfer.NotTried, Seen: "declared; --write tries it"},
		{Name: "modes", Outcome: transfer.Cannot, Seen: "no", Means: "permissions are not kept"},
	}}
	if req.Write != "" {
		c.Findings[1] = transfer.Finding{Name: "written in ranges", Outcome: transfer.Works, Seen: "in " + req.Write}
	}
	switch loc.Path {
	case "/broken":
		c.Findings[2] = transfer.Finding{Name: "modes", Outcome: transfer.Broken, Seen: "set to 0640, it is 0600", Means: "permissions are not kept"}
		c.Left = "/broken/gridferry-check-1"
	case "/gone":
		c.Fault = &transfer.Fault{Kind: fault.NotFound, Message: "stat /gone: 550 No such file"}
	}
	return c, nil
}
