package server

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
)

// commands are the commands by verb.
func commands() map[string]command {
	return map[string]command{
		// RFC 2228 and RFC 959: who is there
		"AUTH": {run: auth, early: true, argument: true},
		"ADAT": {run: adat, early: true, argument: true},
		"USER": {run: user, early: true, argument: true},
		"PASS": {run: pass, early: true},
		"PBSZ": {run: pbsz, early: true, argument: true},
		"PROT": {run: prot, argument: true},
		"CCC":  {run: ccc},
		"QUIT": {run: quit, early: true},

		// what this server is
		"FEAT": {run: feat, early: true},
		"HELP": {run: help, early: true},
		"NOOP": {run: noop, early: true},
		"SITE": {run: site, early: true, argument: true},
		"SYST": {run: syst, early: true},
		"STAT": {run: stat},
		"LANG": {run: lang, early: true},
		"OPTS": {run: opts, early: true, argument: true},

		// data channels
		"TYPE": {run: typeCommand, argument: true},
		"MODE": {run: mode, argument: true},
		"STRU": {run: stru, argument: true},
		"DCAU": {run: dcau, argument: true},
		"DCSC": {run: dcsc, argument: true},
		"PASV": {run: pasv},
		"EPSV": {run: epsv},
		"SPAS": {run: spas},
		"PORT": {run: port, argument: true},
		"EPRT": {run: eprt, argument: true},
		"SPOR": {run: spor, argument: true},
		"SBUF": {run: sbuf, argument: true},
		"TREV": {run: trev, argument: true},

		// transfers
		"REST": {run: rest, argument: true},
		"ALLO": {run: allo, argument: true},
		"RETR": {run: retr, argument: true},
		"ERET": {run: eret, argument: true},
		"STOR": {run: stor, argument: true, changes: true},
		"APPE": {run: appe, argument: true, changes: true},
		"ESTO": {run: esto, argument: true, changes: true},
		"ABOR": {run: abor, early: true},

		// listings
		"MLST": {run: mlst},
		"MLSC": {run: mlsc},
		"MLSD": {run: mlsd},
		"MLSR": {run: mlsr},
		"LIST": {run: listCommand},
		"NLST": {run: nlst},

		// files
		"PWD":  {run: pwd},
		"XPWD": {run: pwd},
		"CWD":  {run: cwd, argument: true},
		"XCWD": {run: cwd, argument: true},
		"CDUP": {run: cdup},
		"XCUP": {run: cdup},
		"SIZE": {run: size, argument: true},
		"MDTM": {run: mdtm, argument: true},
		"MFMT": {run: mfmt, argument: true, changes: true},
		"MKD":  {run: mkd, argument: true, changes: true},
		"XMKD": {run: mkd, argument: true, changes: true},
		"RMD":  {run: rmd, argument: true, changes: true},
		"XRMD": {run: rmd, argument: true, changes: true},
		"DELE": {run: dele, argument: true, changes: true},
		"RNFR": {run: rnfr, argument: true, changes: true},
		"RNTO": {run: rnto, argument: true, changes: true},
		"CKSM": {run: cksm, argument: true},
	}
}

func quit(s *session, _ string) gridftp.Reply {
	s.leaving = true
	return gridftp.NewReply(221, "Goodbye.")
}

func noop(*session, string) gridftp.Reply { return gridftp.NewReply(200, "NOOP command successful.") }

func syst(*session, string) gridftp.Reply { return gridftp.NewReply(215, "UNIX Type: L8") }

func lang(_ *session, arg string) gridftp.Reply {
	if arg != "" && !strings.EqualFold(arg, "EN") {
		return gridftp.NewReply(504, fmt.Sprintf("'%s' unrecognized language.", arg))
	}
	return gridftp.NewReply(200, "lang set to EN.")
}

// ccc would make a protected control channel clear (RFC 2228, 3).
func ccc(*session, string) gridftp.Reply {
	return gridftp.NewReply(534, "This server keeps the control channel protected.")
}

