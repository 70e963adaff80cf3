package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
	"github.com/gridferry/gridferry/wire/gridftp/server"
)

// A world is a running server.
type world struct {
	t      testing.TB
	server *server.Server
	addr   string
	dir    *dir
	root   string

	mu        sync.Mutex
	transfers []server.Transfer
}

// newWorld starts a server for anonymous users who may write, unless edit says
// otherwise.
func newWorld(t testing.TB, edit ...func(*server.Config)) *world {
	t.Helper()
	w := &world{t: t}
	w.dir, w.root = newDir(t)
	config := server.Config{
		Files: w.dir, Anonymous: true, AnonymousWrites: true,
		Limits: server.Limits{Connect: 30 * time.Second, Stall: 30 * time.Second},
		Transferred: func(tr server.Transfer) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.transfers = append(w.transfers, tr)
		},
	}
	for _, f := range edit {
		f(&config)
	}
	s, err := server.New(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.server, w.addr = s, l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != server.ErrClosed {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name), []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(name, content string) {
	w.t.Helper()
	got, err := os.ReadFile(filepath.Join(w.root, name))
	if err != nil || string(got) != content {
		w.t.Errorf("%s holds %.60q (%v), want %.60q", name, got, err, content)
	}
}

// A script is a client that says what it is told, line by line.
type script struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (w *world) dial() *script {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &script{w.t, conn, bufio.NewReader(conn)}
	c.expect("220")
	return c
}

// login returns a session that has logged in.
func (w *world) login() *script {
	w.t.Helper()
	c := w.dial()
	c.do("USER anonymous", "331")
	c.do("PASS me@", "230")
	return c
}

func (c *script) send(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *script) reply() gridftp.Reply {
	c.t.Helper()
	r, err := gridftp.ReadReply(c.r)
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	return r
}

// expect reads a reply, which must begin with want: a code, or code and words.
func (c *script) expect(want string) gridftp.Reply {
	c.t.Helper()
	r := c.reply()
	if !strings.HasPrefix(r.String(), want) {
		c.t.Fatalf("the server said %q, want %q", r.String(), want)
	}
	return r
}

func (c *script) do(line, want string) gridftp.Reply {
	c.t.Helper()
	c.send(line)
	r := c.reply()
	if !strings.HasPrefix(r.String(), want) {
		c.t.Fatalf("%q: the server said %q, want %q", line, r.String(), want)
	}
	return r
}

func (c *script) closed() {
	c.t.Helper()
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("the session goes on: %q", b)
	}
}

