package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

const (
	startLimit = time.Minute
	pollEvery  = 20 * time.Millisecond
)

// wait waits until the namespace answers and workflows of it can be listed, and
// the Web UI, if any, listens.
func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{
		HostPort: s.Address(),
		Logger:   sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		err := s.answers(ctx, c)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", errors.Join(ctx.Err(), err))
		case <-time.After(pollEvery):
		}
	}
}

func (s *Server) answers(ctx context.Context, c client.Client) error {
	_, err := c.WorkflowService().ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: s.options.Namespace,
		PageSize:  1,
	})
	if err != nil || s.ui == nil {
		return err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", hostPort(s.options.Host, s.options.UIPort))
	if err != nil {
		return err
	}
	return conn.Close()
}
