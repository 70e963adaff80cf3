package sftp

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		rec  endpoints.Record
		want string // in the error; empty: none
	}{
		{"plain", endpoints.Record{Servers: []string{"h"}}, ""},
		{"all of it", endpoints.Record{Servers: []string{"h:2022", "[::1]:22", "::1"}, User: "ada", Root: "/data", Options: map[string]string{
			"jump": "eve@gate:2200, inner", "known_hosts": "/etc/hosts", "connections": "8", "sync": "off"}}, "HOST or HOST:PORT"},
		{"an address in brackets", endpoints.Record{Servers: []string{"[::1]:22", "[::1]"}}, ""},
		{"no server", endpoints.Record{}, "there is none"},
		{"a URL", endpoints.Record{Servers: []string{"sftp://h/"}}, "HOST or HOST:PORT"},
		{"scheme", endpoints.Record{Servers: []string{"h"}, Scheme: "https"}, "not sftp"},
		{"port", endpoints.Record{Servers: []string{"h:0"}}, "HOST or HOST:PORT"},
		{"root", endpoints.Record{Servers: []string{"h"}, Root: "data"}, "not absolute"},
		{"option", endpoints.Record{Servers: []string{"h"}, Options: map[string]string{"jmup": "h"}}, "is not an option"},
		{"jump", endpoints.Record{Servers: []string{"h"}, Options: map[string]string{"jump": "@h"}}, "login name"},
		{"many jumps", endpoints.Record{Servers: []string{"h"}, Options: map[string]string{"jump": strings.Repeat("h,", 9) + "h"}}, "more than 8"},
		{"known hosts", endpoints.Record{Servers: []string{"h"}, Options: map[string]string{"known_hosts": "hosts"}}, "absolute"},
		{"connections", endpoints.Record{Servers: []string{"h"}, Options: map[string]string{"connections": "65"}}, "1 to 64"},
		{"sync", endpoints.Record{Servers: []string{"h"}, Options: map[string]string{"sync": "yes"}}, "neither on nor off"},
	} {
		c.rec.Name = "lab#ssh"
		err := Check(c.rec)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !fault.Is(err, fault.Invalid)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse(endpoints.Record{Servers: []string{"h", "[::1]:2022"}, Root: "/data/", Limits: endpoints.Limits{Sessions: 2}, Options: map[string]string{"jump": "eve@gate:2200,inner"}})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a root that is not clean: %v", err)
	}
	o, err = parse(endpoints.Record{Servers: []string{"h", "[::1]:2022"}, Root: "/data", Limits: endpoints.Limits{Sessions: 2}, Options: map[string]string{"jump": "eve@gate:2200,inner"}})
	if err != nil || strings.Join(o.servers, " ") != "h:22 [::1]:2022" || o.connections != 2 || !o.sync || o.root != "/data" {
		t.Errorf("%+v, %v", o, err)
	}
	if len(o.jumps) != 2 || o.jumps[0] != (hop{"eve", "gate:2200"}) || o.jumps[1] != (hop{"", "inner:22"}) {
		t.Errorf("jumps %+v", o.jumps)
	}
}
