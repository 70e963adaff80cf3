package globus

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// copyLimit ends a globus-url-copy that hangs, well before go test would.
const copyLimit = 5 * time.Minute

// ClientEnv is the environment for a Globus client that trusts one authority
// and has one proxy; both may be absent for plain FTP.
func ClientEnv(ca *gsitest.CA, proxy string, more ...string) []string {
	env := []string{}
	if ca != nil {
		env = append(env, "X509_CERT_DIR="+ca.Dir)
	}
	if proxy != "" {
		env = append(env, "X509_USER_PROXY="+proxy)
	}
	return harness.Environment(append(env, more...)...)
}

// URLCopy runs globus-url-copy and returns what it printed; the test fails when
// it does.
func URLCopy(t testing.TB, env []string, args ...string) string {
	t.Helper()
	out, err := TryURLCopy(t, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TryURLCopy runs globus-url-copy and returns what it printed, which is also
// part of the error.
func TryURLCopy(t testing.TB, env []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), copyLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Need(t, "globus-url-copy"), args...)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("globus-url-copy %q: %w\n%s", args, err, out.Bytes())
	}
	return out.String(), nil
}
