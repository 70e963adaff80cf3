package transcript

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

// Names of sessions.
const (
	only        = "session"
	source      = "source"
	destination = "destination"
)

// Scenarios returns all that were recorded.
func Scenarios() []Scenario {
	var all []Scenario
	one := func(name, about string, data bool, run func(*Play) error, peers ...Peer) {
		for _, peer := range peers {
			all = append(all, Scenario{Name: name + "-" + string(peer), About: about, Peer: peer, Sessions: []string{only}, Data: data && peer != Globus, Run: run})
		}
	}
	one("login", "A login, and what the server says it can do.", false, login, Vsftpd, Proftpd, GlobusAnonymous, GlobusPassword, Globus)
	one("delegation", "A login that leaves the server a proxy.", false, loginDelegating, Globus)
	one("refused", "A login as somebody we are not.", false, loginRefused, Proftpd, Globus)
	one("listing", "Looking at files and directories, by the best means the server has.", true, listing, Vsftpd, Proftpd, GlobusAnonymous, Globus)
	one("part", "Reading from the middle of a file.", true, readPart, Vsftpd, Proftpd, GlobusAnonymous)
	one("metadata", "Making, renaming, changing and removing.", false, metadata, Vsftpd, Proftpd, Globus)
	one("errors", "What cannot be done, and what the client understands of the refusal.", false, refusals, Vsftpd, Proftpd, GlobusAnonymous, Globus)
	one("checksum", "Checksums of a file, a part of it, and of nothing.", false, checksums, Globus)

	long := Scenario{Name: "checksum-alive-globus", About: "A checksum that takes so long that the server gives signs of life.", Peer: Globus, Sessions: []string{only}, Sparse: sparse, Run: longChecksum}
	all = append(all, long)

	pair := func(name, about string, peer Peer, run func(*Play) error) {
		all = append(all, Scenario{Name: "thirdparty-" + name + "-" + string(peer), About: about, Peer: peer, Sessions: []string{source, destination}, Run: run})
	}
	pair("single", "One file from server to server, of a size that is announced.", Globus, single)
	pair("single", "One file from server to server.", GlobusAnonymous, single)
	pair("single", "One file between servers without extended block mode.", Proftpd, single)
	pair("pipelined", "Five files at once, each with its checksum.", Globus, pipelined(gridftp.Options{Checksum: "SHA256", Markers: 5 * time.Second}))
	pair("parallel", "Five files at once over four private connections.", Globus, pipelined(gridftp.Options{Parallelism: 4, Auth: gridftp.AuthSelf, Prot: gsi.Private}))
	pair("striped", "Five files at once, with the addresses of all stripes.", Globus, pipelined(gridftp.Options{Striped: true, Buffer: 1 << 20}))
	pair("source-refuses", "The third of five files is not there. The servers pair commands by their order\nalone, so the destination stores the fourth one's bytes under the third one's\nname and says 226 to that: the client must believe nothing from there on.", Globus, refusedAtSource)
	pair("destination-refuses", "The third of five files cannot be stored.", Globus, refusedAtDestination)
	pair("parts", "Parts of a file, each to its place.", Globus, parts)
	pair("restart", "What a destination lacks of a file, between two whole ones.", Globus, restart)
	return all
}

// describe tells what the client understood of an error.
func describe(err error) string {
	var refusal *gridftp.ReplyError
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, gridftp.ErrNotDirectory):
		return "not a directory"
	case !errors.As(err, &refusal):
		return "failed"
	}
	text := fmt.Sprintf("refused with %d", refusal.Reply.Code)
	for _, meaning := range []struct {
		name string
		is   bool
	}{
		{"not found", refusal.NotFound()},
		{"exists", refusal.Exists()},
		{"permission", refusal.Permission()},
		{"not a directory", refusal.NotDirectory()},
		{"is a directory", refusal.IsDirectory()},
		{"login", refusal.Login()},
		{"unsupported", refusal.Unsupported()},
		{"no space", refusal.NoSpace()},
		{"data channel", refusal.DataChannel()},
		{"busy", refusal.Busy()},
	} {
		if meaning.is {
			text += ", " + meaning.name
		}
	}
	if refusal.Errno != 0 {
		text += fmt.Sprintf(", errno %d", int(refusal.Errno))
	}
	return text
}

func login(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	noteSession(p, c)
	return c.Quit(p)
}

