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

	LogLevel string // debug, info, warn or error; default warn. Logs go to stderr
}

// Server is a running server.
type Server struct {
	options Options
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
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	if o.LogLevel != "" {
		if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
			return nil, fmt.Errorf("log level: %w", err)
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &level}))

	services, err := assignPorts(&o)
	if err != nil {
		return nil, err
	}
	sql := database(o.File)
	if err := prepare(sql, o); err != nil {
		return nil, err
	}
	s := &Server{options: o}
	if s.server, err = temporal.NewServer(serverOptions(o, sql, services, logger{log})...); err != nil {
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
	if s.ui != nil {
		s.ui.Stop()
	}
	return s.server.Stop()
}

// assignPorts gives each of the four services that make up a server a port of
// its own; the frontend's is the one that was asked for.
func assignPorts(o *Options) (map[primitives.ServiceName]int, error) {
	services := make(map[primitives.ServiceName]int)
	used := map[int]bool{o.UIPort: true, o.Port: true}
	for _, name := range []primitives.ServiceName{
		primitives.FrontendService, primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
	} {
		if name == primitives.FrontendService && o.Port != 0 {
			if err := listenable(o.Host, o.Port); err != nil {
				return nil, err
			}
			services[name] = o.Port
			continue
		}
		port := 0
		for port == 0 || used[port] {
			var err error
			if port, err = freePort(o.Host); err != nil {
				return nil, err
			}
		}
		used[port] = true
		services[name] = port
	}
	o.Port = services[primitives.FrontendService]
	return services, nil
}

func serverOptions(o Options, sql *config.SQL, services map[primitives.ServiceName]int, log logger) []temporal.ServerOption {
	hosts := make(map[primitives.ServiceName]static.Hosts, len(services))
	for name, port := range services {
		hosts[name] = static.SingleLocalHost(hostPort(o.Host, port))
	}
	authorizer := authorization.NewNoopAuthorizer()
	if o.NoOperator {
		authorizer = noOperator{}
	}
	return []temporal.ServerOption{
		temporal.WithConfig(serverConfig(o, sql, services)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log),
		temporal.WithAuthorizer(authorizer),
		temporal.WithDynamicConfigClient(dynamic(o.Dynamic)),
	}
}

func serverConfig(o Options, sql *config.SQL, services map[primitives.ServiceName]int) *config.Config {
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
			ClusterID:              clusterID,
		}},
	}
	conf.DCRedirectionPolicy.Policy = "noop"
	conf.Services = make(map[string]config.Service, len(services))
	for name, port := range services {
		var service config.Service
		service.RPC.GRPCPort = port
		service.RPC.BindOnIP = o.Host
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
		Host:                o.Host,
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

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
