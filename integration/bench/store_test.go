package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/integration/s3"
)

// A store is an S3 server that keeps objects as files, and what peers need to
// reach it.
type store struct {
	*s3.Store
	bucket string // the directory of the bucket
	dir    string // of settings
}

func newStore(t *testing.T, dir string) *store {
	t.Helper()
	s := &store{Store: s3.NewStore(t, s3.StoreOptions{Parent: dir}), dir: t.TempDir()}
	s.bucket = filepath.Join(s.Dir, s.Bucket)
	return s
}

// conf is the store and the SSH server as the worker knows them, in YAML. Peers
// leave it to the servers when a file is on the disk, and so does gridferry here.
func (s *store) conf(t *testing.T, sshd *globus.SSHServer) string {
	t.Helper()
	keys := s.write(t, "keys", fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s.Access, s.Secret), 0o600)
	return fmt.Sprintf(`
endpoints:
  lab#store: {kind: s3, scheme: http, servers: [%q], root: %q, credential: "file:store"}
  lab#ssh: {kind: sftp, servers: ["%s:%d"], user: %q, credential: "file:ssh", options: {known_hosts: %q, sync: "off"}}
credentials:
  store: {owners: ["*"], aws_file: %q}
  ssh: {owners: ["*"], ssh_key: %q}
`, s.Addr, "/"+s.Bucket, sshd.Host, sshd.Port, sshd.User, sshd.KnownHosts(), keys, sshd.KeyFile())
}

// storeArgs are the command's, between the worker's own files and a store or an
// SSH server.
func (s *site) storeArgs(r route) []string {
	files := []string{"file://" + host + s.src.Root + "/", s.src.Root}
	store := []string{"lab#store:/", s.store.bucket}
	switch r {
	case toSSH:
		return []string{"bench", files[0], "lab#ssh:" + s.dst.Root + "/", "--source-dir", files[1], "--destination-dir", s.dst.Root, "--destination-as", s.sshd.URL("")}
	case fromStore:
		files = []string{"file://" + host + s.dst.Root + "/", s.dst.Root}
		return []string{"bench", store[0], files[0], "--source-dir", store[1], "--destination-dir", files[1], "--source-as", "s3://" + s.store.Bucket + "/"}
	}
	return []string{"bench", files[0], store[0], "--source-dir", files[1], "--destination-dir", store[1], "--destination-as", "s3://" + s.store.Bucket + "/"}
}

// clients is a directory with an aws that speaks to the store: an older one has
// no setting for that.
func (s *store) clients(t *testing.T) string {
	t.Helper()
	program := "/usr/bin/aws" // Debian's, whatever else is on the PATH
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("aws"); err != nil {
			return s.dir
		}
	}
	s.write(t, "aws", fmt.Sprintf("#!/bin/sh\nexec %s --endpoint-url http://%s \"$@\"\n", program, s.Addr), 0o700)
	return s.dir
}

// env is what rclone and aws read.
func (s *store) env(t *testing.T) []string {
	t.Helper()
	// With a profile, aws looks for no keys in the environment.
	common := fmt.Sprintf("region = us-east-1\naws_access_key_id = %s\naws_secret_access_key = %s\n", s.Access, s.Secret)
	profiles := "[default]\n" + common +
		"[profile gridferry-bench-32]\n" + common + "s3 =\n  max_concurrent_requests = 32\n" +
		"[profile gridferry-bench-64x64M]\n" + common + "s3 =\n  max_concurrent_requests = 64\n  multipart_chunksize = 64MB\n"
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.Access, "AWS_SECRET_ACCESS_KEY=" + s.Secret, "AWS_REGION=us-east-1",
		"AWS_CONFIG_FILE=" + s.write(t, "profiles", profiles, 0o600), "AWS_EC2_METADATA_DISABLED=true",
		"RCLONE_CONFIG=" + filepath.Join(s.dir, "rclone.conf"),
		"RCLONE_S3_PROVIDER=Other", "RCLONE_S3_ENV_AUTH=true", "RCLONE_S3_REGION=us-east-1", "RCLONE_S3_ENDPOINT=http://" + s.Addr,
	}
}

func (s *store) write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}
