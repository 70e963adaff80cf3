// Package check_test runs "gridferry endpoint check" against servers that others
// wrote, through a real daemon.
package check_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/host"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/integration/sftp"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// An end is an endpoint of the site, and where its server keeps the files here.
type end struct{ name, record, credential, disk string }

// site is a daemon that knows some endpoints, and the command line beside it.
type site struct {
	*testing.T
	dir, program string
	env          []string
	ends         []end // that are as they should be
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), program: harness.Binary(t, "gridferry")}
	ca := gsitest.NewCA(t)
	gsi, ftp, store, ssh, disk := globus.NewServer(t, globus.Options{CA: ca}), globus.NewProftpd(t, ""), s3.NewStore(t, s3.StoreOptions{}), sftp.NewServer(t), t.TempDir()
	keys := s.file("keys", fmt.Sprintf("[lab]\naws_access_key_id = %s\naws_secret_access_key = %s\n[wrong]\naws_access_key_id = %s\naws_secret_access_key = wrong\n", store.Access, store.Secret, store.Access))
	bucket := func(name string) string {
		return fmt.Sprintf("kind: s3, scheme: http, servers: [%q], root: \"/%s\"", store.Addr, name)
	}
	login := fmt.Sprintf("kind: sftp, servers: [%q], user: %q, root: %q, options: {known_hosts: %q}", ssh.Addr, ssh.User, ssh.Files, ssh.KnownHosts())
	password := fmt.Sprintf("kind: gridftp, scheme: ftp, servers: [%q], root: %q, user: %s", ftp.Addr(), ftp.Root, globus.PlainUser)
	s.ends = []end{
		{"posix", fmt.Sprintf("kind: posix, site: here, root: %q", disk), "", disk},
		{"globus", fmt.Sprintf("kind: gridftp, servers: [%q], root: %q", gsi.Addr(), gsi.Root), "", gsi.Root},
		{"s3", bucket(store.Bucket), fmt.Sprintf("aws_file: %q, aws_profile: lab", keys), filepath.Join(store.Dir, store.Bucket)},
		{"sftp", login, fmt.Sprintf("ssh_key: %q", ssh.KeyFile()), ssh.Files},
	}
	wrong := []end{
		{"no-password", password, fmt.Sprintf("password_file: %q", s.file("password", "wrong\n")), ""},
		{"no-key", login, fmt.Sprintf("ssh_key: %q", ssh.OtherKey()), ""},
		{"no-secret", bucket(store.Bucket), fmt.Sprintf("aws_file: %q, aws_profile: wrong", keys), ""},
		{"no-bucket", bucket("no-such-bucket"), fmt.Sprintf("aws_file: %q, aws_profile: lab", keys), ""},
		{"no-host", "kind: gridftp, scheme: ftp, servers: [\"host.invalid\"]", "", ""},
		{"no-server", fmt.Sprintf("kind: gridftp, servers: [%q]", net.JoinHostPort("127.0.0.1", strconv.Itoa(harness.FreePort(t)))), "", ""},
	}
	var credentials, records strings.Builder
	for _, e := range append(slices.Clone(s.ends), wrong...) {
		fmt.Fprintf(&records, "  check#%s: {%s", e.name, e.record)
		if e.credential != "" {
			fmt.Fprintf(&records, ", credential: \"file:%s\"", e.name)
			fmt.Fprintf(&credentials, "  %s: {owners: [\"*\"], %s}\n", e.name, e.credential)
		}
		fmt.Fprintln(&records, "}")
	}
	h := host.New(t, host.Config{Roots: []string{disk}, TrustDir: ca.Dir, Credentials: credentials.String(), Endpoints: records.String()})
	h.Daemon(t, "gridferryd", "X509_USER_PROXY="+ca.ProxyFile(ca.Proxy(ca.User("Ada"))))
	s.env = harness.Environment(h.Temporal.Env()...)
	return s
}

func (s *site) file(name, content string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	must(s, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.Context(), s.program, append([]string{"endpoint", "check"}, args...)...)
	cmd.Env = s.env
	return cmd
}

// check runs the command to its end.
func (s *site) check(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := s.command(args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return out.String(), said.String(), cmd.ProcessState.ExitCode()
}

// what is in a directory of a server, with the bytes of files.
func what(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			found[path] = "directory"
			return nil
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	}))
	return found
}

func TestCheck(t *testing.T) {
	s := newSite(t)
	t.Run("all", func(t *testing.T) {
		for _, e := range s.ends {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				s.sound(t, e)
			})
		}
		t.Run("refused", s.refused)
		t.Run("interrupted", func(t *testing.T) {
			t.Parallel()
			s.interrupted(t)
		})
	})
}

