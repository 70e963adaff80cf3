package config

import (
	"time"

	"github.com/gridferry/gridferry/transfer"
)

// Retention says how long what a task leaves behind is kept after its end.
// "gridferryd gc --dry-run" says what that comes to.
type Retention struct {
	Manifests Duration `yaml:"manifests"` // lists of files, directories and extras; default 30 days
	Ledgers   Duration `yaml:"ledgers"`   // what each chunk did, by which a task is cleaned up after; default 30 days
	Results   Duration `yaml:"results"`   // how each file ended; default 90 days
	Events    Duration `yaml:"events"`    // what happened; default 90 days
	Records   Duration `yaml:"records"`   // that there was such a task; default 365 days
}

// defaultReserve is enough for ledgers of a hundred copies, and for a database
// on the same file system to say that it is full.
const defaultReserve = 64 << 20

func (r *Retention) fill() {
	for _, d := range []struct {
		of    *Duration
		usual time.Duration
	}{
		{&r.Manifests, transfer.KeepManifests}, {&r.Ledgers, transfer.KeepLedgers}, {&r.Results, transfer.KeepResults},
		{&r.Events, transfer.KeepEvents}, {&r.Records, transfer.KeepRecords},
	} {
		if *d.of == 0 {
			*d.of = Duration(d.usual)
		}
	}
}

func (k *checker) retention(r Retention) {
	k.positive("retention.manifests", int64(r.Manifests))
	k.positive("retention.ledgers", int64(r.Ledgers))
	k.positive("retention.results", int64(r.Results))
	k.positive("retention.events", int64(r.Events))
	k.positive("retention.records", int64(r.Records))
	for _, of := range []struct {
		key string
		d   Duration
	}{{"results", r.Results}, {"events", r.Events}} {
		if r.Records < of.d {
			k.complain("retention.records", "keep records at least as long", "%s of tasks are kept for longer than it is known that there were such tasks", of.key)
		}
	}
}
