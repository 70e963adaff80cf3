package compose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// uid is what our own services run as. It is nobody's on this machine.
const uid = 61234

// load reads docker-compose.yaml as Compose does, with the secrets of a new
// throw-away site. Nothing in this process's environment has a say.
func load(t *testing.T) *types.Project {
	t.Helper()
	secrets := filepath.Join(t.TempDir(), "secrets")
	if err := WriteSite(t.Context(), secrets); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		// newsite makes them for whoever runs it.
		err := filepath.WalkDir(secrets, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, uid, uid))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	options, err := cli.NewProjectOptions(
		[]string{filepath.Join(root, "docker-compose.yaml")},
		cli.WithWorkingDirectory(root),
		cli.WithEnv([]string{"GRIDFERRY_SECRETS=" + secrets, fmt.Sprintf("GRIDFERRY_UID=%d", uid), fmt.Sprintf("GRIDFERRY_GID=%d", uid)}),
		cli.WithResolvedPaths(true),
		cli.WithProfiles([]string{"trial"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("docker-compose.yaml: %v", err)
	}
	return project
}

func TestEveryServiceCanBeBuiltOrPulled(t *testing.T) {
	project := load(t)
	for name, s := range project.Services {
		checkTag(t, name, s.Image)
		if s.Build == nil {
			continue
		}
		d := readDockerfile(t, s.Build)
		for _, from := range d.from {
			checkTag(t, name+": "+d.path, from)
		}
		for _, source := range d.sources {
			if _, err := os.Stat(filepath.Join(s.Build.Context, source)); err != nil {
				t.Errorf("%s: %s copies what is not in its context: %v", name, d.path, err)
			}
		}
		if len(d.entrypoint) == 0 {
			t.Errorf("%s: %s starts nothing", name, d.path)
		}
	}
}

// checkTag wants an image that is the same tomorrow.
func checkTag(t *testing.T, where, image string) {
	t.Helper()
	_, tag, _ := strings.Cut(image, ":")
	if tag == "" || tag == "latest" {
		t.Errorf("%s: image %q is not pinned", where, image)
	}
}

func TestEveryFileThatAServiceIsGivenExists(t *testing.T) {
	project := load(t)
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if !v.ReadOnly {
					t.Errorf("%s could write to %s", name, v.Source)
				}
			case types.VolumeTypeVolume:
				if _, ok := project.Volumes[v.Source]; !ok {
					t.Errorf("%s: volume %q is not declared", name, v.Source)
				}
			default:
				t.Errorf("%s: %s is a %s, which this test does not know", name, v.Target, v.Type)
			}
		}
		for _, secret := range s.Secrets {
			info, err := os.Stat(project.Secrets[secret.Source].File)
			if err != nil {
				t.Errorf("%s: secret %s: %v", name, secret.Source, err)
			} else if info.Size() == 0 {
				t.Errorf("%s: secret %s is empty", name, secret.Source)
			}
		}
		for _, f := range s.EnvFiles {
			if _, err := os.Stat(f.Path); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestNoSecretIsInTheEnvironment(t *testing.T) {
	for name, s := range load(t).Services {
		for variable, value := range s.Environment {
			secret := strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "SECRET") || strings.HasSuffix(variable, "_PWD")
			if secret && !strings.HasSuffix(variable, "_FILE") {
				t.Errorf("%s: %s is set to %q; give the file that holds it", name, variable, *value)
			}
		}
	}
}

func TestNoDaemonHasWhatIsAUsers(t *testing.T) {
	for name, s := range load(t).Services {
		for _, secret := range s.Secrets {
			if strings.HasPrefix(secret.Source, "user_") && len(s.Profiles) == 0 {
				t.Errorf("%s has the secret %s", name, secret.Source)
			}
		}
		if name != "gridferry" && slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == "vault_keyset" }) {
			t.Errorf("%s has the keys that seal credentials", name)
		}
	}
}

func TestWhatStaysUpIsWatched(t *testing.T) {
	for name, s := range load(t).Services {
		if strings.HasPrefix(s.Restart, "on-failure") {
			continue // runs once
		}
		if len(s.Profiles) > 0 {
			continue // is a user's
		}
		if s.Restart != "unless-stopped" {
			t.Errorf("%s is not started again after it ended (restart: %q)", name, s.Restart)
		}
		if len(healthcheck(t, s)) == 0 {
			t.Errorf("%s has no healthcheck, neither here nor in its image", name)
		}
	}
}

func TestDependenciesAreAwaitedAndReachable(t *testing.T) {
	project := load(t)
	for name, s := range project.Services {
		for _, other := range slices.Sorted(maps.Keys(s.DependsOn)) {
			o := project.Services[other]
			if strings.HasPrefix(o.Restart, "on-failure") {
				if s.DependsOn[other].Condition != types.ServiceConditionCompletedSuccessfully {
					t.Errorf("%s does not wait until %s is done", name, other)
				}
				continue
			}
			if s.DependsOn[other].Condition != types.ServiceConditionHealthy {
				t.Errorf("%s does not wait until %s is healthy", name, other)
			}
			if !share(s, o) {
				t.Errorf("%s depends on %s, and they are on no network together", name, other)
			}
		}
	}
}

func share(a, b types.ServiceConfig) bool {
	for network := range a.Networks {
		if _, ok := b.Networks[network]; ok {
			return true
		}
	}
	return false
}

func TestOnlyLoopbackIsPublished(t *testing.T) {
	for name, s := range load(t).Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s to everybody, which is for a site to decide", name, port.Published)
			}
		}
	}
}

// healthcheck is the command that says whether a service is well: the Compose
// file's, or its image's.
func healthcheck(t *testing.T, s types.ServiceConfig) []string {
	t.Helper()
	switch {
	case s.HealthCheck != nil && len(s.HealthCheck.Test) > 1 && s.HealthCheck.Test[0] == "CMD":
		return s.HealthCheck.Test[1:]
	case s.Build != nil:
		return readDockerfile(t, s.Build).healthcheck
	}
	return nil
}

func TestASiteIsNotMadeTwice(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	if err := WriteSite(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "postgres_password"))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteSite(t.Context(), dir); err == nil {
		t.Error("WriteSite replaced a site")
	}
	after, err := os.ReadFile(filepath.Join(dir, "postgres_password"))
	if err != nil || string(after) != string(before) {
		t.Errorf("the password is now %q (%v), was %q", after, err, before)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		secret := strings.HasSuffix(path, ".key.pem") || filepath.Base(path) == "vault_keyset" || filepath.Base(path) == "gridferry_password"
		if err != nil || !secret {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = errors.New(path + " can be read by others")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