// sound looks at an endpoint, first without and then with writing to it.
func (s *site) sound(t *testing.T, e end) {
	data := filepath.Join(e.disk, "data")
	must(t, os.Mkdir(data, 0o755))
	must(t, os.WriteFile(filepath.Join(data, "small"), bytes.Repeat([]byte("small "), 1000), 0o644))
	must(t, os.WriteFile(filepath.Join(data, "large"), bytes.Repeat([]byte("a large file "), 500_000), 0o644))
	must(t, os.Chmod(data, 0o777))
	before := what(t, data)

	stdout, stderr, code := s.check(t, "check#"+e.name+":/data", "--time", "2s")
	t.Logf("%s", stdout)
	if code != 0 {
		t.Errorf("looking ended with %d: %s\n%s", code, stderr, stdout)
	}
	for _, want := range []string{`(?m)^reading +works .*/data/small of 6\.0 kB`, `(?m)^read speed, 4 sessions +works .*B/s`, `(?m)^times +NOT TRIED `, `0 are broken`} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if after := what(t, data); !maps.Equal(before, after) {
		t.Errorf("looking has made %q of %q", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
	}

	// Of the directories of checks only that of one that died goes.
	const id = "-8c2b7c4e-53a1-4f0e-9d0a-6f3b1c2d4e5f"
	dead := "gridferry-check-20260102T030405Z" + id
	for _, name := range []string{dead, dead + "-notes", "gridferry-check" + id, "gridferry-check-" + time.Now().UTC().Format("20060102T150405Z") + id} {
		for _, dir := range []string{name, name + "/names"} {
			must(t, os.Mkdir(filepath.Join(data, dir), 0o777))
			must(t, os.Chmod(filepath.Join(data, dir), 0o777))
		}
		must(t, os.WriteFile(filepath.Join(data, name, "names", "-rf"), []byte("-rf"), 0o644))
	}
	before = what(t, data)
	maps.DeleteFunc(before, func(path, _ string) bool { return strings.HasPrefix(path+"/", filepath.Join(data, dead)+"/") })

	stdout, stderr, code = s.check(t, "check#"+e.name, "--write", "/data", "--time", "2s", "--bytes", "64MiB", "--json")
	t.Logf("%s%s", stdout, stderr)
	var found transfer.Checkup
	must(t, json.Unmarshal([]byte(stdout), &found))
	if code != 0 || found.Fault != nil || found.Left != "" || found.Count(transfer.Broken) != 0 {
		t.Errorf("trying ended with %d: %s", code, stderr)
	}
	outcome := map[string]transfer.Outcome{}
	for _, f := range found.Findings {
		outcome[f.Name] = f.Outcome
		if strings.Contains(f.Name, "speed") && f.Rate <= 0 {
			t.Errorf("%s: %s", f.Name, f.Seen)
		}
	}
	// What the table in docs/endpoints.md says of these servers.
	want := map[string]transfer.Outcome{
		"written in ranges": transfer.Works, "straight to another server": transfer.Cannot, "checksums at the server": transfer.Works,
		"times": transfer.Works, "modes": transfer.Works, "links": transfer.Works, "odd names": transfer.Works, "tidying up": transfer.Works,
	}
	switch e.name {
	case "globus":
		want["straight to another server"] = transfer.Works
	case "s3":
		want["modes"], want["links"], want["odd names"] = transfer.Cannot, transfer.Cannot, transfer.Cannot
	case "sftp":
		want["checksums at the server"] = transfer.Cannot
	}
	for name, o := range want {
		if outcome[name] != o {
			t.Errorf("%s: %s, want %s", name, outcome[name], o)
		}
	}
	if after := what(t, data); !maps.Equal(before, after) {
		t.Errorf("there was %q, and is %q", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
	if says := map[string]string{"globus": "PASV AllowDelayed;", "sftp": "posix-rename@openssh.com 1"}[e.name]; says != "" && !slices.Contains(found.Says, says) {
		t.Errorf("%q is not in what the server says: %q", says, found.Says)
	}
}

// refused: each ends as a sentence that names the thing, and with a code.
func (s *site) refused(t *testing.T) {
	for name, want := range map[string]struct {
		code int
		says string
	}{
		"no-password": {6, "password"},
		"no-key":      {6, "key"},
		"no-secret":   {6, "secret"},
		"no-bucket":   {5, "check the name of the bucket"},
		"no-host":     {7, "reach check#no-host: log in to host.invalid:21"},
		"no-server":   {7, "is the server running"},
		"nobody":      {5, "check#nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := s.check(t, "check#"+name)
			said := strings.TrimSpace(stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:])
			t.Logf("%s%s", stdout, stderr)
			if code != want.code || !strings.HasPrefix(said, "gridferry: ") || !strings.Contains(said, want.says) || !strings.Contains(said, "(") {
				t.Errorf("%d, want %d: %s", code, want.code, said)
			}
		})
	}
}

// interrupted: what was made is removed, and the command waits for it.
func (s *site) interrupted(t *testing.T) {
	e := s.ends[0]
	dir := filepath.Join(e.disk, "interrupted")
	must(t, os.Mkdir(dir, 0o755))
	cmd := s.command("check#"+e.name, "--write", "/interrupted", "--time", "1m", "--bytes", "64GiB")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	must(t, cmd.Start())
	made := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "gridferry-check-*", "speed-*"))
		must(t, err)
		return len(names)
	}
	harness.Eventually(t, time.Minute, func() error {
		if made() == 0 {
			return errors.New("nothing is written yet")
		}
		return nil
	})
	must(t, cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("it ended with %v: %s", err, &said)
	}
	names, err := os.ReadDir(dir)
	must(t, err)
	if len(names) != 0 || !strings.Contains(out.String(), "the check was stopped") {
		t.Errorf("left: %v\n%s%s", names, &out, &said)
	}
}
