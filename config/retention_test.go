package config_test

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/config"
)

func TestSize(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "17": 17, "500MB": 5e8, "20 GiB": 20 << 30, "1.5KiB": 1536, "3TB": 3e12, "2PiB": 2 << 50, "64MiB": 64 << 20,
	} {
		var got config.Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
		var again config.Size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%d is written %q, which is %d, %v", got, got, again, err)
		}
	}
	for _, bad := range []string{"", "GB", "-1", "NaN", "1e30", "5 apples", "10kb"} {
		if err := new(config.Size).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	c, err := load(t, "blobs: {budget: 2GiB}\nretention: {manifests: 3d}\n")
	if err != nil || c.Blobs.Budget != 2<<30 || c.Blobs.Reserve != 64<<20 {
		t.Fatalf("blobs: %+v, %v", c.Blobs, err)
	}
	if r := c.Retention; time.Duration(r.Manifests) != 3*day || time.Duration(r.Results) != 90*day || time.Duration(r.Records) != 365*day {
		t.Errorf("retention: %+v", r)
	}
	if c, err := load(t, "blobs: {reserve: 0}\n"); err != nil || c.Blobs.Reserve != 0 {
		t.Errorf("a reserve of none is %d, %v", c.Blobs.Reserve, err)
	}
	c, err = load(t, "retention: {records: 10d}\n")
	if err != nil {
		t.Fatal(err)
	}
	if said := c.Check(nil); len(said) == 0 || said[0].Key != "retention.records" {
		t.Errorf("records that go before results: %v", said)
	}
}
