package temporal

import "testing"

// FreePort picks a port for the Web UI, which has no way to pick its own.
func FreePort(t *testing.T) int {
	t.Helper()
	port, err := freePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return port
}
