package compose

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/gridferry/gridferry/integration/harness"
)

// A stack runs services of docker-compose.yaml without an engine. Each has a
// network namespace of its own, and an overlay over this machine's file system
// with the files of its image, its volumes and its secrets where the Compose
// file puts them. So the programs are this machine's, and everything that this
// repository says about them is what runs.
type stack struct {
	t       *testing.T
	project *types.Project
	network *harness.Network
	hosts   map[string]*harness.Host // by service
	images  map[string]dockerfile    // that stand in for those of others, by service
	volumes map[string]string        // directories, by name
}

// A box is a running service.
type box struct {
	*harness.Process
	service types.ServiceConfig
	host    *harness.Host
	stack   *stack
	env     []string // of what runs inside
	as      []string // the command that becomes the service's user; empty is root
}

func newStack(t *testing.T) *stack {
	t.Helper()
	harness.NeedRoot(t, "it mounts overlay file systems")
	harness.Need(t, "unshare")
	harness.Need(t, "setpriv")
	s := &stack{
		t:       t,
		project: load(t),
		network: harness.NewNetwork(t),
		hosts:   make(map[string]*harness.Host),
		images:  make(map[string]dockerfile),
		volumes: make(map[string]string),
	}
	for _, name := range s.project.ServiceNames() {
		s.hosts[name] = s.network.Host(name)
	}
	for name := range s.project.Volumes {
		// Reached by whatever uid a service runs with.
		s.volumes[name] = open(t, t.TempDir())
	}
	return s
}

