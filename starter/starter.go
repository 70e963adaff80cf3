// Package starter is the command line of gridferry as a library: commands that
// speak transfer.Service and nothing else. It knows neither Temporal nor any
// storage; the program in starter/gridferry says where the service is.
//
// What a command says goes to standard output, what went wrong to standard
// error as sentences, and how it ended is the exit code (see ExitCode).
package starter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Connection says which Temporal namespace the service lives in. Empty fields
// leave it to the environment and Temporal's configuration file.
type Connection struct {
	Address   string // host:port
	Namespace string
	Profile   string // in the configuration file

	Service string // where the daemon is asked: unix:/path or https://host:port
}

// DefaultPoll is how often a task that is waited for is looked at.
const DefaultPoll = time.Second

// Program is the command line with everything it gets from outside.
type Program struct {
	Version string
	Owner   string // who asks: the user of the operating system

	// Credentials opens the daemon's door for credentials and identities, as
	// Connect opens the service.
	Credentials func(ctx context.Context, c Connection) (creds transfer.Credentials, done func(), err error)
	// Maintenance opens the daemon's door for operators, in the same way; nil is
	// no such door.
	Maintenance func(ctx context.Context, c Connection) (m transfer.Maintenance, done func(), err error)
	// Secret asks on the terminal without showing what is typed; nil when
	// Stdin is none.
	Secret func(ctx context.Context, question string) ([]byte, error)

	// Connect opens the service. It is called at most once in a run, and not
	// at all when the command line is wrong. done closes what it opened.
	Connect func(ctx context.Context, c Connection) (svc transfer.Service, done func(), err error)

	// Serve starts a worker in this process, for one task alone, which reaches
	// this host's files as its user does: as file://SITE.
	Serve func(ctx context.Context, c Connection, task transfer.TaskID, site string) (Local, error)
	Host  string // this host's name

	// Site are commands for those who run a site; they need no service.
	Site []*cobra.Command

	// Executable is the path of the program itself, which bench runs beside
	// others. Empty is unknown, and there is no bench.
	Executable string

	NewID func() transfer.TaskID
	Now   func() time.Time

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Terminal       bool          // Stderr is one: progress is a line that is rewritten
	Poll           time.Duration // between looks at a task that is waited for; 0 is DefaultPoll
}

