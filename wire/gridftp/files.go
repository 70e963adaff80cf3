package gridftp

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// Stat describes a path (MLST). Globus's servers follow a final symbolic link
// and say so in LinkTarget; one that leads nowhere is not found. Of a server
// without MLST only type, size and time are known, and a link is not told from
// its target. Name is the path as given.
func (c *Client) Stat(ctx context.Context, path string) (Entry, error) {
	if !c.features.Has("MLST") {
		return c.statPlain(ctx, path)
	}
	r, err := c.pathCommand(ctx, "MLST", path)
	if err != nil {
		return Entry{}, err
	}
	lines := r.Middle()
	// RFC 3659 has exactly one, unless the name holds a line end.
	if len(lines) == 0 {
		return Entry{}, syntaxError("MLST reply", r.String())
	}
	e, err := ParseFacts(strings.TrimPrefix(lines[0], " "))
	if err != nil {
		return Entry{}, err
	}
	e.Name = path
	if e.Type == CurrentDir || e.Type == ParentDir {
		e.Type = TypeDir
	}
	return e, nil
}

// statPlain finds out with SIZE, MDTM and CWD what MLST would say.
func (c *Client) statPlain(ctx context.Context, path string) (Entry, error) {
	e := Entry{Name: path, Type: TypeDir, Size: -1, Mode: -1}
	size, err := c.Size(ctx, path)
	var refusal *ReplyError
	switch {
	case err == nil:
		e.Type, e.Size = TypeFile, size
	case !errors.As(err, &refusal):
		return Entry{}, err
	default:
		if err := c.visit(ctx, path, func() error { return nil }); err != nil {
			return Entry{}, notFoundAsSaid(refusal, err)
		}
	}
	// Only proftpd and few others tell it of directories.
	if e.ModTime, err = c.ModTime(ctx, path); err != nil && !errors.As(err, &refusal) {
		return Entry{}, err
	}
	return e, nil
}

// notFoundAsSaid picks, of two refusals for one path, the one that says more.
func notFoundAsSaid(size *ReplyError, cwd error) error {
	var refusal *ReplyError
	if errors.As(cwd, &refusal) && !refusal.NotFound() && size.NotFound() {
		return size
	}
	return cwd
}

// Size returns a file's size in bytes (SIZE).
func (c *Client) Size(ctx context.Context, path string) (int64, error) {
	r, err := c.pathCommand(ctx, "SIZE", path)
	if err != nil {
		return 0, err
	}
	n, err := parseCount(r.Text())
	if err != nil {
		return 0, syntaxError("SIZE reply", r.String())
	}
	return n, nil
}

// ModTime returns a file's modification time (MDTM).
func (c *Client) ModTime(ctx context.Context, path string) (time.Time, error) {
	r, err := c.pathCommand(ctx, "MDTM", path)
	if err != nil {
		return time.Time{}, err
	}
	return ParseTime(r.Text())
}

// SetModTime sets a file's modification time, to the second: by MFMT, or in
// the ways of servers without it.
func (c *Client) SetModTime(ctx context.Context, path string, t time.Time) error {
	if err := c.checkName(path); err != nil {
		return err
	}
	when := FormatTime(t)
	verbs := []string{"MFMT"}
	if !c.features.Has("MFMT") {
		// vsftpd takes a time in MDTM; proftpd and old Globus servers know
		// SITE UTIME.
		if verbs = []string{"SITE UTIME"}; !c.pipelines() {
			verbs = []string{"MDTM", "SITE UTIME"}
		}
	}
	var err error
	for _, verb := range verbs {
		_, err = c.command(ctx, verb, when, path)
		var refusal *ReplyError
		if err == nil || !errors.As(err, &refusal) {
			return err
		}
	}
	return err
}

// Mkdir makes one directory (MKD).
func (c *Client) Mkdir(ctx context.Context, path string) error {
	_, err := c.pathCommand(ctx, "MKD", path)
	return err
}

// RemoveFile removes a file or a symbolic link (DELE).
func (c *Client) RemoveFile(ctx context.Context, path string) error {
	_, err := c.pathCommand(ctx, "DELE", path)
	return err
}

// RemoveDir removes an empty directory (RMD).
func (c *Client) RemoveDir(ctx context.Context, path string) error {
	_, err := c.pathCommand(ctx, "RMD", path)
	return err
}

// Rename gives from the name to (RNFR, RNTO); servers on POSIX systems replace
// a file of that name at once.
func (c *Client) Rename(ctx context.Context, from, to string) error {
	if err := c.checkName(from, to); err != nil {
		return err
	}
	return c.inTurn(ctx, "RNFR "+from, "RNTO "+to)
}

// Chmod sets permission bits, 0 to 07777 (SITE CHMOD).
func (c *Client) Chmod(ctx context.Context, path string, mode uint32) error {
	if err := c.checkName(path); err != nil {
		return err
	}
	_, err := c.command(ctx, "SITE CHMOD", fmt.Sprintf("%04o", mode&0o7777), path)
	return err
}

// Symlink makes link a symbolic link to target. The Globus server stores only
// absolute targets, and makes a relative one absolute from where the session
// stands; here it is made so from the directory the link is in.
func (c *Client) Symlink(ctx context.Context, target, link string) error {
	if err := c.checkName(target, link); err != nil {
		return err
	}
	if c.pipelines() {
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(link), target)
		}
		return c.inTurn(ctx, "SITE SYMLINKFROM "+target, "SITE SYMLINKTO "+link)
	}
	if strings.Contains(target, " ") || strings.Contains(link, " ") {
		return fmt.Errorf("gridftp: SITE SYMLINK cannot carry names with spaces: %q, %q", target, link)
	}
	_, err := c.command(ctx, "SITE SYMLINK", target, link)
	return err
}

// WhoAmI returns the account the session runs under (SITE WHOAMI).
func (c *Client) WhoAmI(ctx context.Context) (string, error) {
	r, err := c.command(ctx, "SITE WHOAMI")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(r.Text()), nil
}
