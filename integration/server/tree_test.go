package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/integration/globus"
)

// makeTree fills a directory with files of many sizes, some in directories and
// with names that globus-url-copy can carry, and returns their content by name.
func makeTree(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for i := range 60 {
		files[fmt.Sprintf("many/%03d", i)] = randomBytes(byte(i), i*37)
	}
	files["deep/a/b/c/d/e/f"] = []byte("deep")
	files["two words"] = []byte("spaces")
	files["grüße"] = []byte("not ASCII")
	files["100% & more;=+#?"] = []byte("signs")
	files["big"] = randomBytes(200, 5<<20)
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	if err := os.MkdirAll(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	return files
}

// wantTree compares a directory with what makeTree made.
func wantTree(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		want(t, filepath.Join(dir, name), content)
	}
	n := 0
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
		} else if d.Type().IsRegular() {
			n++
		}
		return nil
	})
	if n != len(files) {
		t.Errorf("%s holds %d files, want %d", dir, n, len(files))
	}
}

func TestURLCopyTrees(t *testing.T) {
	for name, args := range map[string][]string{
		"plain":                    nil,
		"pipelined":                {"-fast", "-pp"},
		"pipelined and concurrent": {"-fast", "-pp", "-cc", "4", "-p", "2"},
		"private":                  {"-fast", "-pp", "-dcpriv"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.server()
			src := t.TempDir()
			files := makeTree(t, src)
			globus.URLCopy(t, w.env, append(args, "-r", "-cd", "file://"+src+"/", o.url("in/"))...)
			wantTree(t, o.path("in"), files)
			dst := t.TempDir()
			globus.URLCopy(t, w.env, append(args, "-r", "-cd", o.url("in/"), "file://"+dst+"/")...)
			wantTree(t, dst, files)
			// From our server to itself: it is both ends of a third-party transfer.
			globus.URLCopy(t, w.env, append(args, "-r", "-cd", o.url("in/"), o.url("out/"))...)
			wantTree(t, o.path("out"), files)
		})
	}
}

func TestURLCopySync(t *testing.T) {
	for level := range 4 {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			w := newWorld(t)
			o := w.server()
			src := t.TempDir()
			files := makeTree(t, src)
			args := []string{"-sync", "-sync-level", fmt.Sprint(level), "-r", "-cd", "file://" + src + "/", o.url("in/")}
			globus.URLCopy(t, w.env, args...)
			wantTree(t, o.path("in"), files)
			before := o.moved("STOR")

			globus.URLCopy(t, w.env, args...)
			if again := o.moved("STOR") - before; again != 0 {
				t.Errorf("a second run moved %d bytes of what was there", again)
			}
			if level == 0 {
				return // only what is absent
			}
			files["two words"] = []byte("changed, and longer")
			write(t, filepath.Join(src, "two words"), files["two words"])
			globus.URLCopy(t, w.env, args...)
			wantTree(t, o.path("in"), files)
		})
	}
}

func TestURLCopyList(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	makeTree(t, o.root)
	out := globus.URLCopy(t, w.env, "-list", o.url(""))
	for _, name := range []string{"big", "two words", "grüße", "deep/", "empty/"} {
		if !strings.Contains(out, "    "+name) {
			t.Errorf("-list lacks %q:\n%s", name, out)
		}
	}
	if out := globus.URLCopy(t, w.env, "-list", o.url("empty/")); strings.Contains(out, "    ") {
		t.Errorf("-list of an empty directory says\n%s", out)
	}
}

func TestURLCopyPartial(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	content := randomBytes(1, 1<<20)
	write(t, o.path("f"), content)
	back := filepath.Join(t.TempDir(), "back")
	globus.URLCopy(t, w.env, "-off", "1000", "-len", "500000", o.url("f"), "file://"+back)
	// It writes a part where the part was, from whatever server it comes.
	want(t, back, append(make([]byte, 1000), content[1000:501000]...))
	globus.URLCopy(t, w.env, "-p", "3", "-off", "1000", "-len", "500000", o.url("f"), o.url("g"))
	want(t, o.path("g"), append(make([]byte, 1000), content[1000:501000]...))
}

func TestURLCopyOverIPv6(t *testing.T) {
	w := newWorld(t)
	o := w.serverAt("[::1]:0")
	content := randomBytes(1, 300_000)
	src := write(t, filepath.Join(t.TempDir(), "f"), content)
	globus.URLCopy(t, w.env, "-ipv6", "file://"+src, o.url("f"))
	want(t, o.path("f"), content)
	globus.URLCopy(t, w.env, "-ipv6", "-p", "2", o.url("f"), o.url("g"))
	want(t, o.path("g"), content)
	back := filepath.Join(t.TempDir(), "back")
	globus.URLCopy(t, w.env, "-ipv6", "-p", "2", o.url("g"), "file://"+back)
	want(t, back, content)
}

func TestURLCopyStriped(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	content := randomBytes(1, 1<<20)
	src := write(t, filepath.Join(t.TempDir(), "f"), content)
	globus.URLCopy(t, w.env, "-stripe", "-p", "2", "file://"+src, o.url("f"))
	want(t, o.path("f"), content)
	globus.URLCopy(t, w.env, "-stripe", "-p", "2", o.url("f"), o.url("g"))
	want(t, o.path("g"), content)
}

func TestURLCopyAnonymous(t *testing.T) {
	for name, args := range map[string][]string{"plain": {"-nodcau"}, "fast": {"-nodcau", "-fast", "-p", "3"}} {
		t.Run(name, func(t *testing.T) {
			o := serveAnonymous(t)
			env := globus.ClientEnv(nil, "")
			content := randomBytes(1, 300_000)
			src := write(t, filepath.Join(t.TempDir(), "f"), content)
			globus.URLCopy(t, env, append(args, "file://"+src, o.url("f"))...)
			want(t, o.path("f"), content)
			back := filepath.Join(t.TempDir(), "back")
			globus.URLCopy(t, env, append(args, o.url("f"), "file://"+back)...)
			want(t, back, content)
		})
	}
}

func TestURLCopyGoesOnAfterAnError(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	src := t.TempDir()
	files := makeTree(t, src)
	// A directory stands where a file should go.
	if err := os.MkdirAll(o.path("in/many/010/x"), 0o755); err != nil {
		t.Fatal(err)
	}
	delete(files, "many/010")
	for _, args := range [][]string{nil, {"-fast"}} {
		out, err := globus.TryURLCopy(t, w.env, append(args, "-c", "-r", "-cd", "file://"+src+"/", o.url("in/"))...)
		if err == nil || !strings.Contains(out, "/in/many/010") {
			t.Errorf("%v: ended with %v, and says\n%s", args, err, out)
		}
		wantTree(t, o.path("in"), files)
	}
}