func noteSession(p *Play, c *gridftp.Client) {
	p.Note("greeting: %s", c.Greeting())
	p.Note("login directory: %s", c.Home())
	p.Note("features: %s", strings.Join(slices.Sorted(maps.Keys(c.Features())), " "))
	p.Note("checksums: %s", strings.Join(c.Features().Checksums(), " "))
	p.Note("facts: %s", strings.Join(slices.Sorted(maps.Keys(c.Features().Facts())), " "))
	p.Note("delegated: %v, DCSC: %v", c.Delegated(), c.Features().DCSC())
}

func loginDelegating(p *Play) error {
	c, err := p.Dial(only, func(c *gridftp.Config) { c.Delegation = gridftp.DelegateAlways })
	if err != nil {
		return err
	}
	noteSession(p, c)
	return c.Quit(p)
}

func loginRefused(p *Play) error {
	_, err := p.Dial(only, func(c *gridftp.Config) { c.User, c.Password = "nobody", "wrong" })
	if err == nil {
		return errors.New("logged in as nobody")
	}
	p.NoteError("log in as nobody", err)
	return nil
}

func listing(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, name := range []string{"a file", "dir", "dir/two words", "none"} {
		e, err := c.Stat(p, p.Path(only, name))
		p.NoteError("stat "+name, err)
		if err == nil {
			p.Note("  %s", entryText(e))
		}
	}
	for _, name := range []string{"dir", "empty", "a file", "none"} {
		var entries []string
		err := c.List(p, p.Path(only, name), func(page []gridftp.Entry) error {
			for _, e := range page {
				entries = append(entries, "  "+e.Name+": "+entryText(e))
			}
			return nil
		})
		p.NoteError("list "+name, err)
		slices.Sort(entries)
		for _, e := range entries {
			p.Note("%s", e)
		}
	}
	return c.Quit(p)
}

func entryText(e gridftp.Entry) string {
	when := "no time"
	if !e.ModTime.IsZero() {
		when = e.ModTime.Format(time.RFC3339)
	}
	return fmt.Sprintf("%s, %d bytes, mode %o, %s", e.Type, e.Size, e.Mode, when)
}

func readPart(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	defer c.Close()
	in, err := c.Open(p, p.Path(only, "a file"), 6, -1, gridftp.TransferOptions{Mode: gridftp.Stream})
	if err != nil {
		return err
	}
	b, err := io.ReadAll(in)
	p.Note("from 6: %q", b)
	if err := errors.Join(err, in.Close()); err != nil {
		return err
	}
	_, err = c.Get(p, gridftp.Transfer{Path: p.Path(only, "none")}, gridftp.TransferOptions{Mode: gridftp.Stream})
	p.NoteError("get none", err)
	return c.Quit(p)
}

func metadata(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	defer c.Close()
	path := func(name string) string { return p.Path(only, name) }
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"mkdir", func() error { return c.Mkdir(p, path("new dir")) }},
		{"rename", func() error { return c.Rename(p, path("f0"), path("new dir/moved")) }},
		{"rename onto another", func() error { return c.Rename(p, path("f2"), path("new dir/moved")) }},
		{"set time", func() error { return c.SetModTime(p, path("f3"), time.Unix(1_000_000_000, 0)) }},
		{"set mode", func() error { return c.Chmod(p, path("f3"), 0o600) }},
		{"remove file", func() error { return c.RemoveFile(p, path("new dir/moved")) }},
		{"remove dir", func() error { return c.RemoveDir(p, path("new dir")) }},
	} {
		p.NoteError(step.what, step.do())
	}
	size, err := c.Size(p, path("f3"))
	p.NoteError(fmt.Sprintf("size %d", size), err)
	at, err := c.ModTime(p, path("f3"))
	p.NoteError("time "+at.Format(time.RFC3339), err)
	return c.Quit(p)
}

func refusals(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	defer c.Close()
	path := func(name string) string { return p.Path(only, name) }
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"make what is there", func() error { return c.Mkdir(p, path("dir")) }},
		{"make without parent", func() error { return c.Mkdir(p, path("none/dir")) }},
		{"make below a file", func() error { return c.Mkdir(p, path("a file/dir")) }},
		{"remove a full dir", func() error { return c.RemoveDir(p, path("dir")) }},
		{"remove a dir as a file", func() error { return c.RemoveFile(p, path("empty")) }},
		{"remove a file as a dir", func() error { return c.RemoveDir(p, path("a file")) }},
		{"remove nothing", func() error { return c.RemoveFile(p, path("none")) }},
		{"rename nothing", func() error { return c.Rename(p, path("none"), path("x")) }},
		{"rename into nothing", func() error { return c.Rename(p, path("a file"), path("none/x")) }},
		{"size of nothing", func() error { _, err := c.Size(p, path("none")); return err }},
		{"a name too long", func() error { return c.Mkdir(p, path(strings.Repeat("x", 300))) }},
	} {
		p.NoteError(step.what, step.do())
	}
	return c.Quit(p)
}

