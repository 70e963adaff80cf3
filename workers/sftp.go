package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/sftp"
	"github.com/gridferry/gridferry/fault"
)

func (o *Opener) openSFTP(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	id, err := o.sshIdentity(rec, owner, credential)
	if err != nil {
		return nil, err
	}
	s, err := o.sftp.Open(ctx, rec, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// systemKnownHosts is where ssh has the keys of hosts for all users.
const systemKnownHosts = "/etc/ssh/ssh_known_hosts"

// sshIdentity finds what to log in with. Where nothing is named it is the
// worker's own, if that is the owner's to use: its agent and the keys that ssh
// would try.
func (o *Opener) sshIdentity(rec endpoints.Record, owner, credential string) (sftp.Identity, error) {
	id := sftp.Identity{Owner: owner, User: o.account}
	home, homeErr := os.UserHomeDir()
	if homeErr == nil {
		id.KnownHosts = append(id.KnownHosts, filepath.Join(home, ".ssh/known_hosts"))
	}
	id.KnownHosts = append(id.KnownHosts, systemKnownHosts)
	if credential == "" {
		credential = rec.Credential
	}
	if credential == "" {
		credential = config.CredentialEnv
	}
	s, err := o.secret(credential, owner)
	if err != nil {
		return id, err
	}
	digest := sha256.New()
	digest.Write([]byte(s.id))
	// What a file holds now, so that connections end with what they were made with.
	of := func(file string) {
		text, _ := os.ReadFile(file) // that it cannot be read, logging in will tell
		digest.Write([]byte("\x00" + file + "\x00"))
		digest.Write(text)
	}
	agent := s.from.SSHAgent
	switch {
	case s.id == config.CredentialEnv:
		agent = os.Getenv("SSH_AUTH_SOCK")
		var files []string
		if homeErr == nil {
			files = usualKeys(home)
		}
		for _, f := range files {
			of(f)
		}
		id.Keys = func(ctx context.Context) ([]ssh.Signer, func(), error) { return ownKeys(ctx, agent, files) }
	case agent != "":
		id.Keys = func(ctx context.Context) ([]ssh.Signer, func(), error) { return sftp.AgentKeys(ctx, agent) }
	case s.from.SSHKey != "":
		of(s.from.SSHKey)
		id.Keys = func(context.Context) ([]ssh.Signer, func(), error) {
			keys, err := sftp.LoadKey(s.from.SSHKey, s.from.SSHCertificate)
			return keys, nil, err
		}
	case s.from.PasswordFile != "":
		if id.Password, err = s.password(); err != nil {
			return id, err
		}
		of(s.from.PasswordFile)
	default:
		return id, &fault.Error{Kind: fault.Credential, Op: opUse, Path: s.id,
			Err:  &endpoints.CredentialError{Domain: rec.SecurityDomain(), Configured: true, Err: errors.New("it is not for sftp")},
			Hint: "that wants ssh_key, ssh_agent or password_file"}
	}
	digest.Write([]byte("\x00" + agent))
	id.Fingerprint = hex.EncodeToString(digest.Sum(nil)[:8])
	return id, nil
}

// usualKeys are the files in which ssh looks for keys, as far as they exist.
func usualKeys(home string) []string {
	var there []string
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		file := filepath.Join(home, ".ssh", name)
		if _, err := os.Stat(file); err == nil {
			there = append(there, file)
		}
	}
	return there
}

// ownKeys are those of an agent, where there is one, and of files. What cannot be
// used counts only when nothing else can.
func ownKeys(ctx context.Context, agent string, files []string) (keys []ssh.Signer, done func(), err error) {
	var errs []error
	if agent != "" {
		if keys, done, err = sftp.AgentKeys(ctx, agent); err != nil {
			errs = append(errs, err)
		}
	}
	for _, f := range files {
		some, err := sftp.LoadKey(f, "")
		if err != nil {
			errs = append(errs, err)
		}
		keys = append(keys, some...)
	}
	if len(keys) > 0 {
		return keys, done, nil
	}
	return nil, done, errors.Join(errs...)
}
