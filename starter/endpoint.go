package starter

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi"
)

func (s *session) endpointCommand() *cobra.Command {
	return s.family(&cobra.Command{
		Use:   "endpoint",
		Short: "Give endpoints a credential, see how long it lasts, check them, and do maintenance",
		Long: `An endpoint is activated when the daemon has a credential of yours for it. Tasks
use it until it expires; those that wait for one go on at once. Endpoints with
the same MyProxy server, or the same security domain, are activated together.`,
		Example: `  gridferry endpoint activate lab#dtn
  gridferry endpoint status
  gridferry endpoint check lab#dtn
  gridferry endpoint deactivate lab#dtn`,
	}, s.activateCommand(), s.deactivateCommand(), s.activationsCommand(), s.checkCommand(), s.drainCommand(), s.undrainCommand())
}

// activation is how "endpoint activate" was told to come by a credential.
type activation struct {
	proxyFile, user, server, lifetime  string
	myproxy, passphraseStdin, delegate bool
}

func (s *session) activateCommand() *cobra.Command {
	var a activation
	cmd := &cobra.Command{
		Use:   "activate ENDPOINT",
		Short: "Give an endpoint a credential",
		Long: `Give an endpoint a credential, in one of three ways. On a terminal, and without
being told which, it asks for user and pass phrase of the MyProxy server.

  --myproxy      the daemon fetches one from a MyProxy server; the pass phrase is
                 used once and kept nowhere
  --proxy-file   a proxy that you have, its key included, is given to the daemon
  --delegate     the daemon makes a key, and a proxy for it is signed here: no
                 private key travels

ENDPOINT is a name (lab#dtn), scheme and host of a URL, or any location there.
The daemon is found at --service, $GRIDFERRY_SERVICE, or its socket on this host.`,
		Example: `  # asks for user and pass phrase
  gridferry endpoint activate lab#dtn

  # with the proxy that grid-proxy-init has made
  gridferry endpoint activate lab#dtn --proxy-file /tmp/x509up_u1000

  # from a laptop, without giving the key away
  gridferry endpoint activate lab#dtn --delegate --lifetime 24h --service https://ferry.example.org:7513

  # a script, ahead of time
  gridferry endpoint activate lab#dtn --myproxy --user ada --passphrase-stdin < ~/.secret`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			endpoint, err := endpointArg(args[0])
			if err != nil {
				return err
			}
			lifetime, err := a.check(s)
			if err != nil {
				return err
			}
			given, err := s.activate(cmd.Context(), endpoint, a, lifetime)
			if err != nil {
				return err
			}
			return s.printActivated(endpoint, given)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&a.myproxy, "myproxy", false, "fetch the credential from a MyProxy server")
	f.StringVar(&a.server, "server", "", "which one, `HOST[:PORT]` (default: the endpoint's)")
	f.StringVar(&a.user, "user", "", "`USER` there (default: asked for)")
	f.BoolVar(&a.passphraseStdin, "passphrase-stdin", false, "read the pass phrase from standard input")
	f.StringVar(&a.proxyFile, "proxy-file", "", "give this proxy, a PEM `FILE` with its key; - is standard input")
	f.BoolVar(&a.delegate, "delegate", false, "sign a proxy with your own credential (that of --proxy-file, else where the Globus tools look)")
	f.StringVar(&a.lifetime, "lifetime", "", "how long it shall last, as a `DURATION` (default 12h); less where it cannot")
	return cmd
}

// check completes what was said and refuses what contradicts itself, before
// anything is contacted.
func (a *activation) check(s *session) (time.Duration, error) {
	if a.user != "" || a.server != "" || a.passphraseStdin {
		a.myproxy = true
	}
	switch {
	case a.myproxy && (a.proxyFile != "" || a.delegate):
		return 0, &usageError{errors.New("a MyProxy server and a credential of your own: give one of them")}
	case a.proxyFile != "" && !a.delegate && a.lifetime != "":
		return 0, &usageError{errors.New("a proxy that is given has the lifetime that it has: leave --lifetime out, or give --delegate")}
	case !a.myproxy && a.proxyFile == "" && !a.delegate:
		if s.Secret == nil {
			return 0, &usageError{errors.New("say how: --myproxy, --proxy-file or --delegate; there is no terminal to ask on")}
		}
		a.myproxy = true
	}
	if a.myproxy && s.Secret == nil && (a.user == "" || !a.passphraseStdin) {
		return 0, &usageError{errors.New("there is no terminal to ask on: give --user and --passphrase-stdin")}
	}
	if a.lifetime == "" {
		return 0, nil
	}
	d, err := transfer.ParseDuration(a.lifetime)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is no time to last", a.lifetime)
	}
	if err != nil {
		return 0, invalid("lifetime", err.Error(), "")
	}
	return d, nil
}

