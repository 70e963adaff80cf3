// The command newsite makes throw-away secrets for a trial of
// docker-compose.yaml. A real site has its own, from its own authorities.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gridferry/gridferry/integration/compose"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: newsite DIRECTORY")
		os.Exit(2)
	}
	if err := compose.WriteSite(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "newsite:", err)
		os.Exit(1)
	}
	fmt.Printf("export GRIDFERRY_SECRETS=%s GRIDFERRY_UID=%d GRIDFERRY_GID=%d\n", os.Args[1], os.Getuid(), os.Getgid())
}
