package mover

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

// A host in another network, with no store and no keys, moves data between two
// servers with what their owner has activated elsewhere. It is killed in the
// middle, and a second one goes on.
func TestMoverHost(t *testing.T) {
	t.Parallel()
	network := harness.NewNetwork(t)
	host, far := network.Host("mover"), network.Host("dtn")
	far.Limit(8 << 20)
	address := net.JoinHostPort(network.Address, strconv.Itoa(harness.FreePort(t)))

	// The certificates come first: the daemon's configuration names them.
	s := prepareSite(t, []string{"-host", network.Address})
	cert, key := s.ca.PairFiles(s.ca.Host(network.Address))
	moverHost := s.ca.User("mover.example.org") // hosts of this authority all have one DN
	src := globus.NewServer(t, globus.Options{CA: s.ca, Address: network.Address})
	dst := globus.NewServer(t, globus.Options{CA: s.ca, Address: far.Address, Namespace: far.Namespace})
	s.run("roles: [control]",
		fmt.Sprintf("api: {socket: %q, listen: %q, cert: %q, key: %q, movers: [%q]}", s.socket, address, cert, key, moverHost.Identity()),
		"endpoints:",
		fmt.Sprintf("  lab#src: {kind: gridftp, servers: [%q], domain: lab}", src.Addr()),
		fmt.Sprintf("  lab#dst: {kind: gridftp, servers: [%q], domain: lab, limits: {sessions: 4}}", dst.Addr()),
	)
	made, err := tree.Make(src.Path("tree"), tree.Spec{Seed: 5, Files: 120, Bytes: 64 << 20, Large: []int64{32 << 20}, Odd: true, Deep: 3}, nil)
	must(t, err)

	moverConf := func(credential *gsi.Credential, dir string) []string {
		cert, key := s.ca.PairFiles(credential)
		return []string{
			fmt.Sprintf("data_dir: %q", dir), fmt.Sprintf("trust_dir: %q", s.ca.Dir), "site: mover",
			fmt.Sprintf("service: {url: %q, cert: %q, key: %q}", "https://"+address, cert, key),
		}
	}
	dir := filepath.Join(t.TempDir(), "state")
	first := s.start("mover", host.Namespace, nil, moverConf(moverHost, dir)...)

	const id = transfer.TaskID("far-away")
	succeeds(t, s.gridferry("transfer", "--task-id", string(id), "-r", "lab#src:"+src.Path("tree"), "lab#dst:"+dst.Path("in")), time.Minute)
	s.task(id, time.Minute, func(t transfer.Task) bool { return t.Status == transfer.Inactive })
	succeeds(t, s.gridferry("endpoint", "activate", "lab#src", "--proxy-file", s.proxy), time.Minute)
	s.task(id, 2*time.Minute, func(t transfer.Task) bool { return t.Progress.BytesDone+t.Progress.BytesInFlight > 8<<20 })
	first.Kill()
	second := s.start("another mover", host.Namespace, nil, moverConf(moverHost, dir)...)
	task := s.task(id, 4*time.Minute, func(t transfer.Task) bool { return t.Status == transfer.Succeeded || t.Status == transfer.Failed })
	if task.Status != transfer.Succeeded || task.Route.Path != transfer.RouteThirdParty {
		t.Fatalf("it %s, %s: %s", task.Status, task.Route.Path, task.Verdict)
	}
	sameTrees(t, src.Path("tree"), dst.Path("in"))
	t.Logf("%d bytes were sent for %d", dst.Moved("STOR", ""), made.Bytes)

	if n := strings.Count(s.daemon.Log(), "a proxy was delegated"); n == 0 || n > 8 {
		t.Errorf("%d proxies were delegated to two workers for two ends", n)
	}
	// The mover keeps nothing.
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("it has %s", path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	secret, err := os.ReadFile(s.proxy)
	must(t, err)
	_, keyPEM, _ := strings.Cut(string(secret), "PRIVATE KEY-----\n")
	for _, p := range []*harness.Process{first, second, s.daemon} {
		if strings.Contains(p.Log(), "PRIVATE KEY") || strings.Contains(p.Log(), keyPEM[:64]) {
			t.Error("a log holds a private key")
		}
	}

	// A host that the site does not list is refused, with what to do about it.
	conf := filepath.Join(t.TempDir(), "stranger.yaml")
	must(t, os.WriteFile(conf, []byte(strings.Join(moverConf(s.ca.User("stranger.example.org"), dir), "\n")+"\n"), 0o600))
	stranger := harness.Start(t, harness.Command{
		Name: "stranger", Path: harness.Binary(t, "gridferryd"), Args: []string{"run", "--config", conf}, Namespace: host.Namespace,
		Env: harness.Environment(s.temporal.Env()...),
	})
	if err := stranger.Wait(time.Minute); err == nil || !strings.Contains(stranger.Log(), "an operator lists such hosts under api.movers") {
		t.Errorf("a stranger ends with %v:\n%s", err, stranger.Log())
	}
}
