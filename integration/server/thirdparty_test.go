package server_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
)

func TestThirdPartyWithTheGlobusServer(t *testing.T) {
	for name, args := range map[string][]string{
		"default":                nil,
		"without DCAU":           {"-nodcau"},
		"safe":                   {"-dcsafe"},
		"private":                {"-dcpriv"},
		"parallel":               {"-p", "4"},
		"fast and private":       {"-fast", "-p", "3", "-dcpriv"},
		"pipelined":              {"-fast", "-pp", "-p", "2"},
		"pipelined without DCAU": {"-fast", "-pp", "-cc", "2", "-nodcau"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.server()
			theirs := globus.NewServer(t, globus.Options{CA: w.ca})
			files := makeTree(t, o.path("tree"))
			args := append([]string{"-r", "-cd"}, args...)
			globus.URLCopy(t, w.env, append(args, o.url("tree/"), theirs.URL("tree/"))...)
			wantTree(t, theirs.Path("tree"), files)
			globus.URLCopy(t, w.env, append(args, theirs.URL("tree/"), o.url("back/"))...)
			wantTree(t, o.path("back"), files)
		})
	}
}

func TestThirdPartyByTLSVersionAndFamily(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		for _, version := range []gsi.Version{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(address+" "+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t)
				o := w.serverAt(net.JoinHostPort(address, "0"), func(c *server.Config) { c.MinTLS, c.MaxTLS = version, version })
				theirs := globus.NewServer(t, globus.Options{CA: w.ca, Address: address})
				content := randomBytes(1, 1<<20)
				write(t, o.path("f"), content)
				for _, args := range [][]string{nil, {"-dcpriv"}, {"-dcsafe", "-p", "2"}} {
					if address == "::1" {
						args = append(args, "-ipv6")
					}
					globus.URLCopy(t, w.env, append(args, o.url("f"), theirs.URL("f"))...)
					want(t, theirs.Path("f"), content)
					globus.URLCopy(t, w.env, append(args, theirs.URL("f"), o.url("g"))...)
					want(t, o.path("g"), content)
				}
			})
		}
	}
}

func TestThirdPartyPartsWithTheGlobusServer(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	theirs := globus.NewServer(t, globus.Options{CA: w.ca})
	content := randomBytes(1, 1<<20)
	write(t, o.path("f"), content)
	part := append(make([]byte, 1000), content[1000:501000]...)
	for _, p := range []string{"1", "3"} {
		args := []string{"-p", p, "-off", "1000", "-len", "500000"}
		there, back := theirs.URL("there"+p), fmt.Sprint("back", p)
		globus.URLCopy(t, w.env, append(args, o.url("f"), there)...)
		want(t, theirs.Path("there"+p), part)
		globus.URLCopy(t, w.env, append(args, there, o.url(back))...)
		want(t, o.path(back), part)
	}
}

func TestThirdPartyCheckedWithTheGlobusServer(t *testing.T) {
	w := newWorld(t)
	o := w.server()
	theirs := globus.NewServer(t, globus.Options{CA: w.ca})
	content := randomBytes(1, 1<<20)
	write(t, o.path("f"), content)
	// Not of a tree: globus-url-copy would ask for the directories' checksums
	// too, and end when that is refused, by whatever server.
	for _, alg := range []string{"MD5", "SHA256", "ADLER32"} {
		args := []string{"-verify-checksum", "-checksum-alg", alg}
		globus.URLCopy(t, w.env, append(args, o.url("f"), theirs.URL(alg))...)
		want(t, theirs.Path(alg), content)
		globus.URLCopy(t, w.env, append(args, theirs.URL(alg), o.url(alg))...)
		want(t, o.path(alg), content)
	}
}
