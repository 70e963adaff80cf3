package temporal

import (
	"context"
	"strings"

	"go.temporal.io/server/common/authorization"
)

// noOperator lets everybody do everything within a namespace and nobody
// administer the cluster.
type noOperator struct{}

// Authorize implements authorization.Authorizer.
func (noOperator) Authorize(_ context.Context, _ *authorization.Claims, call *authorization.CallTarget) (authorization.Result, error) {
	for _, refused := range []string{
		"/temporal.api.operatorservice.",
		"/temporal.api.workflowservice.v1.WorkflowService/RegisterNamespace",
		"/temporal.api.workflowservice.v1.WorkflowService/UpdateNamespace",
		"/temporal.api.workflowservice.v1.WorkflowService/DeprecateNamespace",
	} {
		if strings.HasPrefix(call.APIName, refused) {
			return authorization.Result{Decision: authorization.DecisionDeny, Reason: "this server has no operators"}, nil
		}
	}
	return authorization.Result{Decision: authorization.DecisionAllow}, nil
}
