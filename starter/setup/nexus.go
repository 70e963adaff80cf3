package setup

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/transfer"
)

// nexusCommand returns "setup nexus".
func (p Program) nexusCommand() *cobra.Command {
	var namespace, queue string
	var create bool
	c := &cobra.Command{
		Use:   "nexus NAME",
		Short: "Let workflows of other namespaces ask for transfers",
		Long: `Prints the command that makes a Nexus endpoint of that name, behind which the
workers of a namespace carry out transfers; with --create makes it. That needs
operator rights on the Temporal cluster.`,
		Example: `  gridferry setup nexus gridferry --target-namespace default
  gridferry setup nexus gridferry --target-namespace default --create`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if create {
				if err := p.CreateNexus(c.Context(), args[0], namespace, queue); err != nil {
					return err
				}
				fmt.Fprintf(p.Stderr, "Made the Nexus endpoint %s.\n", args[0])
				return nil
			}
			_, err := fmt.Fprintf(p.Stdout, "temporal operator nexus endpoint create --name %s --target-namespace %s --target-task-queue %s\n", args[0], namespace, queue)
			return err
		},
	}
	c.Flags().StringVar(&namespace, "target-namespace", "default", "`namespace` whose workers carry the transfers out")
	c.Flags().StringVar(&queue, "target-task-queue", transfer.QueueControl, "their task `queue`")
	c.Flags().BoolVar(&create, "create", false, "make it")
	return c
}
