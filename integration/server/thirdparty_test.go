package server_test

import (
	"fmt"
	"testing"

	"github.com/gridferry/gridferry/integration/globus"
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
		"checked":                {"-verify-checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.server()
			theirs := globus.NewServer(t, globus.Options{CA: w.ca})
			files := makeTree(t, o.path("tree"))
			removeEmpty(t, o.path("tree"))
			args := append([]string{"-r", "-cd"}, args...)
			globus.URLCopy(t, w.env, append(args, o.url("tree/"), theirs.URL("tree/"))...)
			wantTree(t, theirs.Path("tree"), files)
			globus.URLCopy(t, w.env, append(args, theirs.URL("tree/"), o.url("back/"))...)
			wantTree(t, o.path("back"), files)
		})
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