// open lets every user into a directory, and into those above it that belong
// to the test.
func open(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run starts a service's own command.
func (s *stack) run(name string) *box {
	s.t.Helper()
	b, command := s.box(name)
	b.Process = harness.Start(s.t, harness.Command{
		Name: name, Path: command[0], Args: command[1:], Env: b.env, Dir: "/", Namespace: b.host.Namespace,
	})
	return b
}

// once runs a service with other arguments to its end, as `docker compose run`
// does, and returns what it printed.
func (s *stack) once(limit time.Duration, name, stdin string, args ...string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	b, command := s.box(name, args...)
	cmd := exec.CommandContext(ctx, harness.Need(s.t, "ip"), append([]string{"netns", "exec", b.host.Namespace}, command...)...)
	cmd.Env, cmd.Dir, cmd.Stdin = b.env, "/", strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// box lays out a service, and returns the command that starts it: with args, if
// there are any, for its own.
func (s *stack) box(name string, args ...string) (*box, []string) {
	s.t.Helper()
	service := s.project.Services[name]
	image, ok := s.images[name]
	if !ok {
		image = readDockerfile(s.t, service.Build)
	}
	b := &box{service: service, host: s.hosts[name], stack: s}
	b.env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"}, image.env...)
	for variable, value := range service.Environment {
		if value == nil {
			s.t.Fatalf("%s: %s is left to the environment of whoever starts the stack", name, variable)
		}
		b.env = append(b.env, variable+"="+*value)
	}
	user := service.User
	if user == "" {
		user = image.user
	}
	if user != "" {
		uid, gid, _ := strings.Cut(user, ":")
		b.as = []string{"setpriv", "--reuid=" + uid, "--regid=" + gid, "--clear-groups"}
	}
	script := b.prepare(image)

	entrypoint := service.Entrypoint
	if entrypoint == nil {
		entrypoint = image.entrypoint
	}
	command := service.Command
	if command == nil && service.Entrypoint == nil {
		command = image.command
	}
	if len(args) > 0 {
		command = args
	}
	// A process namespace, so that a daemon that left its process group ends
	// with the box.
	unshare := []string{harness.Need(s.t, "unshare"), "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", script}
	return b, slices.Concat(unshare, b.as, entrypoint, command)
}

// output runs a command in a box that runs, as `docker compose exec` does, and
// returns what it printed.
func (b *box) output(limit time.Duration, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	inside, err := b.inside()
	if err != nil {
		return "", err
	}
	args := append([]string{"--target", inside, "--mount", "--net", "--pid", "--root", "--wd"}, b.as...)
	cmd := exec.CommandContext(ctx, "nsenter", append(args, command...)...)
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", b.service.Name, strings.Join(command, " "), err, out)
	}
	return string(out), err
}

// inside is the process id, out here, of the first process of a box.
func (b *box) inside() (string, error) {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", b.PID()))
	if err != nil {
		return "", err
	}
	first := strings.TrimSpace(string(children))
	if first == "" {
		return "", fmt.Errorf("%s: nothing runs in it yet", b.service.Name)
	}
	return first, nil
}

// stop asks the service's own process to end, as the engine does, and returns
// how it ended.
func (b *box) stop(limit time.Duration) error {
	b.stack.t.Helper()
	inside, err := b.inside()
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(inside)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	return b.Wait(limit)
}

// healthy waits until the service's own healthcheck succeeds.
func (b *box) healthy() {
	b.stack.t.Helper()
	check := healthcheck(b.stack.t, b.service)
	b.Ready(time.Minute, func() error {
		_, err := b.output(10*time.Second, check...)
		return err
	})
}

// prepare lays out the file system of a service and writes the script that
// enters it.
func (b *box) prepare(image dockerfile) (script string) {
	t := b.stack.t
	t.Helper()
	dir := open(t, t.TempDir())
	upper, merged := filepath.Join(dir, "upper"), filepath.Join(dir, "merged")
	for _, d := range []string{upper, merged, filepath.Join(dir, "work")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var sh strings.Builder
	fmt.Fprintf(&sh, "set -eu\nmount -t overlay overlay -o lowerdir=/,upperdir=%s,workdir=%s/work %s\n", upper, dir, merged)
	fmt.Fprintf(&sh, "mount -t proc proc %s/proc\nmount --rbind /dev %s/dev\nmount -t tmpfs tmpfs %s/run\n", merged, merged, merged)
	bind := func(source, target string, readOnly bool) {
		info, err := os.Stat(source)
		if err != nil {
			t.Fatal(err)
		}
		at := quote(merged + target)
		if info.IsDir() {
			fmt.Fprintf(&sh, "mkdir -p %s\n", at)
		} else {
			fmt.Fprintf(&sh, "mkdir -p %s; touch %s\n", quote(filepath.Dir(merged+target)), at)
		}
		fmt.Fprintf(&sh, "mount --bind %s %s\n", quote(source), at)
		if readOnly {
			fmt.Fprintf(&sh, "mount -o remount,bind,ro %s\n", at)
		}
	}
	for _, c := range image.copies {
		source := filepath.Join(b.service.Build.Context, c.source)
		if c.stage != "" { // what the image compiles
			source = harness.Binary(t, filepath.Base(c.source))
		}
		bind(source, c.target, true)
	}
	for _, v := range b.service.Volumes {
		source := v.Source
		if v.Type == types.VolumeTypeVolume {
			source = b.stack.volumes[v.Source]
		}
		bind(source, v.Target, v.ReadOnly)
	}
	for _, secret := range b.service.Secrets {
		target := secret.Target
		if target == "" {
			target = secret.Source
		}
		if !filepath.IsAbs(target) {
			target = "/run/secrets/" + target
		}
		bind(b.stack.project.Secrets[secret.Source].File, target, true)
	}
	for i, config := range b.service.Configs {
		source := filepath.Join(dir, fmt.Sprintf("config%d", i))
		if err := os.WriteFile(source, []byte(b.stack.project.Configs[config.Source].Content), 0o644); err != nil {
			t.Fatal(err)
		}
		bind(source, config.Target, true)
	}
	bind(b.hostsFile(dir), "/etc/hosts", true)

	fmt.Fprintf(&sh, "exec chroot %s \"$@\"\n", merged)
	script = filepath.Join(dir, "enter.sh")
	if err := os.WriteFile(script, []byte(sh.String()), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// hostsFile stands in for the engine's name service.
func (b *box) hostsFile(dir string) string {
	t := b.stack.t
	t.Helper()
	lines := []string{"127.0.0.1 localhost", "::1 localhost"}
	for name, host := range b.stack.hosts {
		lines = append(lines, host.Address+" "+name)
	}
	path := filepath.Join(dir, "hosts")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
