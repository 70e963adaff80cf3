package s3_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/transfer"
)

// account gives the workers a credential and an endpoint of their own, before they
// start: lab#NAME is a bucket of the store at addr, as that user.
func (s *site) account(u s3.User, addr, bucket string, options ...string) {
	s.t.Helper()
	conf, err := os.ReadFile(s.Conf)
	must(s.t, err)
	file := filepath.Join(s.t.TempDir(), u.Name)
	must(s.t, os.WriteFile(file, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", u.Access, u.Secret), 0o600))
	for section, line := range map[string]string{
		"credentials": fmt.Sprintf("%s: {owners: [\"*\"], aws_file: %q}", u.Name, file),
		"endpoints":   fmt.Sprintf("lab#%s: {kind: s3, scheme: http, servers: [%q], credential: \"file:%s\", root: \"/%s\", options: {%s}}", u.Name, addr, u.Name, bucket, strings.Join(options, ", ")),
	} {
		conf = bytes.Replace(conf, []byte("\n"+section+":\n"), []byte("\n"+section+":\n  "+line+"\n"), 1)
	}
	must(s.t, os.WriteFile(s.Conf, conf, 0o600))
}

// says fails where a text lacks one of these.
func says(t *testing.T, what, text string, want ...string) {
	t.Helper()
	t.Logf("%s: %s", what, text)
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %s\nwant %q in it", what, text, w)
		}
	}
}

// Whatever a store refuses, or cannot hold, is told of in a sentence that names it
// and says what to do; everything else of the task arrives.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	eve := s.store.NewUser(t, "eve")
	stranger, forgetful := eve, eve
	stranger.Name, stranger.Access = "stranger", "AKNOBODY"
	forgetful.Name, forgetful.Secret = "forgetful", "secret-of-nobody"
	bucket := s.store.Bucket
	for _, u := range []s3.User{eve, stranger, forgetful} {
		s.account(u, s.meter.Addr, bucket)
	}
	policy := strings.ReplaceAll(fmt.Sprintf(`{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Principal": {"AWS": [%q]}, "Action": ["s3:*"], "Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"]},
		{"Effect": "Deny", "Principal": {"AWS": [%q]}, "Action": ["s3:GetObject", "s3:PutObject"], "Resource": ["arn:aws:s3:::BUCKET/tree/locked/*", "arn:aws:s3:::BUCKET/in/locked/*"]}
	]}`, eve.Access, eve.Access), "BUCKET", bucket)
	_, err := s.store.Client().PutBucketPolicy(t.Context(), &sdk.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy})
	must(t, err)
	s.worker("worker")

	src := filepath.Join(s.files, "src")
	long := strings.Repeat(strings.Repeat("d", 120)+"/", 8) + strings.Repeat("f", 100) // 1068 bytes
	put := func(names ...string) {
		for _, name := range names {
			path := filepath.Join(src, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte("bytes of "+name), 0o600))
		}
	}
	put("a", "locked/b", "c/d", long, "taken/e", "control\x01", "latin\xe9")
	s.putObject("in/taken", []byte("a file where there is to be a directory"))
	for _, name := range []string{"a", "locked/b", "c/d"} {
		s.putObject("tree/"+name, []byte("bytes of "+name))
	}
	denied := []string{"AccessDenied", "ask the bucket's owner for the permission, or name another credential"}
	for _, c := range []struct {
		what, from, to, dir string             // dir is the destination on this host
		fails               map[string]refusal // by what is in the message
	}{
		{
			what: "to the store", from: s.here(src) + "/", to: "lab#eve:/in/", dir: filepath.Join(s.store.Dir, bucket, "in"),
			fails: map[string]refusal{
				" /in/locked/b:":    {fault.Permission, denied},
				" /in/taken:":       {fault.Exists, []string{"the source is a directory and the destination a file"}},
				" /in/control\x01:": {fault.Unsupported, []string{"control characters", "rename it"}},
				" /in/latin?:":      {fault.Unsupported, []string{"not UTF-8", "rename it"}},
				long[:100]:          {fault.Unsupported, []string{"longer than the 1024 bytes"}},
			},
		},
		{
			what: "from the store", from: "lab#eve:/tree/", to: s.here(s.files) + "/out/", dir: filepath.Join(s.files, "out"),
			fails: map[string]refusal{" /tree/locked/b:": {fault.Permission, denied}},
		},
	} {
		task := s.wait(s.submit(transfer.Request{Source: c.from, Destination: c.to, Recursive: true, OnError: transfer.OnErrorSkip}), time.Minute)
		failed, err := s.Service.Results(t.Context(), task.ID, transfer.ResultQuery{Status: []string{"failed"}})
		must(t, err)
		if task.Status != transfer.Succeeded || len(failed.Results) != len(c.fails) {
			t.Errorf("%s: the task is %s with %d files failed, not %d: %s", c.what, task.Status, len(failed.Results), len(c.fails), task.Verdict)
		}
		for name, want := range c.fails {
			at := slices.IndexFunc(failed.Results, func(r transfer.Result) bool { return r.Fault != nil && strings.Contains(r.Fault.Message, name) })
			if at < 0 {
				t.Errorf("%s: nothing is said of %q", c.what, name)
				continue
			}
			f := failed.Results[at].Fault
			if f.Kind != want.kind {
				t.Errorf("%s: %q is %s, not %s", c.what, name, f.Kind, want.kind)
			}
			says(t, c.what, f.Message, want.say...)
		}
		for _, name := range []string{"a", "c/d"} {
			if got, err := os.ReadFile(filepath.Join(c.dir, name)); err != nil || string(got) != "bytes of "+name {
				t.Errorf("%s: %s holds %q, %v", c.what, name, got, err)
			}
		}
	}

	for _, c := range []struct {
		what, from, to string
		status         transfer.Status
		say            []string
	}{
		{"an unknown bucket", "s3://there-is-none/run/", s.here(s.files) + "/none/", transfer.Failed, []string{"s3://there-is-none", "NoSuchBucket", "check the name of the bucket"}},
		{"an unknown bucket to write to", s.here(src) + "/a", "s3://there-is-none/a", transfer.Failed, []string{"s3://there-is-none", "NoSuchBucket", "check the name of the bucket"}},
		{"an unknown key", "lab#stranger:/tree/a", s.here(s.files) + "/a", transfer.Inactive, []string{"lab#stranger", "InvalidAccessKeyId", "check the access key"}},
		{"a wrong secret", "lab#forgetful:/tree/a", s.here(s.files) + "/a", transfer.Inactive, []string{"lab#forgetful", "SignatureDoesNotMatch", "check the access key"}},
	} {
		id := s.submit(transfer.Request{Source: c.from, Destination: c.to, Recursive: strings.HasSuffix(c.from, "/"), OnError: transfer.OnErrorFail})
		var task transfer.Task
		s.until("the end of it: "+c.what, func() bool {
			var err error
			task, err = s.Service.Task(t.Context(), id)
			return err == nil && task.Status == c.status
		})
		says(t, c.what, task.Verdict, c.say...)
		if strings.Contains(task.Verdict, forgetful.Secret) || strings.Contains(task.Verdict, eve.Secret) {
			t.Errorf("%s: a secret is told", c.what)
		}
	}
}

// refusal is what is said of a file that cannot be had.
type refusal struct {
	kind fault.Kind
	say  []string
}