// passive says PASV and dials what it answers.
func (c *script) passive() net.Conn {
	c.t.Helper()
	addr, err := gridftp.ParsePassive(c.do("PASV", "227"))
	if err != nil {
		c.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	return conn
}

// fetch takes what a command sends over a stream.
func (c *script) fetch(command string) string {
	c.t.Helper()
	conn := c.passive()
	c.do(command, "150")
	b, err := io.ReadAll(conn)
	if err != nil {
		c.t.Fatal(err)
	}
	c.expect("226")
	return string(b)
}

// put gives a command a stream.
func (c *script) put(command, content string) {
	c.t.Helper()
	conn := c.passive()
	c.send(command)
	if _, err := io.WriteString(conn, content); err != nil {
		c.t.Fatal(err)
	}
	conn.Close()
	c.expect("150")
	c.expect("226")
}

func TestPlainSession(t *testing.T) {
	w := newWorld(t)
	w.write("f", "hello\n")
	c := w.dial()
	for _, step := range [][2]string{
		{"NOOP", "200"},
		{"PWD", "530 Please login with USER and PASS."},
		{"RETR f", "530"},
		{"AUTH GSSAPI", "502"},
		{"PASS x", "503"},
		{"USER root", "331"},
		{"PASS x", "530"},
		{"USER anonymous", "331"},
		{"PASS me@", "230"},
		{"USER anonymous", "503"},
		{"FOO", "500 Command not supported."},
		{"noop", "200"},
		{"SYST", "215 UNIX Type: L8"},
		{"STAT", "212"},
		{"HELP", "214"},
		{"SITE HELP", "214"},
		{"SITE FOO", "500"},
		{"SITE WHOAMI", "200 anonymous"},
		{"SITE CLIENTINFO appname=x;", "250"},
		{"LANG EN", "200"},
		{"LANG de", "504"},
		{"TYPE A", "200 Type set to A."},
		{"TYPE I", "200 Type set to I."},
		{"TYPE L 8", "200"},
		{"TYPE X", "501"},
		{"MODE B", "501"},
		{"STRU R", "501"},
		{"STRU F", "200"},
		{"PWD", `257 "/" is current directory.`},
		{"MKD d", `257 "/d" created successfully.`},
		{"MKD d", "553 GlobusError: v=1 c=PATH_EXISTS"},
		{"MKD no/such", "550 GlobusError: v=1 c=PATH_NOT_FOUND"},
		{"CWD d", "250"},
		{"PWD", `257 "/d"`},
		{"CWD ../f", "550 GlobusError: v=1 c=NOT_A_DIRECTORY"},
		{"CDUP", "250"},
		{"CWD nowhere", "550"},
		{"CWD ~", "250"},
		{"SIZE f", "213 6"},
		{"SIZE d", "550"},
		{"SIZE", "501"},
		{"SIZE nofile", "550 GlobusError: v=1 c=PATH_NOT_FOUND; GridFTP-Errno: 2; GridFTP-Reason: stat /nofile; GridFTP-Error-String: no such file or directory; End."},
		{"MFMT 20200101000000 f", "213 Modify=20200101000000; f"},
		{"MDTM f", "213 20200101000000"},
		{"SITE UTIME 20210101000000 f", "250"},
		{"MDTM /~/f", "213 20210101000000"},
		{"MFMT yesterday f", "501"},
		{"SITE CHMOD 600 f", "250"},
		{"SITE CHMOD rw f", "501"},
		{"SITE CHMOD 600 nofile", "550"},
		{"MLST f", "250 status of f; Type=file;Modify=20210101000000;Size=6;UNIX.mode=0600; f; End."},
		{"SITE SYMLINKTO l", "503"},
		{"SITE SYMLINKFROM f", "350"},
		{"SITE SYMLINKTO l", "250"},
		{"MLST l", "250 status of l; Type=file;Modify=20210101000000;Size=6;UNIX.mode=0600;UNIX.slink=/f; l; End."},
		{"OPTS MLST Type;Size;", "200"},
		{"MLST l", "250 status of l; Type=file;Size=6; l; End."},
		{"OPTS MLST Type;Size;UNIX.slink;", "200"},
		{"RNTO g", "503"},
		{"RNFR nofile", "550"},
		{"RNFR f", "350"},
		{"RNTO g", "250"},
		{"MLST l", "250 status of l; Type=OS.unix=slink:/f;Size=0; l; End."},
		{"CKSM MD5 0 -1 g", "213 b1946ac92492d2347c6235b4d2611184"},
		{"CKSM md5 0 2 g", "213 6f96cfdfe5ccc627cadf24b41725caa4"},
		{"CKSM CRC32 0 -1 g", "504"},
		{"CKSM MD5 0 -1 nofile", "550"},
		{"CKSM MD5 -1 -1 g", "501"},
		{"CKSM MD5 0 g", "501"},
		{"DELE d", "550 GlobusError: v=1 c=IS_A_DIRECTORY"},
		{"RMD g", "550 GlobusError: v=1 c=NOT_A_DIRECTORY"},
		{"DELE l", "250"},
		{"DELE l", "550"},
		{"RMD d", "250"},
		{"OPTS RETR Parallelism=4,4,4;", "200"},
		{"OPTS RETR Parallelism=0,0,0;", "501"},
		{"OPTS RETR Foo=1;", "501"},
		{"OPTS UTF8 ON", "200"},
		{"OPTS FOO", "501"},
		{"SBUF 100000", "200"},
		{"SITE RETRBUFSIZE 100000", "200"},
		{"SBUF lots", "501"},
		{"TREV PERF 2", "200"},
		{"TREV RESTART 2", "200"},
		{"TREV FOO 2", "502"},
		{"ALLO 100", "200"},
		{"ALLO x", "501"},
		{"REST 0-100,200-300", "350"},
		{"REST 0", "350"},
		{"REST 3-2", "501"},
		{"PORT 1,2,3", "501"},
		{"PORT 10,0,0,1,7,208", "501"},
		{"PORT 127,0,0,1,7,208", "200"},
		{"EPRT |1|127.0.0.1|3000|", "200"},
		{"EPRT |1|10.0.0.1|3000|", "501"},
		{"SPOR 127,0,0,1,7,208", "200"},
		{"SPOR 127,0,0,1,7,208 127,0,0,1,7,209", "504"},
		{"SPAS", "229"},
		{"EPSV 2", "522"},
		{"EPSV", "229 Entering Extended Passive Mode (|||"},
		{"EPSV ALL", "229"},
		{"PASV", "503"},
		{"PORT 127,0,0,1,7,208", "503"},
		// The Globus server takes these without a GSI login, and fails later.
		{"DCAU A", "504"},
		{"PROT P", "536"},
		{"DCSC D", "503"},
		{"DCAU N", "200"},
		{"PBSZ 100", "200 PBSZ=100"},
		{"PROT C", "200"},
		{"CCC", "534"},
		{"ABOR", "226"},
		{"ENC AAAA", "500"},
		{"QUIT", "221 Goodbye."},
	} {
		c.do(step[0], step[1])
	}
	c.closed()
}

func TestFeaturesAreThoseOfTheFileSystem(t *testing.T) {
	c := newWorld(t).login()
	f, err := gridftp.ParseFeatures(c.do("FEAT", "211"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"MLST", "MLSC", "REST", "ERET", "ESTO", "SPAS", "SPOR", "MFMT", "SIZE", "PARALLEL", "UTF8"} {
		if !f.Has(name) {
			t.Errorf("FEAT lacks %s", name)
		}
	}
	if got := fmt.Sprint(f.Checksums()); got != "[SHA256 MD5]" {
		t.Errorf("checksums are %s", got)
	}
	if f.DCSC() || f.Has("DCAU") {
		t.Error("FEAT offers data channel security without GSI")
	}
}

func TestStreams(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.put("STOR f", "0123456789")
	w.want("f", "0123456789")
	c.put("STOR f", "abc")
	w.want("f", "abc")
	c.put("APPE f", "def")
	w.want("f", "abcdef")
	c.put("APPE new", "x")
	w.want("new", "x")
	c.do("REST 2", "350")
	c.put("STOR f", "CD")
	w.want("f", "abCDef")
	c.put("ESTO A 4 f", "EFG")
	w.want("f", "abCDEFG")
	if got := c.fetch("RETR f"); got != "abCDEFG" {
		t.Errorf("RETR gave %q", got)
	}
	c.do("REST 5", "350")
	if got := c.fetch("RETR f"); got != "FG" {
		t.Errorf("RETR from 5 gave %q", got)
	}
	c.do("REST 100", "350")
	if got := c.fetch("RETR f"); got != "" {
		t.Errorf("RETR from beyond the end gave %q", got)
	}
	if got := c.fetch("ERET P 2 3 f"); got != "CDE" {
		t.Errorf("ERET gave %q", got)
	}
	if got := c.fetch("ERET P 5 9223372036854775807 f"); got != "FG" {
		t.Errorf("ERET beyond the end gave %q", got)
	}
	c.do("ERET X 0 1 f", "501")
	c.do("ERET P 0 f", "501")
	c.do("ESTO A -1 f", "501")

	// The log counts what was moved, not what the files hold.
	var total int64
	for _, tr := range w.transfers {
		if tr.Code != 226 || tr.User != "anonymous" {
			t.Errorf("the transfer log says %+v", tr)
		}
		total += tr.Bytes
	}
	if total != 10+3+3+1+2+3+7+2+0+3+2 {
		t.Errorf("the transfer log counts %d bytes", total)
	}
}

func TestActiveStream(t *testing.T) {
	w := newWorld(t)
	w.write("f", "hello")
	c := w.login()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.do("PORT "+gridftp.FormatHostPort(l.Addr().(*net.TCPAddr).AddrPort()), "200")
	c.send("RETR f")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	conn.Close()
	c.expect("150")
	c.expect("226")
}

func TestListings(t *testing.T) {
	w := newWorld(t)
	w.write("a b", "hello")
	if err := os.MkdirAll(filepath.Join(w.root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("bad\nname", "")
	c := w.login()
	c.do("OPTS MLST Type;Size;", "200")
	lines := func(text string) string {
		list := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n")
		return strings.Join(list, "|")
	}
	sorted := func(text string) map[string]bool {
		set := make(map[string]bool)
		for part := range strings.SplitSeq(lines(text), "|") {
			set[part] = true
		}
		return set
	}
	got := sorted(c.fetch("MLSD"))
	for _, want := range []string{"Type=cdir;Size=0; .", "Type=pdir;Size=0; ..", "Type=file;Size=5; a b", "Type=dir;Size=0; empty"} {
		if !got[want] {
			t.Errorf("MLSD lacks %q: %v", want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("MLSD lists %v", got)
	}
	if got := lines(c.fetch("MLSD empty")); got != "Type=cdir;Size=0; .|Type=pdir;Size=0; .." {
		t.Errorf("MLSD of an empty directory is %q", got)
	}
	if got := lines(c.fetch("MLSD a b")); got != "Type=file;Size=5; a b" {
		t.Errorf("MLSD of a file is %q", got)
	}
	if got := sorted(c.fetch("NLST")); len(got) != 2 || !got["a b"] || !got["empty"] {
		t.Errorf("NLST lists %v", got)
	}
	if got := c.fetch("LIST -la a b"); !regexp.MustCompile(`^-rw-r--r-- .* 5 \w+ +\d+ [\d:]+ a b\r\n$`).MatchString(got) {
		t.Errorf("LIST says %q", got)
	}
	r := c.do("MLSC", "250 Contents of .")
	if got := len(r.Middle()); got != 4 {
		t.Errorf("MLSC lists %d entries", got)
	}
	for _, line := range r.Middle() {
		if !strings.HasPrefix(line, " Type=") {
			t.Errorf("MLSC says %q", line)
		}
	}
	c.do("MLSC nowhere", "550")
	c.passive()
	c.do("MLSD nowhere", "550")
}

func TestRecursiveRemovalDoesNotFollowLinks(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"tree/a/b", "keep"} {
		if err := os.MkdirAll(filepath.Join(w.root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write("tree/a/b/f", "x")
	w.write("keep/f", "kept")
	if err := os.Symlink("../keep", filepath.Join(w.root, "tree/link")); err != nil {
		t.Fatal(err)
	}
	c := w.login()
	c.do("SITE RDEL tree", "250")
	c.do("MLST tree", "550")
	w.want("keep/f", "kept")
	c.do("SITE RDEL /", "550")
	c.do("SITE RDEL keep/f", "250")
}

// receiver and sender are the other side of a data channel in extended block mode.
func (c *script) receiver() *data.Set {
	c.t.Helper()
	l, err := data.Network{}.Listen(context.Background(), c.conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr(), 0)
	if err != nil {
		c.t.Fatal(err)
	}
	set := data.NewPassive(l)
	c.t.Cleanup(func() { set.Close() })
	c.do("PORT "+gridftp.FormatHostPort(l.Addr()), "200")
	return set
}

func (c *script) sender() *data.Set {
	c.t.Helper()
	addr, err := gridftp.ParsePassive(c.do("PASV", "227"))
	if err != nil {
		c.t.Fatal(err)
	}
	set := data.NewActive(data.Network{}, addr.Addr(), addr)
	c.t.Cleanup(func() { set.Close() })
	return set
}

// A collector takes a file of few bytes.
type collector struct {
	mu sync.Mutex
	b  []byte
}

func (c *collector) WriteAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := int(off) + len(p) - len(c.b); n > 0 {
		c.b = append(c.b, make([]byte, n)...)
	}
	copy(c.b[off:], p)
	return len(p), nil
}

func TestExtendedBlocks(t *testing.T) {
	w := newWorld(t)
	w.write("f", "0123456789")
	c := w.login()
	c.do("MODE E", "200")
	c.do("OPTS RETR Parallelism=3,3,3;", "200")

	fetch := func(set *data.Set, command string) string {
		t.Helper()
		c.send(command)
		var sink collector
		if _, err := set.Receive(t.Context(), &sink, data.Config{}, data.ReceiveOptions{}); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(sink.b), "\x00", ".")
	}
	set := c.receiver()
	for _, step := range []struct{ rest, command, want, first string }{
		{"", "RETR f", "0123456789", "150"},
		{"0-2,5-7", "RETR f", "..234..789", "125"},
		{"", "ERET P 2 3 f", "234", "125"}, // counted from the part's beginning, as Globus does
		{"", "MLSD f", "Type=file;Modify=", "125"},
	} {
		if step.rest != "" {
			c.do("REST "+step.rest, "350")
		}
		if got := fetch(set, step.command); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s gave %q, want %q", step.command, got, step.want)
		}
		c.expect(step.first)
		c.expect("226")
	}

	put := func(set *data.Set, command, content string, offset int64) {
		t.Helper()
		c.send(command)
		if _, err := set.Send(t.Context(), data.NewStreamSource(strings.NewReader(content), offset), data.Config{}, data.SendOptions{Parallelism: 2}); err != nil {
			t.Fatal(err)
		}
	}
	out := c.sender()
	put(out, "STOR g", "abcdef", 0)
	c.expect("150")
	c.expect("111 Range Marker 0-6")
	c.expect("226")
	put(out, "STOR empty", "", 0)
	c.expect("125")
	c.expect("226") // without a marker, as from the Globus server
	w.want("empty", "")
	c.do("REST 0-4", "350")
	put(out, "STOR g", "EFG", 4)
	c.expect("125")
	c.expect("111 Range Marker 4-7")
	c.expect("226")
	w.want("g", "abcdEFG")
	put(out, "ESTO A 1 g", "BC", 0)
	c.expect("125")
	c.expect("111 Range Marker 0-2")
	c.expect("226")
	w.want("g", "aBCdEFG")
	c.do("REST 0-0", "350") // what the sender of a new file says: nothing is there
	put(out, "STOR g", "new", 0)
	c.expect("125")
	c.expect("111")
	c.expect("226")
	w.want("g", "new")

	c.do("RETR g", "425") // the sender must dial
	c.receiver()
	c.do("STOR g", "425")
	w.want("g", "new")
}

func TestMarkersWhileStoring(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.do("MODE E", "200")
	c.do("TREV PERF 1", "200")
	c.do("TREV RESTART 1", "200")
	out := c.sender()
	c.send("STOR f")
	r, source := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := out.Send(t.Context(), data.NewStreamSource(r, 0), data.Config{}, data.SendOptions{Block: 100})
		done <- err
	}()
	if _, err := source.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	c.expect("150")
	var perf, ranges bool
	for !perf || !ranges {
		switch reply := c.reply(); reply.Code {
		case gridftp.CodePerfMarker:
			m, err := gridftp.ParsePerfMarker(reply)
			if err != nil {
				t.Fatal(err)
			}
			perf = perf || m.Bytes == 100
		case gridftp.CodeRangeMarker:
			got, err := gridftp.ParseRangeMarker(reply)
			if err != nil || got.String() != "0-100" {
				t.Fatalf("range marker %v, %v", got, err)
			}
			ranges = true
		default:
			t.Fatalf("the server said %v", reply)
		}
	}
	if _, err := source.Write(make([]byte, 50)); err != nil {
		t.Fatal(err)
	}
	source.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	last := c.reply()
	for last.Code == gridftp.CodePerfMarker {
		last = c.reply()
	}
	if got, err := gridftp.ParseRangeMarker(last); err != nil || got.String() != "100-150" {
		t.Errorf("the last range marker is %v, %v: markers must tell what is new", last, err)
	}
	for last = c.reply(); last.Code == gridftp.CodePerfMarker; {
		last = c.reply()
	}
	if last.Code != 226 {
		t.Errorf("ended by %v", last)
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")