func checksums(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, sum := range []struct {
		alg, name      string
		offset, length int64
	}{{"MD5", "a file", 0, -1}, {"SHA256", "big", 1000, 5000}, {"ADLER32", "f1", 0, -1}, {"SHA512", "none", 0, 1}, {"CRC32", "a file", 0, 11}} {
		got, err := c.Checksum(p, sum.alg, p.Path(only, sum.name), sum.offset, sum.length, nil)
		p.NoteError(fmt.Sprintf("%s of %s: %q", sum.alg, sum.name, got), err)
	}
	return c.Quit(p)
}

// sparse is the size of a file whose checksum takes a server some seconds.
const sparse = 3 << 30

func longChecksum(p *Play) error {
	c, err := p.Dial(only)
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := c.Checksum(p, "MD5", p.Path(only, "sparse"), 0, -1, nil)
	p.NoteError(got, err)
	return c.Quit(p)
}

// move runs a third-party transfer and notes what became of each file.
func move(p *Play, o gridftp.Options, files ...gridftp.File) error {
	src, err := p.Dial(source)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := p.Dial(destination)
	if err != nil {
		return err
	}
	defer dst.Close()
	i := 0
	var outcomes []gridftp.Outcome
	err = gridftp.ThirdParty(p, src, dst, o, func(context.Context) (gridftp.File, bool) {
		i++
		if i > len(files) {
			return gridftp.File{}, false
		}
		return files[i-1], true
	}, gridftp.Observer{Done: func(o gridftp.Outcome) { outcomes = append(outcomes, o) }})
	if len(outcomes) != len(files) {
		return errors.Join(fmt.Errorf("%d outcomes of %d files", len(outcomes), len(files)), err)
	}
	for _, o := range outcomes {
		switch {
		case o.Err != nil:
			p.Note("file %d: %s", o.Index, describe(o.Err))
		case err == nil: // else it depends on which server was faster, how many are proven
			p.Note("file %d: %d bytes %s %s", o.Index, o.Bytes, o.SourceSum, o.DestSum)
		}
	}
	var failure *gridftp.PipelineError
	if errors.As(err, &failure) {
		p.Note("blamed: file %d at the %s; sessions dropped: %v", failure.Index, failure.Side, src.Err() != nil && dst.Err() != nil)
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(src.Quit(p), dst.Quit(p))
}

// treeFiles are those that a pipeline moves, all under new names.
func treeFiles(p *Play) []gridftp.File {
	var files []gridftp.File
	for i, f := range slices.DeleteFunc(Tree(), func(f TreeFile) bool { return len(f.Name) != 2 }) {
		files = append(files, gridftp.File{Source: p.Path(source, f.Name), Dest: p.Path(destination, "to "+f.Name), Size: f.Size, Key: i})
	}
	return files
}

func single(p *Play) error {
	return move(p, gridftp.Options{}, gridftp.File{Source: p.Path(source, "huge"), Dest: p.Path(destination, "copy"), Size: 16 << 20})
}

func pipelined(o gridftp.Options) func(*Play) error {
	return func(p *Play) error { return move(p, o, treeFiles(p)...) }
}

func refusedAtSource(p *Play) error {
	files := treeFiles(p)
	files[2].Source = p.Path(source, "none")
	return move(p, gridftp.Options{}, files...)
}

func refusedAtDestination(p *Play) error {
	files := treeFiles(p)
	files[2].Dest = p.Path(destination, "none/f2")
	return move(p, gridftp.Options{}, files...)
}

func parts(p *Play) error {
	var files []gridftp.File
	for _, part := range []gridftp.Range{{Off: 0, End: 1_000_000}, {Off: 1_000_000, End: 2_500_000}, {Off: 2_500_000, End: 3_000_000}} {
		files = append(files, gridftp.File{Source: p.Path(source, "big"), Dest: p.Path(destination, "parts"), Size: 3_000_000, Part: &part})
	}
	return move(p, gridftp.Options{Checksum: "MD5"}, files...)
}

func restart(p *Play) error {
	files := treeFiles(p)[:3]
	// The destination's own "big" holds the same; what Have leaves out is moved.
	files[1] = gridftp.File{Source: p.Path(source, "big"), Dest: p.Path(destination, "big"), Size: 3_000_000,
		Have: gridftp.NewRangeSet(gridftp.Range{Off: 0, End: 1_000_000}, gridftp.Range{Off: 1_500_000, End: 2_000_000})}
	return move(p, gridftp.Options{}, files...)
}
