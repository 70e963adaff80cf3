package harness

import (
	"os"
	"path/filepath"
	"strings"
)

// HasRclone says that Rclone has nothing to download and to compile.
func HasRclone() bool {
	_, version, _ := strings.Cut(rclone, "@")
	_, err := os.Stat(filepath.Join(cache(), "rclone-"+version, "rclone"))
	return err == nil
}
