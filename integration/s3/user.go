package s3

import (
	"crypto/rand"
	"os/exec"
	"testing"

	"github.com/gridferry/gridferry/integration/harness"
)

// User is somebody else than the store's owner, who may do what the policies of
// its buckets say.
type User struct{ Name, Access, Secret string }

// NewUser makes an account.
func (s *Store) NewUser(t testing.TB, name string) User {
	t.Helper()
	u := User{name, "AK" + rand.Text(), rand.Text()}
	cmd := exec.CommandContext(t.Context(), harness.VersityGW(t), "admin", "--endpoint-url", "http://"+s.Addr, "create-user", "--access", u.Access, "--secret", u.Secret, "--role", "user")
	cmd.Env = harness.Environment("ADMIN_ACCESS_KEY_ID="+s.Access, "ADMIN_SECRET_ACCESS_KEY="+s.Secret)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the user %s: %v: %s", name, err, out)
	}
	return u
}
