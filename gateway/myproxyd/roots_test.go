package myproxyd

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRootsDir(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"0a1b2c3d.0": "cert", "0a1b2c3d.signing_policy": "policy", "0a1b2c3d.r0": "list", "notes.txt": "", "hostkey.pem": "a secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := NewRootsDir(dir)
	files, err := d.Files()
	if err != nil || len(files) != 3 || files[0].Name != "0a1b2c3d.0" || string(files[0].Content) != "cert" {
		t.Errorf("%v, %v", files, err)
	}
	if err := os.Truncate(filepath.Join(dir, "0a1b2c3d.r0"), maxRoots+1); err != nil {
		t.Fatal(err)
	}
	if files, err := d.Files(); err != nil || len(files) != 3 {
		t.Errorf("within a minute it was read again: %v, %v", files, err)
	}
	if _, err := readRoots(dir); err == nil {
		t.Error("files without a limit were read")
	}
	if _, err := readRoots(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there was read")
	}
}
