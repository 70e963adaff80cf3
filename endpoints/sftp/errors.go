package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pkg/sftp"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// access is which side of the rule for names of another sort a call is on.
type access int

const (
	reads  access = iota
	writes        // what is in the way is Exists
	makes         // the same, of a call that wants the name to be free
)

// Codes of STATUS (draft-ietf-secsh-filexfer-02, 7). Of the first three the
// library makes io.EOF, fs.ErrNotExist and fs.ErrPermission.
const (
	statusEOF            = 1
	statusNoSuchFile     = 2
	statusPermission     = 3
	statusFailure        = 4
	statusBadMessage     = 5
	statusNoConnection   = 6
	statusConnectionLost = 7
	statusUnsupported    = 8
)

var (
	errNoSuchFile = errors.New("no such file or directory")
	errPermission = errors.New("permission denied")
	errFailure    = errors.New("the server says no more than that it failed")
)

// refusal says that trying again, or another server, does not help.
func refusal(err error) bool {
	return errors.As(err, new(*authError)) || errors.As(err, new(*keysError)) || errors.As(err, new(*HostKeyError)) || errors.Is(err, errNoSubsystem)
}

// refused gives the errors of logging in their kind.
func (s *Storage) refused(ctx context.Context, op string, err error) error {
	credential := func(hint string) error {
		return &fault.Error{Kind: fault.Credential, Op: op, Path: s.name, Hint: hint,
			Err: &endpoints.CredentialError{Domain: s.domain, Fingerprint: s.fingerprint, Configured: true, Err: err}}
	}
	var known *fault.Error
	var host *HostKeyError
	var auth *authError
	var own *keysError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &host):
		return credential(host.hint())
	case errors.As(err, &auth):
		if len(auth.keys) == 0 {
			return credential("name a credential with ssh_key, ssh_agent or password_file for this endpoint")
		}
		return credential(fmt.Sprintf("have a key of these in ~/.ssh/authorized_keys of %q there, or name another credential or login name", auth.user))
	case errors.Is(err, ErrPassphrase):
		return credential("give the key to an ssh-agent and name its socket in ssh_agent, or make a key without a pass phrase for this purpose")
	case errors.As(err, &own):
		return credential("")
	case errors.Is(err, errNoSubsystem):
		return fault.Wrap(fault.Unsupported, op, s.name, err)
	case errors.Is(err, errMalformed):
		return &fault.Error{Kind: fault.Unsupported, Op: op, Path: s.name, Err: err, Hint: "a login script or a forced command may write into the session"}
	case ctx.Err() != nil:
		return fault.Wrap(fault.KindOf(ctx.Err()), op, s.name, ctx.Err())
	}
	return fault.Wrap(fault.Transient, op, s.name, err)
}

// classify gives the errors of requests their kind. c is where it was asked,
// and where to look what is there.
func (s *Storage) classify(ctx context.Context, c *conn, op, p string, err error, a access) error {
	var known *fault.Error
	var status *sftp.StatusError
	is := func(k fault.Kind, err error) error { return fault.Wrap(k, op, p, err) }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return is(fault.KindOf(ctx.Err()), ctx.Err())
	case s.life.Err() != nil:
		return is(fault.Transient, errClosed)
	case errors.Is(err, fs.ErrNotExist):
		if a != reads && s.belowFile(ctx, c, p) {
			return is(fault.Exists, errors.New("a file is where a directory should be"))
		}
		return is(fault.NotFound, errNoSuchFile)
	case errors.Is(err, fs.ErrPermission):
		return is(fault.Permission, errPermission)
	case errors.Is(err, errMalformed):
		return is(fault.Internal, err)
	case errors.As(err, &status):
		switch status.Code {
		case statusBadMessage:
			return is(fault.Invalid, errors.New("the server takes no such name or value"))
		case statusUnsupported:
			return is(fault.Unsupported, errors.New("the server cannot do it"))
		case statusFailure:
			return s.explain(ctx, c, op, p, a)
		case statusNoConnection, statusConnectionLost:
			if why := c.failure(); why != nil {
				err = why
			}
			return is(fault.Transient, err)
		}
		return is(fault.Internal, err)
	}
	if why := c.failure(); why != nil {
		err = why
	}
	return is(fault.Transient, err)
}

// belowFile looks whether a file is in the middle of a path.
func (s *Storage) belowFile(ctx context.Context, c *conn, p string) bool {
	for p = path.Dir(p); p != "/"; p = path.Dir(p) {
		fi, err := call(ctx, s, c, func() (info, error) { return c.sftp.Stat(s.real(p)) }, nil)
		if err == nil {
			return !fi.IsDir()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return false
}

// explain finds out what a server means by failure.
func (s *Storage) explain(ctx context.Context, c *conn, op, p string, a access) error {
	is := func(k fault.Kind, what string) error { return fault.New(k, op, p, what) }
	fi, err := call(ctx, s, c, func() (info, error) { return c.sftp.Lstat(s.real(p)) }, nil)
	switch {
	case err == nil && a == makes:
		return is(fault.Exists, "the name is taken")
	case err == nil && fi.IsDir() && a == writes:
		return is(fault.Exists, "a directory has that name")
	case err == nil && fi.IsDir():
		return is(fault.NotFound, "it is a directory")
	}
	if a != reads && c.extension(extStatVFS) {
		vfs, err := call(ctx, s, c, func() (*statVFS, error) { return c.sftp.StatVFS(s.real(path.Dir(p))) }, nil)
		switch {
		case err != nil:
		case vfs.Flag&readOnly != 0:
			return is(fault.Permission, "the file system is read-only")
		case vfs.Bavail*vfs.Frsize < leastSpace || vfs.Files > 0 && vfs.Favail == 0:
			return is(fault.NoSpace, "no space is left at the server")
		}
	}
	return &fault.Error{Kind: fault.Transient, Op: op, Path: p, Err: errFailure, Hint: "its log may say more; a full quota looks like this"}
}

const (
	readOnly = 1 // SSH_FXE_STATVFS_ST_RDONLY (OpenSSH's PROTOCOL, 4.4)
	// leastSpace, in bytes, is of a disk on which no packet finds room.
	leastSpace = maxPacket
)
