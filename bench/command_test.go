package bench_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/bench"
	"github.com/gridferry/gridferry/transfer"
)

func locations(t *testing.T, texts ...string) []transfer.Location {
	t.Helper()
	var locs []transfer.Location
	for _, text := range texts {
		l, err := transfer.ParseLocation(text)
		if err != nil {
			t.Fatal(err)
		}
		locs = append(locs, l)
	}
	return locs
}

func peer(t *testing.T, name string) bench.Contender {
	t.Helper()
	peers, err := bench.Select([]string{name})
	if err != nil || len(peers) != 1 {
		t.Fatalf("%s selects %v, %v", name, peers, err)
	}
	return peers[0]
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		name, peer string
		src, dst   []string
		job        bench.Job
		want       string // arguments; after "!", words of the refusal
	}{
		{"third party", "guc-fast-p4", []string{"gsiftp://a:2911/s"}, []string{"gsiftp://b/d/"}, bench.Job{},
			"-fast -p 4 -r -cd gsiftp://a:2911/s/ gsiftp://b/d/"},
		{"one file", "guc-fast", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{File: "f"},
			"-fast gsiftp://a/s/f gsiftp://b/d/f"},
		{"verified, encrypted", "guc", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{Verify: true, Encrypt: true},
			"-verify-checksum -dcpriv -f "},
		{"verified, from a list", "guc-fast-pp", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{Verify: true, List: "/tmp/list"},
			"-fast -pp -verify-checksum -f /tmp/list"},
		{"one file, verified", "guc", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{Verify: true, File: "f"},
			"-verify-checksum gsiftp://a/s/f gsiftp://b/d/f"},
		{"scp compares nothing", "scp", []string{"file:///s"}, []string{"sshftp://b/d"}, bench.Job{Verify: true}, "!compare checksums"},
		{"rsync compares what it sent", "rsync", []string{"file:///s"}, []string{"sshftp://b/d"}, bench.Job{Verify: true}, "!compare checksums"},
		{"no DCAU", "guc", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{NoDCAU: true},
			"-nodcau -r -cd gsiftp://a/s/ gsiftp://b/d/"},
		{"a put", "guc", []string{"file://here/x", "file:///s"}, []string{"gsiftp://b/d"}, bench.Job{},
			"-r -cd file:///s/ gsiftp://b/d/"},
		{"an endpoint's other name", "guc", []string{"lab#dtn:/s", "gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{},
			"-r -cd gsiftp://a/s/ gsiftp://b/d/"},
		{"one file has no pipeline", "guc-fast-pp", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{File: "f"},
			"!no difference to one file"},
		{"names only", "guc", []string{"lab#dtn:/s"}, []string{"gsiftp://b/d"}, bench.Job{}, "!from lab#dtn to gsiftp"},
		{"scp and GSI", "scp", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{}, "!scp cannot copy from gsiftp to gsiftp"},
		{"scp between hosts", "scp", []string{"sshftp://ada@a:2222/s"}, []string{"sshftp://b/~/d"}, bench.Job{},
			"-q -B -r scp://ada@a:2222//s scp://b:22/d"},
		{"scp beside GSI", "scp", []string{"gsiftp://a/s", "file:///s"}, []string{"gsiftp://b/d", "sshftp://b/d"}, bench.Job{File: "f"},
			"-q -B -r /s/f scp://b:22//d/f"},
		{"scp has nothing to encrypt here", "scp", []string{"file:///s"}, []string{"file:///d"}, bench.Job{Encrypt: true}, "! encrypted"},
		{"rsync puts", "rsync", []string{"file:///s"}, []string{"sshftp://ada@[::1]:2222/d"}, bench.Job{},
			"-a -e ssh -o BatchMode=yes -p 2222 /s/ ada@[::1]:/d/"},
		{"rsync gets a file", "rsync-whole", []string{"sshftp://a/~/s"}, []string{"file:///d"}, bench.Job{File: "f"},
			"-a --whole-file --inplace -e ssh -o BatchMode=yes -p 22 a:s/f /d/f"},
		{"rsync here", "rsync", []string{"file:///s"}, []string{"file:///d"}, bench.Job{}, "-a /s/ /d/"},
		{"rsync between hosts", "rsync", []string{"sshftp://a/s"}, []string{"sshftp://b/d"}, bench.Job{}, "!rsync cannot copy"},
		{"rclone", "rclone", []string{"file:///s"}, []string{"sshftp://ada@b:2222/d"}, bench.Job{},
			`copy --ignore-checksum /s :sftp,host="b",port=2222,user=ada,ssh="ssh -o BatchMode=yes -p 2222 ada@b":/d`},
		{"rclone and one file", "rclone", []string{"file:///s"}, []string{"file:///d"}, bench.Job{File: "f", Verify: true}, "copyto /s/f /d/f"},
		{"rclone to a store", "rclone-s3-64", []string{"file://h/x", "file:///s"}, []string{"lab#store:/d", "s3://bkt/d"}, bench.Job{},
			"copy --transfers 64 --checkers 64 --s3-disable-checksum --ignore-checksum /s :s3:bkt/d"},
		{"rclone's flags for stores", "rclone-s3-4x8", []string{"file:///s"}, []string{"sshftp://b/d"}, bench.Job{}, "!flags are about object stores"},
		{"aws puts a tree", "aws", []string{"file:///s"}, []string{"s3://bkt/d"}, bench.Job{}, "s3 cp --only-show-errors --recursive /s/ s3://bkt/d/"},
		{"aws gets a file", "aws-32", []string{"s3://bkt/s"}, []string{"file:///d"}, bench.Job{File: "f"},
			"s3 cp --only-show-errors --profile gridferry-bench-32 s3://bkt/s/f /d/f"},
		{"aws has no ssh", "aws", []string{"file:///s"}, []string{"sshftp://b/d"}, bench.Job{}, "!aws cannot copy"},
		{"globus has no stores", "guc", []string{"file:///s"}, []string{"s3://bkt/d"}, bench.Job{}, "!globus-url-copy cannot copy"},
		{"sftp", "sftp-R256-B256k", []string{"file:///s"}, []string{"sshftp://ada@b:2222/d"}, bench.Job{List: "/tmp/l"},
			"-q -o BatchMode=yes -b /tmp/l -R 256 -B 261120 -P 2222 ada@b"},
		{"the null client", "null-2", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{Encrypt: true, NoDCAU: true},
			"-pairs 2 -encrypt -nodcau gsiftp://a/s/ gsiftp://b/d/"},
		{"the null client verifies", "null", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{Verify: true, File: "f"},
			"-verify gsiftp://a/s/f gsiftp://b/d/f"},
		{"the null client has no ssh", "null", []string{"sshftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{}, "!nullcopy cannot copy"},
		{"a get into a put", "guc-pipe", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{File: "f", Encrypt: true, NoDCAU: true},
			`-c globus-url-copy -dcpriv -nodcau "$0" - | globus-url-copy -dcpriv -nodcau - "$1" gsiftp://a/s/f gsiftp://b/d/f`},
		{"a pipe is of one file", "guc-pipe", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{}, "!sh cannot copy"},
		{"cp", "cp", []string{"file://h/x", "file:///s"}, []string{"file:///d"}, bench.Job{}, "-rT /s /d"},
		{"cp goes nowhere", "cp", []string{"file:///s"}, []string{"sshftp://b/d"}, bench.Job{}, "!cp cannot copy"},
		{"ours", "gridferry-classic", []string{"lab#dtn:/s", "gsiftp://a/s"}, []string{"file://h/d"}, bench.Job{},
			"transfer --wait --verify none --tuning classic --recursive lab#dtn:/s/ file://h/d/"},
		{"ours, through a worker", "gridferry-classic", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{Route: "relay"},
			"transfer --wait --verify none --tuning classic --route relay --recursive gsiftp://a/s/ gsiftp://b/d/"},
		{"ours, one file", "gridferry-classic", []string{"gsiftp://a/s"}, []string{"gsiftp://b/d"}, bench.Job{File: "f", Verify: true, Encrypt: true},
			"transfer --wait --verify checksum --tuning classic --encrypt gsiftp://a/s/f gsiftp://b/d/f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.job.Source, c.job.Destination = locations(t, c.src...), locations(t, c.dst...)
			args, err := peer(t, c.peer).Command(c.job)
			if refusal, refused := strings.CutPrefix(c.want, "!"); refused {
				if err == nil || !strings.Contains(err.Error(), refusal) {
					t.Errorf("%q, %v; want a refusal with %q", args, err, refusal)
				}
				return
			}
			if got := strings.Join(args, " "); err != nil || got != c.want {
				t.Errorf("%s\nwant %s\n%v", got, c.want, err)
			}
		})
	}
}

func TestList(t *testing.T) {
	j := bench.Job{Source: locations(t, "lab#dtn:/s", "gsiftp://a/s"), Destination: locations(t, "gsiftp://b/d"), Verify: true}
	guc := peer(t, "guc")
	if !guc.Lists(j) || !guc.Prepared(j) || peer(t, "sftp").Prepared(j) || peer(t, "null").Lists(j) || guc.Lists(bench.Job{Verify: true, File: "f"}) || guc.Lists(bench.Job{}) {
		t.Error("globus-url-copy alone takes a list, of several files that are verified")
	}
	var list strings.Builder
	if err := guc.WriteList(&list, j, slices.Values([]string{"d0/f0", "d1/f 1"})); err != nil {
		t.Fatal(err)
	}
	if want := "gsiftp://a/s/d0/f0 gsiftp://b/d/d0/f0\ngsiftp://a/s/d1/f%201 gsiftp://b/d/d1/f%201\n"; list.String() != want {
		t.Errorf("%q, want %q", list.String(), want)
	}
	for _, c := range []struct{ src, dst, file, want string }{
		{"file:///s", "sshftp://b/~/d", "", "put -r \"/s\" \"d\"\n"},
		{"sshftp://b/s", "file:///d", `a "\`, `get -r "/s/a \"\\" "/d/a \"\\"` + "\n"},
	} {
		list.Reset()
		one := bench.Job{Source: locations(t, c.src), Destination: locations(t, c.dst), File: c.file}
		if err := peer(t, "sftp").WriteList(&list, one, nil); err != nil || list.String() != c.want {
			t.Errorf("%q, want %q, %v", list.String(), c.want, err)
		}
	}
	if err := guc.WriteList(brokenWriter{}, j, slices.Values([]string{"f"})); err == nil {
		t.Error("a list that could not be written")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestSelect(t *testing.T) {
	names := func(list []bench.Contender) (names []string) {
		for _, c := range list {
			names = append(names, c.Name)
		}
		return names
	}
	all, err := bench.Select([]string{bench.AllPeers})
	if err != nil || slices.ContainsFunc(all, func(c bench.Contender) bool { return c.Own() || c.Null }) || len(all) < 10 {
		t.Errorf("all peers are %v, %v", names(all), err)
	}
	some, err := bench.Select([]string{"scp", "guc-fast-p*", "scp", "gridferry-*"})
	if got := strings.Join(names(some), " "); err != nil || !strings.HasPrefix(got, "guc-fast-pp ") || !strings.HasSuffix(got, " scp gridferry-classic") {
		t.Errorf("selected %s, %v", got, err)
	}
	for _, wrong := range []string{"ftp", "", "[", "gridftp*"} {
		if got, err := bench.Select([]string{"scp", wrong}); err == nil {
			t.Errorf("%q selects %v", wrong, names(got))
		}
	}
	if rest := names(bench.NotAsked(some)); len(rest) != len(bench.Peers())-len(some) || slices.Contains(rest, "scp") || !slices.Contains(rest, "guc") {
		t.Errorf("beside %v there are %v", names(some), rest)
	}
	seen := make(map[string]bool)
	for _, p := range append(bench.Peers(), bench.Ours()) {
		if seen[p.Name] || p.Name == "" || p.Program == "" || p.Own() != strings.HasPrefix(p.Name, bench.Own) {
			t.Errorf("%+v", p)
		}
		seen[p.Name] = true
	}
}
