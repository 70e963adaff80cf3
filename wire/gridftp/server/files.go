package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
)

func pwd(s *session, _ string) gridftp.Reply {
	return gridftp.NewReply(257, fmt.Sprintf(`"%s" is current directory.`, strings.ReplaceAll(s.cwd, `"`, `""`)))
}

func cwd(s *session, arg string) gridftp.Reply {
	path, err := s.path(arg)
	if err != nil {
		return s.refuse(err)
	}
	e, err := s.config.Files.Stat(s.ctx, path, true)
	if err != nil {
		return s.refuse(err)
	}
	if !e.IsDir() {
		return (&Error{Category: gridftp.CategoryNotDirectory, Reason: "change to " + path, Detail: "Not a directory"}).reply()
	}
	s.cwd = path
	return gridftp.NewReply(250, "CWD command successful.")
}

func cdup(s *session, _ string) gridftp.Reply { return cwd(s, "..") }

func size(s *session, arg string) gridftp.Reply {
	e, err := s.stat(arg)
	if err != nil {
		return s.refuse(err)
	}
	if e.IsDir() || e.Size < 0 {
		// The Globus server tells a directory's own size.
		return (&Error{Category: gridftp.CategoryIsDirectory, Reason: "tell the size of " + arg, Detail: "it is not a plain file"}).reply()
	}
	return gridftp.NewReply(213, strconv.FormatInt(e.Size, 10))
}

func mdtm(s *session, arg string) gridftp.Reply {
	e, err := s.stat(arg)
	if err != nil {
		return s.refuse(err)
	}
	if e.ModTime.IsZero() {
		return (&Error{Reason: "tell the time of " + arg, Detail: "this storage does not know it"}).reply()
	}
	return gridftp.NewReply(213, gridftp.FormatTime(e.ModTime))
}

// stat describes what a path, or a link there, leads to.
func (s *session) stat(arg string) (gridftp.Entry, error) {
	path, err := s.path(arg)
	if err != nil {
		return gridftp.Entry{}, err
	}
	return s.config.Files.Stat(s.ctx, path, true)
}

// lstat describes a path, which may be a link.
func (s *session) lstat(arg string) (path string, e gridftp.Entry, err error) {
	if path, err = s.path(arg); err != nil {
		return "", e, err
	}
	e, err = s.config.Files.Stat(s.ctx, path, false)
	return path, e, err
}

func mkd(s *session, arg string) gridftp.Reply {
	path, err := s.path(arg)
	if err == nil {
		err = s.config.Files.Mkdir(s.ctx, path)
	}
	if err != nil {
		return s.refuse(err)
	}
	return gridftp.NewReply(257, fmt.Sprintf(`"%s" created successfully.`, strings.ReplaceAll(path, `"`, `""`)))
}

func rmd(s *session, arg string) gridftp.Reply {
	path, e, err := s.lstat(arg)
	if err == nil && !e.IsDir() {
		err = &Error{Category: gridftp.CategoryNotDirectory, Reason: "remove " + path, Detail: "Not a directory"}
	}
	if err == nil {
		err = s.config.Files.Remove(s.ctx, path)
	}
	return s.done(err)
}

func dele(s *session, arg string) gridftp.Reply {
	path, e, err := s.lstat(arg)
	if err == nil && e.IsDir() {
		err = &Error{Category: gridftp.CategoryIsDirectory, Reason: "remove " + path, Detail: "Is a directory"}
	}
	if err == nil {
		err = s.config.Files.Remove(s.ctx, path)
	}
	return s.done(err)
}

func rnfr(s *session, arg string) gridftp.Reply {
	path, _, err := s.lstat(arg)
	if err != nil {
		return s.refuse(err)
	}
	s.rename = path
	return gridftp.NewReply(350, "OK. Send RNTO with destination name.")
}

func rnto(s *session, arg string) gridftp.Reply {
	from := s.rename
	s.rename = ""
	if from == "" {
		return gridftp.NewReply(503, "Send RNFR first.")
	}
	to, err := s.path(arg)
	if err == nil {
		err = s.config.Files.Rename(s.ctx, from, to)
	}
	return s.done(err)
}

// mfmt takes a time and a path.
func mfmt(s *session, arg string) gridftp.Reply {
	text, name, _ := strings.Cut(arg, " ")
	when, err := gridftp.ParseTime(text)
	if err != nil || name == "" {
		return gridftp.NewReply(501, "Syntax error in parameters or arguments: a time YYYYMMDDHHMMSS and a path are needed.")
	}
	if err := s.setTime(name, when); err != nil {
		return s.refuse(err)
	}
	return gridftp.NewReply(213, "Modify="+gridftp.FormatTime(when)+"; "+name)
}

func (s *session) setTime(name string, when time.Time) error {
	if !s.config.Files.Abilities().Times {
		return notHere("set the time of " + name)
	}
	path, err := s.path(name)
	if err != nil {
		return err
	}
	return s.config.Files.SetModTime(s.ctx, path, when)
}

// done is the reply to a command that has nothing to say but how it went.
func (s *session) done(err error) gridftp.Reply {
	if err != nil {
		return s.refuse(err)
	}
	return gridftp.NewReply(250, "OK.")
}

// notHere refuses what the FileSystem has no ability for.
func notHere(what string) *Error {
	return &Error{Code: 502, Reason: what, Detail: "this storage cannot do that"}
}
