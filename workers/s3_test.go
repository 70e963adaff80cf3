package workers

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/fault"
)

func s3Opener(t *testing.T, c *config.Config) *Opener {
	t.Helper()
	o, err := NewOpener(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func TestBucketURLs(t *testing.T) {
	store := endpoints.Record{Name: "s3", Kind: s3.Kind, Scheme: "http", Servers: []string{"s3.example.org:9000"}, Credential: "file:lab"}
	for name, c := range map[string]struct {
		records map[string]endpoints.Record
		want    string // in the error; empty: none
		server  string
	}{
		"Amazon's own":    {nil, "", ""},
		"the site's":      {map[string]endpoints.Record{"s3": store}, "", "s3.example.org:9000"},
		"of one bucket":   {map[string]endpoints.Record{"s3": {Name: "s3", Kind: s3.Kind, Root: "/other"}}, "not a whole store", ""},
		"of another kind": {map[string]endpoints.Record{"s3": {Name: "s3", Kind: "gridftp"}}, "not a whole store", ""},
	} {
		rec, err := s3Opener(t, &config.Config{Endpoints: c.records}).Resolve(t.Context(), "s3://lab-data")
		switch {
		case c.want != "":
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || rec.Kind != s3.Kind || rec.Root != "/lab-data" || strings.Join(rec.Servers, "") != c.server || rec.SecurityDomain() != "s3":
			t.Errorf("%s: %+v, %v", name, rec, err)
		}
	}
}

// Who may not use keys does not get them, and no error has them.
func TestAccessKeys(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
	const secret = "no-log-has-this"
	file := filepath.Join(t.TempDir(), "keys")
	text := "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = " + secret + "\n[lab]\naws_access_key_id = AKLAB\naws_secret_access_key = " + secret + "\nregion = eu-test-1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := s3Opener(t, &config.Config{Credentials: map[string]config.Credential{
		"all":   {Owners: []string{"*"}, AWSFile: file},
		"lab":   {Owners: []string{"ada"}, AWSFile: file, AWSProfile: "lab"},
		"wrong": {Owners: []string{"*"}, AWSFile: file, AWSProfile: "gone"},
		"proxy": {Owners: []string{"*"}, Proxy: "/tmp/x509"},
	}})
	rec := endpoints.Record{Name: "lab#store", Kind: s3.Kind}
	seen := map[string]bool{}
	for _, c := range []struct {
		owner, credential string
		kind              fault.Kind
		key               string
	}{
		{"ada", "file:all", "", "AKDEFAULT"},
		{"ada", "file:lab", "", "AKLAB"},
		{"eve", "file:lab", fault.Permission, ""},
		{"ada", "file:wrong", fault.Credential, ""},
		{"ada", "file:proxy", fault.Credential, ""},
		{"ada", "file:gone", fault.Credential, ""},
		{o.account, "", fault.Credential, ""}, // the worker's own, and it has none
	} {
		id, err := o.accessKeys(t.Context(), rec, c.owner, c.credential)
		if c.kind != "" {
			if !fault.Is(err, c.kind) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s with %q: %v", c.owner, c.credential, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s with %q: %v", c.owner, c.credential, err)
			continue
		}
		keys, err := id.Credentials.Retrieve(t.Context())
		if err != nil || keys.AccessKeyID != c.key || keys.SecretAccessKey != secret {
			t.Errorf("%s with %q: the key is %s, %v", c.owner, c.credential, keys.AccessKeyID, err)
		}
		if id.Fingerprint == "" || seen[id.Fingerprint] {
			t.Errorf("%s with %q has the fingerprint %q of another", c.owner, c.credential, id.Fingerprint)
		}
		seen[id.Fingerprint] = true
		if c.credential == "file:lab" && id.Region != "eu-test-1" {
			t.Errorf("the region is %q", id.Region)
		}
	}
}
