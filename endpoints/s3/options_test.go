package s3

import (
	"strings"
	"testing"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

func TestRecords(t *testing.T) {
	good := endpoints.Record{Name: "lab#store", Kind: Kind, Servers: []string{"s3.example.org:9000"}, Root: "/bucket/data", Options: map[string]string{
		"region": "eu-central-1", "requester_pays": "on", "encryption": "aws:kms", "kms_key": "alias/lab", "storage_class": "STANDARD_IA",
	}}
	o, err := parse(good)
	if err != nil || o.url != "https://s3.example.org:9000" || !o.pathStyle || o.payer == "" || o.sse != "aws:kms" || o.root != "/bucket/data" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parse(endpoints.Record{Kind: Kind}); err != nil || o.url != "" || o.pathStyle || !o.times || !o.checksums || !o.emptyDirs {
		t.Errorf("Amazon's own: %+v, %v", o, err)
	}
	if o, err := parse(endpoints.Record{Kind: Kind, Options: map[string]string{"restore_tier": "bulk", "restore_days": "30"}}); err != nil || o.tier != "Bulk" || o.restoreDays != 30 || !o.restores() {
		t.Errorf("restoring: %+v, %v", o, err)
	}
	if o, err := parse(endpoints.Record{Kind: Kind, Options: map[string]string{"empty_folders": "off"}}); err != nil || o.emptyDirs {
		t.Errorf("without empty folders: %+v, %v", o, err)
	}
	for what, change := range map[string]func(*endpoints.Record){
		"scheme":                 func(r *endpoints.Record) { r.Scheme = "gsiftp" },
		"servers":                func(r *endpoints.Record) { r.Servers = []string{"http://x/y"} },
		"one address":            func(r *endpoints.Record) { r.Servers = []string{"a", "b"} },
		"user":                   func(r *endpoints.Record) { r.User = "ada" },
		"options.encryption":     func(r *endpoints.Record) { r.Options = map[string]string{"encryption": "rot13"} },
		"options.kms_key":        func(r *endpoints.Record) { r.Options = map[string]string{"kms_key": "x"} },
		"options.requester_pays": func(r *endpoints.Record) { r.Options = map[string]string{"requester_pays": "yes"} },
		"options.restore_tier":   func(r *endpoints.Record) { r.Options = map[string]string{"restore_tier": "soon"} },
		"options.restore_days":   func(r *endpoints.Record) { r.Options = map[string]string{"restore_days": "0"} },
		"options.colour":         func(r *endpoints.Record) { r.Options = map[string]string{"colour": "red"} },
		"not clean":              func(r *endpoints.Record) { r.Root = "/bucket//x" },
	} {
		r := good
		change(&r)
		if err := Check(r); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
