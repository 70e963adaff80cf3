package workers

import (
	"context"

	"go.temporal.io/sdk/interceptor"
)

// heartbeats lets every heartbeat that has begun come to its end. The SDK takes
// one that its caller gave up for a server that cannot be reached, and cancels
// the activity - also when it was given up because it was needed no more.
type heartbeats struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (*heartbeats) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &heartbeatInbound{}
	in.Next = next
	return in
}

type heartbeatInbound struct {
	interceptor.ActivityInboundInterceptorBase
}

func (i *heartbeatInbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	out := &heartbeatOutbound{}
	out.Next = next
	return i.Next.Init(out)
}

type heartbeatOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
}

func (o *heartbeatOutbound) RecordHeartbeat(ctx context.Context, details ...any) {
	o.Next.RecordHeartbeat(context.WithoutCancel(ctx), details...)
}
