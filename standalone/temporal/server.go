// Package temporal runs a whole Temporal server, with its Web UI, inside a
// process: one shard on SQLite, for a first run, for tests and for a site of
// one host. A site of several hosts runs Temporal on its own database.
package temporal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	clusterName = "active"
	// clusterID is constant: a database remembers it and refuses another's.
	clusterID = "6f1c2a3e-0c57-4a43-9a3c-3f6f5d1b7a10"
)

// Options describe a server. Nothing in it asks who is calling, so Host is a
// loopback address unless something in front of it does.
type Options struct {
	File      string // SQLite database, made when absent; empty keeps all in memory
	Host      string // numeric address to listen on; default 127.0.0.1
	Port      int    // of the frontend; 0 chooses a free one
	UIPort    int    // of the Web UI; 0 runs none
	Namespace string // made when absent; default "default"

	// SearchAttributes are given to the namespace when it is made.
	SearchAttributes map[string]enums.IndexedValueType
	// Dynamic is dynamic configuration by key. Integers must be ints.
	Dynamic map[string]any
	// NoOperator refuses administration to everybody, as a hosted Temporal
	// does to its tenants.
	NoOperator bool

	LogLevel string // debug, info, warn or error; default error. Logs go to stderr
}

// Server is a running server.
type Server struct {
	options Options
	level   slog.LevelVar
	server  temporal.Server
	ui      *uiserver.Server
}

// Start runs a server and returns when it answers.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, o Options) (*Server, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	s := &Server{}
	s.level.Set(slog.LevelError)
	if o.LogLevel != "" {
		if err := s.level.UnmarshalText([]byte(o.LogLevel)); err != nil {
			return nil, fmt.Errorf("log level: %w", err)
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &s.level}))

	if err := o.check(); err != nil {
		return nil, err
	}
	sql := database(o.File)
	if err := prepare(sql, o); err != nil {
		return nil, err
	}
	// After what takes its time: nothing holds a free port until it is used.
	p, err := assignPorts(&o)
	if err != nil {
		return nil, err
	}
	s.options = o
	if s.server, err = temporal.NewServer(serverOptions(o, sql, p, logger{log})...); err != nil {
		return nil, err
	}
	if err := s.server.Start(); err != nil {
		return nil, err
	}
	if o.UIPort != 0 {
		s.ui = newUI(o)
		go func() {
			if err := s.ui.Start(); err != nil {
				log.Error("the Web UI stopped", "error", err)
			}
		}()
	}
	if err := s.wait(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (o *Options) check() error {
	if net.ParseIP(o.Host) == nil {
		return fmt.Errorf("the address to listen on must be numeric, and %q is not", o.Host)
	}
	// The name becomes part of a URI without being escaped.
	if strings.ContainsAny(o.File, "?#%") {
		return fmt.Errorf("the name of the database file must not hold ?, # or %%, as %q does", o.File)
	}
	// Temporal and its Web UI would end the whole process for a port that is
	// taken.
	if err := listenable(o.Host, o.Port); err != nil {
		return err
	}
	return listenable(o.Host, o.UIPort)
}

// Address is the host and port of the frontend.
func (s *Server) Address() string { return hostPort(s.options.Host, s.options.Port) }

// Namespace is the namespace that was made.
func (s *Server) Namespace() string { return s.options.Namespace }

// UI is the Web UI's URL; empty when there is none.
func (s *Server) UI() string {
	if s.ui == nil {
		return ""
	}
	return "http://" + hostPort(s.options.Host, s.options.UIPort)
}

// Stop ends the server. What a database file held stays in it.
func (s *Server) Stop() error {
	// Parts that still run complain at length about those that have stopped.
	s.level.Set(slog.LevelError + 1)
	if s.ui != nil {
		s.ui.Stop()
	}
	return s.server.Stop()
}

// ports are those of the four services that make up a server, and of the
// frontend's second door.
type ports struct {
	grpc map[primitives.ServiceName]int
	http int // Nexus operations are dispatched over HTTP
}

// assignPorts gives each service a port of its own; the frontend's is the one
// that was asked for.
func assignPorts(o *Options) (ports, error) {
	used := map[int]bool{o.UIPort: true, o.Port: true}
	var failure error
	free := func() int {
		for failure == nil {
			var port int
			if port, failure = freePort(o.Host); !used[port] {
				used[port] = true
				return port
			}
		}
		return 0
	}
	if o.Port == 0 {
		o.Port = free()
	}
	p := ports{
		grpc: map[primitives.ServiceName]int{
			primitives.FrontendService: o.Port,
			primitives.HistoryService:  free(),
			primitives.MatchingService: free(),
			primitives.WorkerService:   free(),
		},
		http: free(),
	}
	return p, failure
}

func serverOptions(o Options, sql *config.SQL, p ports, log logger) []temporal.ServerOption {
	hosts := make(map[primitives.ServiceName]static.Hosts, len(p.grpc))
	for name, port := range p.grpc {
		hosts[name] = static.SingleLocalHost(hostPort(o.Host, port))
	}
	authorizer := authorization.NewNoopAuthorizer()
	if o.NoOperator {
		authorizer = noOperator{}
	}
	return []temporal.ServerOption{
		temporal.WithConfig(serverConfig(o, sql, p)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log),
		temporal.WithAuthorizer(authorizer),
		temporal.WithDynamicConfigClient(dynamic(o.Dynamic)),
	}
}

func serverConfig(o Options, sql *config.SQL, p ports) *config.Config {
	var conf config.Config
	conf.Global.Membership.MaxJoinDuration = 30 * time.Second
	conf.Global.Membership.BroadcastAddress = o.Host
	conf.Persistence.DefaultStore = storeName
	conf.Persistence.VisibilityStore = storeName
	conf.Persistence.NumHistoryShards = 1
	conf.Persistence.DataStores = map[string]config.DataStore{storeName: {SQL: sql}}
	conf.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10,
		MasterClusterName:        clusterName,
		CurrentClusterName:       clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
			Enabled:                true,
			InitialFailoverVersion: 1,
			RPCAddress:             hostPort(o.Host, o.Port),
			HTTPAddress:            hostPort(o.Host, p.http),
			ClusterID:              clusterID,
		}},
	}
	conf.DCRedirectionPolicy.Policy = "noop"
	conf.Services = make(map[string]config.Service, len(p.grpc))
	for name, port := range p.grpc {
		var service config.Service
		service.RPC.GRPCPort = port
		service.RPC.BindOnIP = o.Host
		if name == primitives.FrontendService {
			service.RPC.HTTPPort = p.http
		}
		conf.Services[string(name)] = service
	}
	conf.Archival.History.State = config.ArchivalDisabled
	conf.Archival.Visibility.State = config.ArchivalDisabled
	conf.NamespaceDefaults.Archival.History.State = config.ArchivalDisabled
	conf.NamespaceDefaults.Archival.Visibility.State = config.ArchivalDisabled
	conf.PublicClient.HostPort = hostPort(o.Host, o.Port)
	return &conf
}

func newUI(o Options) *uiserver.Server {
	return uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                bracket(o.Host),
		Port:                o.UIPort,
		TemporalGRPCAddress: hostPort(o.Host, o.Port),
		EnableUI:            true,
		DefaultNamespace:    o.Namespace,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP, on loopback
		HideLogs:            true,
		DisableNewsFetch:    true, // a site's machines need not reach the internet
	}))
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// bracket is for the Web UI, which joins host and port with a colon.
func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