// feat tells what this server can do. What is told before the login says no
// more than what kind of server this is.
func feat(s *session, _ string) gridftp.Reply {
	able := s.config.Files.Abilities()
	f := gridftp.Features{
		"UTF8": "", "LANG": "EN", "SIZE": "", "MDTM": "", "REST": "STREAM", "EPSV": "", "EPRT": "",
		"MLST": factNames, "MLSC": "", "MLSR": "", "PARALLEL": "", "ERET": "", "ESTO": "", "SPAS": "", "SPOR": "", "WHOAMI": "",
	}
	if len(able.Checksums) > 0 {
		// Each with a weight: clients that have no wish of their own take the
		// heaviest.
		var b strings.Builder
		for i, alg := range able.Checksums {
			fmt.Fprintf(&b, "%s:%d;", alg, 10+len(able.Checksums)-i)
		}
		f["CKSM"] = b.String()
	}
	if able.Times {
		f["MFMT"] = ""
	}
	if s.config.Credential != nil {
		f["AUTH"] = "GSSAPI"
		f["DCAU"] = ""
		f["DCSC"] = "P,D"
	}
	return f.Reply()
}

// help lists the commands, or those behind SITE. globus-url-copy asks SITE HELP
// first, which means the former, and takes what is not listed for unknown.
func help(s *session, arg string) gridftp.Reply {
	if strings.EqualFold(arg, "SITE") {
		lines := []string{"Help for SITE:"}
		for _, verb := range slices.Sorted(maps.Keys(s.server.site)) {
			lines = append(lines, " SITE "+verb)
		}
		return gridftp.Reply{Code: 214, Lines: append(lines, "End.")}
	}
	lines := []string{"The following commands are recognized:"}
	for row := range slices.Chunk(slices.Sorted(maps.Keys(s.server.commands)), 8) {
		var b strings.Builder
		for _, verb := range row {
			fmt.Fprintf(&b, "    %-4s", verb)
		}
		lines = append(lines, b.String())
	}
	return gridftp.Reply{Code: 214, Lines: append(lines, "End")}
}

// opts sets a command's options (RFC 2389).
func opts(s *session, arg string) gridftp.Reply {
	verb, rest, _ := strings.Cut(arg, " ")
	ok := false
	switch strings.ToUpper(verb) {
	case "RETR":
		ok = s.optsRetr(rest)
	case "MLST":
		s.facts, ok = chooseFacts(rest), true
	case "PASV":
		// A client may be content to learn the address later; it always gets
		// it at once.
		ok = true
	case "UTF8":
		ok = rest == "" || strings.EqualFold(rest, "ON")
	case "CKSM":
		ok = s.optsCksm(rest)
	}
	if !ok {
		return gridftp.NewReply(501, "OPTS failed.")
	}
	return gridftp.NewReply(200, "OPTS Command Successful.")
}

// optsRetr reads "Parallelism=4,4,4;": the number of connections to begin
// with, the least and the most (GFD.20). The first counts here. Layouts of
// stripes and block sizes say nothing to a server of one stripe.
func (s *session) optsRetr(options string) bool {
	for option := range strings.SplitSeq(strings.TrimSpace(options), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch strings.ToLower(name) {
		case "parallelism":
			first, _, _ := strings.Cut(value, ",")
			n, err := strconv.ParseUint(first, 10, 16)
			if err != nil || n == 0 {
				return false
			}
			s.data.parallelism = min(int(n), s.config.Limits.Parallelism)
		case "markers":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return false
			}
			s.data.sent = time.Duration(n) * time.Second
		case "stripelayout", "blocksize", "":
		default:
			return false
		}
	}
	return true
}

// optsCksm reads "markers=5;": the seconds between signs of life.
func (s *session) optsCksm(options string) bool {
	name, value, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(options), ";"), "=")
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || !strings.EqualFold(name, "markers") {
		return false
	}
	s.data.alive = time.Duration(n) * time.Second
	return true
}