// Run runs one command line and returns its exit code. When ctx is cancelled,
// the command stops waiting and the code is ExitInterrupted; tasks go on.
func (p Program) Run(ctx context.Context, args []string) int {
	if p.Poll <= 0 {
		p.Poll = DefaultPoll
	}
	s := &session{Program: p}
	defer s.close()
	root := s.root()
	root.SetArgs(args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !s.running {
		// Cobra's own errors: commands and flags that do not exist.
		err = &usageError{err}
	}
	code := ExitCode(err)
	if ctx.Err() != nil && err != nil {
		code = ExitInterrupted
	}
	s.report(err, code)
	return code
}

// session is one run of the program.
type session struct {
	Program
	conn    Connection
	json    bool
	running bool // the command line was understood
	local   bool // this process serves the files of the task that it waits for
	svc     transfer.Service
	done    func()

	creds     transfer.Credentials
	credsDone func()
}

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gridferry",
		Short: "Move research data between sites, and stay with the job until it is done",
		Long: `gridferry moves files and trees between GridFTP and FTP servers, object stores,
SSH and web servers and hosts of your site. A transfer is a task: it goes on when
you log out, when a worker dies, and when a server is away for a day.`,
		Example: `  # a tree from one server to another, with live progress
  gridferry transfer -r gsiftp://a.example.org/data/run7/ gsiftp://b.example.org/archive/run7/ --wait

  # what there is, and how it goes
  gridferry ls gsiftp://a.example.org/data/
  gridferry tasks
  gridferry status 3f2a9c1e-77b4-4d0a-9e55-0123456789ab`,
		Version:       s.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("gridferry {{.Version}}\n")
	root.SetHelpCommandGroupID("about")
	root.SetCompletionCommandGroupID("about")
	flags := root.PersistentFlags()
	flags.StringVar(&s.conn.Address, "address", "", "Temporal server, host:port (default $TEMPORAL_ADDRESS, or localhost:7233)")
	flags.StringVar(&s.conn.Namespace, "namespace", "", "Temporal namespace (default $TEMPORAL_NAMESPACE, or default)")
	flags.StringVar(&s.conn.Profile, "profile", "", "profile in Temporal's configuration file (default $TEMPORAL_PROFILE)")
	flags.StringVar(&s.conn.Service, "service", "", "the daemon, unix:/path or https://host:port (default $GRIDFERRY_SERVICE, or its socket on this host)")
	flags.BoolVar(&s.json, "json", false, "print JSON")

	root.AddGroup(
		&cobra.Group{ID: "move", Title: "Move and remove:"},
		&cobra.Group{ID: "look", Title: "Look around:"},
		&cobra.Group{ID: "tasks", Title: "Tasks:"},
		&cobra.Group{ID: "site", Title: "Run a site:"},
		&cobra.Group{ID: "access", Title: "Credentials:"},
		&cobra.Group{ID: "about", Title: "About:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			c.DisableFlagsInUseLine = true
			run := c.RunE
			c.RunE = func(cmd *cobra.Command, args []string) error {
				s.running = true
				return run(cmd, args)
			}
			root.AddCommand(c)
		}
	}
	add("move", s.transferCommand(), s.planCommand(), s.deleteCommand())
	add("look", s.lsCommand(), s.statCommand(), s.mkdirCommand(), s.renameCommand())
	add("tasks", s.tasksCommand(), s.statusCommand(), s.detailsCommand(), s.eventsCommand(), s.resultsCommand(),
		s.waitCommand(), s.attachCommand(), s.pauseCommand(), s.resumeCommand(), s.cancelCommand(), s.modifyCommand())
	add("site", s.Site...)
	add("access", s.endpointCommand(), s.identityCommand())
	add("about", s.benchCommand(), s.versionCommand())
	root.AddCommand(helpTopics()...)
	return root
}

// service opens the service when it is first asked for.
func (s *session) service(ctx context.Context) (transfer.Service, error) {
	if s.svc == nil {
		svc, done, err := s.Connect(ctx, s.conn)
		if err != nil {
			return nil, err
		}
		s.svc, s.done = svc, done
	}
	return s.svc, nil
}

func (s *session) close() {
	if s.done != nil {
		s.done()
	}
	if s.credsDone != nil {
		s.credsDone()
	}
}

// report says on standard error what went wrong.
func (s *session) report(err error, code int) {
	var ended *taskEnded
	var waited *waitTimedOut
	switch {
	case err == nil || errors.As(err, &ended):
		// How a task ended has been printed as its report.
	case errors.As(err, &waited):
		fmt.Fprintf(s.Stderr, "gridferry: %s\n", waited)
	case code == ExitInterrupted:
		fmt.Fprintf(s.Stderr, "gridferry: interrupted\n")
	default:
		fmt.Fprintf(s.Stderr, "gridferry: %s\n", sentence(keyless(err.Error())))
		if errors.As(err, new(*usageError)) {
			fmt.Fprintf(s.Stderr, "Run \"gridferry help\" or add --help to a command to see what it takes.\n")
		}
	}
}

func (s *session) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  gridferry version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if s.json {
				return s.printJSON(map[string]string{"version": s.Version})
			}
			_, err := fmt.Fprintf(s.Stdout, "gridferry %s\n", s.Version)
			return err
		},
	}
}

// invalid is the error of a flag or argument: its name, what is wrong with it
// and what would be right.
func invalid(field, wrong, right string) error {
	return &fault.Error{Kind: fault.Invalid, Path: field, Err: errors.New(wrong), Hint: right}
}
