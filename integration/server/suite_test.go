package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/endpointtest"
	"github.com/gridferry/gridferry/endpoints/gridftp"
	"github.com/gridferry/gridferry/integration/globus"
)

// TestStorageSuite runs the suite that every driver passes through our client
// and our server, to the files of a posix driver.
func TestStorageSuite(t *testing.T) {
	for _, prot := range []string{"clear", "private"} {
		for _, delegation := range []string{"auto", "always"} {
			t.Run(fmt.Sprintf("data %s, delegation %s", prot, delegation), func(t *testing.T) {
				w := newWorld(t)
				o := w.server()
				driver := gridftp.New(gridftp.Config{})
				t.Cleanup(driver.Close)
				id := gridftp.Identity{Owner: "ada", Credential: w.ca.Proxy(w.ca.User("Ada")), Trust: w.ca.Trust()}
				rec := endpoints.Record{Kind: gridftp.Kind, Servers: []string{o.addr}, Options: map[string]string{"prot": prot, "delegation": delegation}}
				runSuite(t, driver, rec, id, o)
			})
		}
	}
}

func TestStorageSuiteWithoutGSI(t *testing.T) {
	o := serveAnonymous(t)
	driver := gridftp.New(gridftp.Config{})
	t.Cleanup(driver.Close)
	rec := endpoints.Record{Kind: gridftp.Kind, Scheme: "ftp", Servers: []string{o.addr}}
	runSuite(t, driver, rec, gridftp.Identity{Owner: "ada"}, o)
}

func runSuite(t *testing.T, driver *gridftp.Driver, rec endpoints.Record, id gridftp.Identity, o *ours) {
	endpointtest.Run(t, func(t *testing.T) (endpoints.Storage, string) {
		s, err := driver.Open(t.Context(), rec, id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		dir, err := os.MkdirTemp(o.root, "test")
		if err != nil {
			t.Fatal(err)
		}
		return s, "/" + filepath.Base(dir)
	})
}

// TestSendBetweenOursAndTheirs moves trees by our client, pipelined.
func TestSendBetweenOursAndTheirs(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	theirs := globus.NewServer(t, globus.Options{CA: w.ca})
	driver := gridftp.New(gridftp.Config{})
	t.Cleanup(driver.Close)
	id := gridftp.Identity{Owner: "ada", Credential: w.ca.Proxy(w.ca.User("Ada")), Trust: w.ca.Trust()}
	open := func(addr string) *gridftp.Storage {
		t.Helper()
		s, err := driver.Open(t.Context(), endpoints.Record{Kind: gridftp.Kind, Servers: []string{addr}}, id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	contents := make(map[string][]byte)
	for i := range 200 {
		name := fmt.Sprintf("f%03d", i)
		contents[name] = randomBytes(byte(i), i*i*11)
		write(t, o.path("src/"+name), contents[name])
	}
	for _, dir := range []string{o.path("back"), theirs.Path("there")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	send := func(from, to endpoints.Storage, src, dst string) {
		t.Helper()
		i := 0
		opts := endpoints.SendOptions{Parallelism: 2, Pipelining: 50, Checksum: "sha256"}
		next := func() (endpoints.Send, bool) {
			if i == len(contents) {
				return endpoints.Send{}, false
			}
			name := fmt.Sprintf("f%03d", i)
			i++
			return endpoints.Send{Source: src + "/" + name, Dest: dst + "/" + name, Size: int64(len(contents[name])), Key: i}, true
		}
		done := func(s endpoints.Sent) {
			if s.Err != nil || s.Suspect || s.SourceSum != s.DestSum || s.SourceSum == "" {
				t.Errorf("%s: %v, suspect %v, sums %q and %q", s.Source, s.Err, s.Suspect, s.SourceSum, s.DestSum)
			}
		}
		if err := from.(endpoints.ThirdParty).Send(t.Context(), to, opts, next, done, nil); err != nil {
			t.Fatal(err)
		}
	}
	send(open(o.addr), open(theirs.Addr()), "/src", theirs.Path("there"))
	send(open(theirs.Addr()), open(o.addr), theirs.Path("there"), "/back")
	for name, content := range contents {
		want(t, o.path("back/"+name), content)
	}
}