func (s *session) activate(ctx context.Context, endpoint string, a activation, lifetime time.Duration) (transfer.Activation, error) {
	var own *gsi.Credential
	var err error
	if a.delegate { // before the service makes a key in vain
		if own, err = ownCredential(a.proxyFile, s.Stdin); err != nil {
			return transfer.Activation{}, fault.Wrap(fault.Credential, "read", "your credential", err)
		}
	}
	creds, err := s.credentials(ctx)
	if err != nil {
		return transfer.Activation{}, err
	}
	req := transfer.ActivateRequest{Endpoint: endpoint}
	switch {
	case a.delegate:
		if req.Signed, err = signDelegation(ctx, creds, endpoint, own, lifetime); err != nil {
			return transfer.Activation{}, err
		}
	case a.myproxy:
		if req.MyProxy, err = s.logon(ctx, creds, a); err != nil {
			return transfer.Activation{}, err
		}
		req.MyProxy.Lifetime = transfer.Duration(lifetime)
	default:
		if req.Proxy, err = readProxy(a.proxyFile, s.Stdin); err != nil {
			return transfer.Activation{}, fault.Wrap(fault.Credential, "read", "your proxy", err)
		}
	}
	return creds.Activate(ctx, req)
}

// readProxy reads a proxy file as the Globus tools would, and checks that it is
// one: what is sent to the daemon is a credential and nothing else.
func readProxy(path string, stdin io.Reader) ([]byte, error) {
	c, err := ownCredential(path, stdin)
	if err != nil {
		return nil, err
	}
	return c.EncodePEM()
}

// maxProxy bounds what is read from standard input, in bytes.
const maxProxy = 1 << 20

func ownCredential(path string, stdin io.Reader) (*gsi.Credential, error) {
	switch path {
	case "":
		return gsi.FromEnvironment()
	case "-":
		text, err := io.ReadAll(io.LimitReader(stdin, maxProxy))
		if err != nil {
			return nil, err
		}
		return gsi.ParseCredential(text)
	}
	return gsi.LoadProxy(path)
}

