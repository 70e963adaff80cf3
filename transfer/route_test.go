package transfer

import (
	"errors"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/fault"
)

func TestChooseRoute(t *testing.T) {
	free, tape := EndFacts{Endpoint: "gsiftp://a:2811", Kind: "gridftp"}, EndFacts{Endpoint: "tape", Kind: "gridftp"}
	node7, node7too, node8 := EndFacts{Endpoint: "file://node7", Kind: "posix", Site: "node7"}, EndFacts{Endpoint: "scratch", Kind: "posix", Site: "node7"}, EndFacts{Endpoint: "file://node8", Kind: "posix", Site: "node8"}
	apart := errors.New("the destination is no GridFTP server")
	for _, tc := range []struct {
		name     string
		src, dst EndFacts
		apart    error
		rule     RouteRule
		path     RouteRule
		queue    string
		reason   string
	}{
		{"two servers", free, tape, nil, "", RouteThirdParty, "gridferry-data", "straight"},
		{"two servers, named rule", free, tape, nil, "auto", RouteThirdParty, "gridferry-data", "straight"},
		{"two servers, relay asked", free, tape, nil, RouteRelay, RouteRelay, "gridferry-data", "as asked"},
		{"two servers apart", free, tape, apart, "", RouteRelay, "gridferry-data", "no GridFTP server"},
		{"bound source", node7, free, apart, "", RouteRelay, "gridferry-site-node7", "through a worker"},
		{"bound destination", free, node8, apart, RouteRelay, RouteRelay, "gridferry-site-node8", "as asked"},
		{"both on one host", node7, node7too, apart, "", RouteRelay, "gridferry-site-node7", "through a worker"},
	} {
		got, err := ChooseRoute(tc.src, tc.dst, tc.apart, tc.rule)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if got.Path != tc.path || got.Queue != tc.queue || !strings.Contains(got.Reason, tc.reason) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	for _, tc := range []struct {
		name     string
		src, dst EndFacts
		rule     RouteRule
		words    []string
	}{
		{"two hosts", node7, node8, "", []string{"file://node7 and file://node8", `run "gridferryd gridftp" on node7 or on node8`}},
		{"third-party asked", free, node8, RouteThirdParty, []string{"no GridFTP server", "relay"}},
	} {
		_, err := ChooseRoute(tc.src, tc.dst, apart, tc.rule)
		if !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for _, w := range tc.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q should say %q", tc.name, err, w)
			}
		}
	}
}
