// The command analysisd is a worker of the example analysis. Where Temporal is,
// is said as to every Temporal tool: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and
// others, or a profile.
package main

import (
	"fmt"
	"os"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/worker"

	"github.com/gridferry/gridferry/integration/embedding"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "analysisd:", err)
		os.Exit(1)
	}
}

func run() error {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return err
	}
	c, err := client.Dial(options)
	if err != nil {
		return err
	}
	defer c.Close()
	return embedding.NewWorker(c).Run(worker.InterruptCh())
}
