package server

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/gridferry/gridferry/wire/gridftp"
)

// siteCommands are the commands behind SITE, by verb.
func siteCommands() map[string]command {
	return map[string]command{
		"HELP":         {run: help, early: true},
		"WHOAMI":       {run: whoami},
		"CLIENTINFO":   {run: clientInfo, argument: true},
		"TASKID":       {run: clientInfo, argument: true},
		"CHMOD":        {run: chmod, argument: true, changes: true},
		"UTIME":        {run: utime, argument: true, changes: true},
		"RDEL":         {run: rdel, argument: true, changes: true},
		"SYMLINKFROM":  {run: symlinkFrom, argument: true, changes: true},
		"SYMLINKTO":    {run: symlinkTo, argument: true, changes: true},
		"VERSION":      {run: version},
		"SETNETSTACK":  {run: netStack, argument: true},
		"SETDISKSTACK": {run: diskStack, argument: true},
		"SBUF":         {run: sbuf, argument: true},
		"SBUFSZ":       {run: sbuf, argument: true},
		"RBUFSZ":       {run: sbuf, argument: true},
		"SBUFSIZ":      {run: sbuf, argument: true},
		"RBUFSIZ":      {run: sbuf, argument: true},
		"SBUFSIZE":     {run: sbuf, argument: true},
		"RBUFSIZE":     {run: sbuf, argument: true},
		"RETRBUFSIZE":  {run: sbuf, argument: true},
		"STORBUFSIZE":  {run: sbuf, argument: true},
	}
}

func site(s *session, arg string) gridftp.Reply {
	verb, rest, _ := strings.Cut(arg, " ")
	verb = strings.ToUpper(verb)
	cmd, known := s.server.site[verb]
	if !known {
		return gridftp.NewReply(500, "Invalid command.")
	}
	return s.carryOut(verb, rest, cmd)
}

func whoami(s *session, _ string) gridftp.Reply {
	return gridftp.NewReply(200, s.login.user)
}

// clientInfo takes what a client tells of itself, for the log.
func clientInfo(s *session, arg string) gridftp.Reply {
	s.log.Info("client", "info", arg)
	return gridftp.NewReply(250, "OK.")
}

func version(s *session, _ string) gridftp.Reply {
	return gridftp.NewReply(200, s.config.Banner)
}

// netStack takes the names that the Globus toolkit has for what data channels
// are made of here; others (UDT, rate limits) are refused.
func netStack(_ *session, arg string) gridftp.Reply { return onlyStack(arg, "tcp") }

// diskStack is netStack for files.
func diskStack(_ *session, arg string) gridftp.Reply { return onlyStack(arg, "file") }

func onlyStack(arg, only string) gridftp.Reply {
	if name := strings.ToLower(strings.TrimSpace(arg)); name != "default" && name != only {
		return gridftp.NewReply(501, fmt.Sprintf("The stack here is %q alone.", only))
	}
	return gridftp.NewReply(250, "OK.")
}

func chmod(s *session, arg string) gridftp.Reply {
	text, name, _ := strings.Cut(arg, " ")
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o7777 || name == "" {
		return gridftp.NewReply(501, "Syntax error in parameters or arguments: an octal mode and a path are needed.")
	}
	if !s.config.Files.Abilities().Modes {
		return s.refuse(notHere("set the mode of " + name))
	}
	path, err := s.path(name)
	if err == nil {
		err = s.config.Files.Chmod(s.ctx, path, uint32(mode))
	}
	return s.done(err)
}

// utime is MFMT with the reply of a SITE command.
func utime(s *session, arg string) gridftp.Reply {
	r := mfmt(s, arg)
	if r.Code == 213 {
		return s.done(nil)
	}
	return r
}

// symlinkFrom takes the target of the link that SITE SYMLINKTO makes. Like every
// path here, one that is not absolute counts from where the session stands, and
// not from where the link will be: so it is at the Globus server.
func symlinkFrom(s *session, arg string) gridftp.Reply {
	if !s.config.Files.Abilities().Links {
		return s.refuse(notHere("make symbolic links"))
	}
	target, err := s.path(arg)
	if err != nil {
		return s.refuse(err)
	}
	s.symlink = target
	return gridftp.NewReply(350, "OK. Send SITE SYMLINKTO with symlink name.")
}

func symlinkTo(s *session, arg string) gridftp.Reply {
	target := s.symlink
	s.symlink = ""
	if target == "" {
		return gridftp.NewReply(503, "Send SITE SYMLINKFROM first.")
	}
	path, err := s.path(arg)
	if err == nil {
		err = s.config.Files.Symlink(s.ctx, target, path)
	}
	return s.done(err)
}

// rdel removes a tree, or one name. ABOR ends it.
func rdel(s *session, arg string) gridftp.Reply {
	root, e, err := s.lstat(arg)
	if err != nil {
		return s.refuse(err)
	}
	if root == "/" {
		return s.refuse(&Error{Category: gridftp.CategoryPermissionDenied, Reason: "remove /", Detail: "this is all that is served"})
	}
	ctx, end, err := s.begin()
	if err != nil {
		return s.refuse(transferError(err))
	}
	defer end()
	if e.IsDir() && !e.IsLink() {
		err = s.removeTree(ctx, root)
	} else {
		err = s.config.Files.Remove(ctx, root)
	}
	return s.done(err)
}

// removeTree removes a directory and all below it, without following links. It
// asks again what each name is: between a listing and its use, a directory may
// have become a link that leads elsewhere.
func (s *session) removeTree(ctx context.Context, dir string) error {
	files := s.config.Files
	var names []string
	err := files.List(ctx, dir, func(entries []gridftp.Entry) error {
		for _, e := range entries {
			names = append(names, e.Name)
		}
		return context.Cause(ctx)
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		p := path.Join(dir, name)
		e, err := files.Stat(ctx, p, false)
		if err != nil {
			return err
		}
		if e.IsDir() && !e.IsLink() {
			err = s.removeTree(ctx, p)
		} else {
			err = files.Remove(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return files.Remove(ctx, dir)
}