// signDelegation signs a proxy for a key of the service.
func signDelegation(ctx context.Context, creds transfer.Credentials, endpoint string, own *gsi.Credential, lifetime time.Duration) (*transfer.Delegated, error) {
	d, err := creds.Delegate(ctx, "", endpoint)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(d.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, fault.New(fault.Internal, "delegate to", endpoint, "the service sent no certificate request")
	}
	signed, err := own.SignProxy(block.Bytes, gsi.ProxyOptions{Lifetime: lifetime})
	if err != nil {
		return nil, fault.Wrap(fault.Credential, "delegate to", endpoint, err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	for _, cert := range own.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return &transfer.Delegated{ID: d.ID, Chain: chain}, nil
}

// logon asks for what a MyProxy server wants to know.
func (s *session) logon(ctx context.Context, creds transfer.Credentials, a activation) (*transfer.MyProxyLogon, error) {
	l := &transfer.MyProxyLogon{Server: a.server, User: a.user}
	if l.User == "" {
		known, err := creds.Identities(ctx, "")
		if err != nil {
			return nil, err
		}
		preset := s.account(known, a.server)
		fmt.Fprintf(s.Stderr, "MyProxy user [%s]: ", printable(preset))
		typed, err := interruptible(ctx, func() ([]byte, error) { return readLine(s.Stdin) })
		if err != nil {
			return nil, fault.Wrap(fault.Canceled, "ask for", "the user", err)
		}
		if l.User = string(typed); l.User == "" {
			l.User = preset
		}
	}
	var secret []byte
	var err error
	if a.passphraseStdin {
		secret, err = interruptible(ctx, func() ([]byte, error) { return readLine(s.Stdin) })
	} else {
		secret, err = s.Secret(ctx, "MyProxy pass phrase: ")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Canceled, "ask for", "the pass phrase", err)
	}
	defer clear(secret)
	l.Passphrase = string(secret)
	return l, nil
}

// account is the user's latest at a MyProxy server, or at any; else what the
// user is called here.
func (s *session) account(known []transfer.Identity, server string) string {
	name := s.Owner
	for _, id := range known {
		if id.Kind == transfer.IdentityMyProxy && (server == "" || id.Server == server) {
			name = id.Name
		}
	}
	return name
}

// printActivated says what the endpoint has now.
func (s *session) printActivated(endpoint string, a transfer.Activation) error {
	if a.Owner != s.Owner {
		fmt.Fprintf(s.Stderr, "The daemon knows you as %s, and tasks started here belong to %s: they will not use this credential.\n", printable(a.Owner), printable(s.Owner))
	}
	if s.json {
		return s.printJSON(s.withLeft(a))
	}
	_, err := fmt.Fprintf(s.Stdout, "%s is activated until %s (%s): %s\n", printable(endpoint), formatTime(a.Expires), s.left(a), printable(a.Subject))
	return err
}

// leftActivation is an activation with what is left of it.
type leftActivation struct {
	transfer.Activation
	Left int64 `json:"left_seconds"` // 0 when it has expired
}

func (s *session) withLeft(a transfer.Activation) leftActivation {
	return leftActivation{a, max(0, int64(a.Expires.Sub(s.Now())/time.Second))}
}

func (s *session) left(a transfer.Activation) string {
	if left := a.Expires.Sub(s.Now()); left > 0 {
		return transfer.FormatDuration(left) + " left"
	}
	return "expired"
}

func (s *session) deactivateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "deactivate ENDPOINT...",
		Short: "Take the credential of an endpoint away",
		Long: `The daemon forgets your credential for the endpoint, and for those that are
activated together with it, and ends the sessions made with it. Tasks that need
one wait until there is another.`,
		Example: "  gridferry endpoint deactivate lab#dtn",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := make([]string, len(args))
			for i, arg := range args {
				var err error
				if names[i], err = endpointArg(arg); err != nil {
					return err
				}
			}
			creds, err := s.credentials(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := creds.Deactivate(cmd.Context(), "", name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (s *session) activationsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status [ENDPOINT]",
		Short: "Show which endpoints are activated, and what is out of use",
		Long: `Show your credentials that the daemon has, and what is left of each. With an
endpoint it shows that one's, and the exit code is 6 when there is none. What is
drained, and which servers do not answer, follows where there is any.`,
		Example: `  gridferry endpoint status
  gridferry endpoint status lab#dtn --json
  gridferry endpoint status lab#dtn > /dev/null || gridferry endpoint activate lab#dtn`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			endpoint := ""
			if len(args) == 1 {
				var err error
				if endpoint, err = endpointArg(args[0]); err != nil {
					return err
				}
			}
			creds, err := s.credentials(cmd.Context())
			if err != nil {
				return err
			}
			found, err := creds.Activations(cmd.Context(), "", endpoint)
			if err != nil {
				return err
			}
			if endpoint != "" && len(found) == 0 {
				if err := s.alsoCondition(cmd.Context()); err != nil {
					return err
				}
				name := "gridferry endpoint activate " + endpoint
				return &fault.Error{Kind: fault.Credential, Path: endpoint, Err: errors.New("it is not activated"), Hint: name}
			}
			if err := s.printActivations(found); err != nil {
				return err
			}
			return s.alsoCondition(cmd.Context())
		},
	}
}

func (s *session) printActivations(found []transfer.Activation) error {
	if s.json {
		list := make([]leftActivation, len(found))
		for i, a := range found {
			list[i] = s.withLeft(a)
		}
		return s.printJSON(list)
	}
	rows := [][]string{{"DOMAIN", "LEFT", "UNTIL", "GIVEN", "SUBJECT"}}
	for _, a := range found {
		rows = append(rows, []string{printable(a.Domain), s.left(a), formatTime(a.Expires), printable(a.Kind), printable(a.Subject)})
	}
	return table(s.Stdout, rows)
}
