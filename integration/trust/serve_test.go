package trust_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/gridferry/gridferry/endpoints/posix"
	"github.com/gridferry/gridferry/gateway/gridftpd"
	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// serve starts our server with that host certificate over root, and returns its
// address, under the name localhost.
func serve(t testing.TB, ca *gsitest.CA, host *gsi.Credential, root string, edit ...func(*server.Config)) string {
	t.Helper()
	gridmap, err := server.ParseGridmap(fmt.Sprintf("%q me\n", globus.Identity))
	if err != nil {
		t.Fatal(err)
	}
	storage, err := posix.Open(posix.Options{Mounts: map[string]string{"/": root}, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	config := server.Config{Credential: host, Trust: ca.Trust(), Gridmap: gridmap, Account: "me"}
	for _, e := range edit {
		e(&config)
	}
	s, err := gridftpd.New(t.Context(), storage, config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		<-served
		storage.Close()
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port
}
