package main

import (
	"context"
	"os"

	nexuspb "go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/starter/setup"
)

// setupProgram is "gridferry setup".
func setupProgram() setup.Program {
	return setup.Program{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: isTerminal(os.Stdin) && isTerminal(os.Stderr),
		Temporal: func(ctx context.Context, address, namespace string) error {
			tc, _, err := dial(ctx, starter.Connection{Address: address, Namespace: namespace})
			if err != nil {
				return err
			}
			defer tc.Close()
			_, err = tc.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
			return fault.Wrap(fault.NotFound, "find namespace", namespace, err)
		},
		CreateNexus: func(ctx context.Context, name, namespace, queue string) error {
			tc, _, err := dial(ctx, starter.Connection{})
			if err != nil {
				return err
			}
			defer tc.Close()
			_, err = tc.OperatorService().CreateNexusEndpoint(ctx, &operatorservice.CreateNexusEndpointRequest{Spec: &nexuspb.EndpointSpec{
				Name: name,
				Target: &nexuspb.EndpointTarget{Variant: &nexuspb.EndpointTarget_Worker_{
					Worker: &nexuspb.EndpointTarget_Worker{Namespace: namespace, TaskQueue: queue},
				}},
			}})
			return fault.Wrap(fault.Internal, "make Nexus endpoint", name, err)
		},
	}
}
