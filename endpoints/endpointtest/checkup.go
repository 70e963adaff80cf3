package endpointtest

import (
	"time"

	"github.com/gridferry/gridferry/endpoints/check"
	"github.com/gridferry/gridferry/transfer"
)

// testCheck runs what operators run against their endpoints: of a driver that
// passes this suite it finds nothing broken, finds what Caps claims, and leaves
// nothing behind. The suite asserts more of each call than can be asked of a
// storage where others work, so beyond the names the two share no code.
func testCheck(p *place) {
	path := p.dir
	if path == "" {
		path = "/"
	}
	caps := p.Caps()
	if caps.NoEmptyDirs {
		p.put("there", nil)
	}
	c := check.Run(p.ctx, p.Storage, check.Options{Path: path, Write: path, Name: "gridferry-check", Time: time.Second / 4, Bytes: 9 << 20})
	found := map[string]transfer.Outcome{}
	for _, f := range c.Findings {
		p.Logf("%s: %s in %v: %s", f.Name, f.Outcome, time.Duration(f.Took), f.Seen)
		if found[f.Name] = f.Outcome; f.Outcome == transfer.Broken {
			p.Errorf("%s: %s", f.Name, f.Seen)
		}
	}
	if c.Fault != nil || c.Left != "" {
		p.Errorf("the check ended with %+v, and left %q", c.Fault, c.Left)
	}
	for name, claimed := range map[string]bool{
		"written in ranges": caps.Ranges || caps.Parts.Most > 0, "checksums at the server": len(caps.Checksums) > 0,
		"times": caps.Times, "modes": caps.Modes, "links": caps.Links,
		"empty folders": !caps.NoEmptyDirs,
	} {
		if got := found[name]; claimed != (got == transfer.Works) {
			p.Errorf("%s: %s, and Caps says %v", name, got, claimed)
		}
	}
	if caps.NoEmptyDirs {
		p.ok(p.Remove(p.ctx, p.path("there")))
	}
	if left := p.list(""); len(left) != 0 {
		p.Errorf("left: %v", left)
	}
}
