package starter

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Workers of the site do not reach the files of whoever types a command, so
// file:///path is served by a worker inside the command itself, for one task.
// In that task the host is called HOST.LABEL, which makes a task queue of its
// own: a second command on the same host, of the same user or another, is never
// given what this one's user may read. The label comes from the task's id, so
// that "gridferry attach", or the same command with the same --task-id, finds
// the queue again.

// Local is a worker inside this process.
type Local interface {
	// Stop lets what is under way stop at a safe point, and ends the worker.
	Stop()
	// Failed tells when the worker had to give up.
	Failed() <-chan error
}

// siteOf is what a host's files are called in a task.
func siteOf(host string, id transfer.TaskID) string {
	return hostPart(host) + "." + label(id)
}

// hostPart makes of a host's name what a location takes.
func hostPart(host string) string {
	const most = 180 // 253 in all, and the label has 63
	host = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(host))
	host = strings.Trim(host[:min(len(host), most)], ".-")
	if host == "" {
		return "here"
	}
	return host
}

// label is a task's id as part of a host name: the id itself where it can be
// one, else a UUID made from it.
func label(id transfer.TaskID) string {
	const plain = "abcdefghijklmnopqrstuvwxyz0123456789-"
	if s := string(id); s != "" && len(s) <= 63 && s[0] != '-' && strings.Trim(s, plain) == "" {
		return s
	}
	return uuid.NewSHA1(uuid.Nil, []byte(id)).String()
}

// hostOf returns the host whose command serves an end of a task, and what its
// files are called there.
func hostOf(t transfer.Task) (host, site string, ok bool) {
	for _, text := range []string{t.Source, t.Destination} {
		loc, err := transfer.ParseLocation(text)
		if err != nil {
			continue
		}
		site, bound := transfer.Site(loc.Endpoint)
		if !bound {
			continue
		}
		if host, ok := strings.CutSuffix(site, "."+label(t.ID)); ok {
			return host, site, true
		}
	}
	return "", "", false
}

// localize puts site in the place of the host in file:///path, and reports
// whether there was one.
func localize(req *transfer.Request, site string) bool {
	found := false
	rename := func(text *string) {
		if loc, err := transfer.ParseLocation(*text); err == nil && loc.Endpoint == transfer.Here {
			loc.Endpoint = "file://" + site
			*text, found = loc.String(), true
		}
	}
	rename(&req.Source)
	rename(&req.Destination)
	for i := range req.Items {
		rename(&req.Items[i].Source)
		rename(&req.Items[i].Destination)
	}
	return found
}

// transferHere submits a task that has files of this host in it, and serves
// them until it ends.
func (s *session) transferHere(ctx context.Context, id transfer.TaskID, req transfer.Request, start *startFlags) error {
	if req.Owner != s.Owner {
		return invalid("owner", fmt.Sprintf("%q is not you, and file:///path is yours", req.Owner), "leave it out")
	}
	svc, err := s.service(ctx)
	if err != nil {
		return err
	}
	// First, so that nothing is submitted that nobody could carry out.
	return s.serving(ctx, id, siteOf(s.Host, id), func(ctx context.Context) error {
		id, err := svc.Submit(ctx, id, req)
		if err != nil {
			return err
		}
		start.wait = true
		return s.started(ctx, id, start)
	})
}

// serving runs do beside a worker for the task.
func (s *session) serving(ctx context.Context, id transfer.TaskID, site string, do func(context.Context) error) error {
	worker, err := s.Serve(ctx, s.conn, id, site)
	if err != nil {
		return err
	}
	defer worker.Stop()
	s.local = true
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	gaveUp := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
		case err := <-worker.Failed():
			gaveUp <- err
			stop(err)
		}
	}()
	err = do(ctx)
	select {
	case failed := <-gaveUp:
		return failed
	default:
		return err
	}
}

// farewell says what becomes of a task that is waited for no longer.
func (s *session) farewell(id transfer.TaskID) string {
	if s.local {
		return fmt.Sprintf("Task %s waits for the files of this host. \"gridferry attach %s\" goes on with it, \"gridferry cancel %s\" stops it.", id, id, id)
	}
	return fmt.Sprintf("Task %s goes on. \"gridferry wait %s\" waits for it again, \"gridferry cancel %s\" stops it.", id, id, id)
}

func (s *session) attachCommand() *cobra.Command {
	var raw string
	cmd := &cobra.Command{
		Use:   "attach TASK",
		Short: "Serve this host's files again to a task that waits for them",
		Long: `A transfer from or to file:///path moves the files of the host where it was
typed, by a worker inside the command. When the command has ended before the
task, by a signal or with the host, the task waits. Typed on the same host by
the same user, attach goes on from where the task stands, and waits as
"gridferry wait" does.`,
		Example: `  gridferry attach 3f2a9c1e-77b4-4d0a-9e55-0123456789ab`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			timeout, err := parseTimeout(raw)
			if err != nil {
				return err
			}
			t, err := s.look(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			id := transfer.TaskID(args[0])
			host, site, ok := hostOf(t)
			wait := func(ctx context.Context) error { return s.await(ctx, id, timeout) }
			switch {
			case !ok:
				return invalid("task_id", "no end of that task is in the files of a command", "\"gridferry wait\" waits for it")
			case t.Owner != s.Owner:
				return fault.New(fault.Permission, "attach to", "task "+string(id), "it is "+t.Owner+"'s, and you are "+s.Owner)
			case ended(t):
				return wait(cmd.Context())
			case host != hostPart(s.Host):
				return &fault.Error{Kind: fault.Invalid, Op: "attach to", Path: "task " + string(id),
					Err: fmt.Errorf("its files are on %s, and this is %s", host, hostPart(s.Host)), Hint: "type the command there"}
			}
			return s.serving(cmd.Context(), id, site, wait)
		},
	}
	cmd.Flags().StringVar(&raw, "timeout", "", "serve and wait no longer than this `DURATION`")
	return cmd
}
