package setup

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/vault"
	"github.com/gridferry/gridferry/wire/gridftp/server"
	"github.com/gridferry/gridferry/wire/gsi"
)

const (
	// patience is how long a server may take to answer.
	patience = 10 * time.Second
	// soon is how long before its end a certificate is worth a word.
	soon = 14 * 24 * time.Hour
)

// Check holds all answers against what there is.
func (p Program) Check(ctx context.Context, a Answers) []Finding {
	var all []Finding
	for _, q := range questions() {
		if q.check != nil {
			all = append(all, q.check(p, ctx, a)...)
		}
	}
	for _, e := range a.Endpoints {
		all = append(all, p.checkEndpoint(ctx, a, e)...)
	}
	return all
}

func (p Program) checkDataDir(_ context.Context, a Answers) []Finding {
	what := about("data-dir", a.DataDir)
	if a.DataDir == "" {
		return []Finding{problem(what, errors.New("it is empty"), "name a directory")}
	}
	// The daemon makes it; what can be known now is whether it will be able to.
	dir := a.DataDir
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != "/" {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return []Finding{problem(what, err, "")}
		}
		if !info.IsDir() {
			return []Finding{problem(what, fmt.Errorf("%s is not a directory", dir), "")}
		}
		break
	}
	f, err := os.CreateTemp(dir, ".gridferry-setup-*")
	if err != nil {
		return []Finding{problem(what, err, "name a directory where the daemon's user may write")}
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return []Finding{problem(what, err, "")}
	}
	return []Finding{ok(what, "can be written")}
}

func (p Program) checkTemporal(ctx context.Context, a Answers) []Finding {
	what := about("temporal", a.Temporal)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.Temporal(ctx, a.Temporal, a.Namespace); err != nil {
		return []Finding{problem(what, err, `start it, or try "make demo", which brings its own`)}
	}
	return []Finding{ok(what, "answers, and has the namespace %s", a.Namespace)}
}

func (p Program) checkTrust(_ context.Context, a Answers) []Finding {
	what := about("trust-dir", a.TrustDir)
	if _, err := gsi.LoadTrust(a.TrustDir); err != nil {
		return []Finding{problem(what, err, "put the certificates of the authorities there that your servers' certificates are from, under their OpenSSL hashes")}
	}
	return []Finding{ok(what, "can be read")}
}

func (p Program) checkHost(_ context.Context, a Answers) []Finding {
	if a.HostCert == "" && a.HostKey == "" {
		return nil
	}
	what := about("host-cert", a.HostCert)
	if a.HostCert == "" || a.HostKey == "" {
		return []Finding{problem(what, errors.New("a certificate and its key belong together"), "give both, or neither")}
	}
	cred, err := gsi.LoadPair(a.HostCert, a.HostKey)
	if err != nil {
		return []Finding{problem(what, err, "")}
	}
	found := []Finding{ok(what, "is %s, good until %s", cred.Identity(), cred.NotAfter().UTC().Format(time.DateOnly))}
	if trust, err := gsi.LoadTrust(a.TrustDir); err == nil { // else that was said
		if _, err := trust.Verify(cred.Chain, time.Now()); err != nil {
			found = []Finding{problem(what, err, "clients will refuse it for the same reason")}
		}
	}
	if left := time.Until(cred.NotAfter()); left > 0 && left < soon {
		found = append(found, warning(what, fmt.Sprintf("it ends in %d days", int(left.Hours()/24)), "renew it; the daemon takes the new one without a restart"))
	}
	if name, err := os.Hostname(); err == nil {
		if err := gsi.MatchHost(cred.EEC(), name); err != nil {
			found = append(found, warning(what, err.Error(), "clients must call this host by a name in its certificate"))
		}
	}
	return found
}

func (p Program) checkServe(_ context.Context, a Answers) []Finding {
	if a.Serve == "" {
		return nil
	}
	what := about("serve", a.Serve)
	info, err := os.Stat(a.Serve)
	if err != nil {
		return []Finding{problem(what, err, "")}
	}
	if !info.IsDir() {
		return []Finding{problem(what, errors.New("it is not a directory"), "")}
	}
	found := []Finding{ok(what, "is there; nothing outside will be reachable")}
	if a.HostCert == "" {
		found = append(found, problem(what, errors.New("a GridFTP server wants a host certificate"), "give --host-cert and --host-key"))
	}
	return found
}

func (p Program) checkGridmap(_ context.Context, a Answers) []Finding {
	what := about("gridmap", a.Gridmap)
	if a.Gridmap == "" {
		if a.Serve != "" {
			return []Finding{problem(what, errors.New("without one nobody can log in to the GridFTP server"), "give --gridmap")}
		}
		return nil
	}
	if _, err := server.LoadGridmap(a.Gridmap); err != nil {
		return []Finding{problem(what, err, "")}
	}
	return []Finding{ok(what, "can be read")}
}

// checkKeyset reads the keys; the daemon makes those that are not there.
func (p Program) checkKeyset(ctx context.Context, a Answers) []Finding {
	what := about("keyset", a.Keyset)
	if a.Keyset == "" {
		return []Finding{problem(what, errors.New("credentials are never kept unsealed"), "name a file")}
	}
	_, err := vault.NewKeyFile(a.Keyset, nil).Keyset(ctx)
	switch {
	case fault.Is(err, fault.NotFound):
		return []Finding{ok(what, "is not there yet: the daemon makes it at its first start. Keep a copy, apart from those of %s", a.DataDir)}
	case err != nil:
		return []Finding{problem(what, err, "")}
	}
	return []Finding{ok(what, "can be read")}
}

func (p Program) checkAPI(ctx context.Context, a Answers) []Finding {
	if a.API == "" {
		return nil
	}
	what := about("api-listen", a.API)
	var found []Finding
	if a.HostCert == "" {
		found = append(found, problem(what, errors.New("mutual TLS wants a host certificate"), "give --host-cert and --host-key"))
	}
	if a.Gridmap == "" {
		found = append(found, warning(what, "without a gridmap no certificate is a user's", "give --gridmap"))
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.API)
	if err != nil {
		return append(found, problem(what, err, "name another port"))
	}
	_ = l.Close() // nobody was served
	return append(found, ok(what, "is free"))
}

// checkMyProxy shakes hands with the server and believes it as the daemon will.
func (p Program) checkMyProxy(ctx context.Context, a Answers) []Finding {
	if a.MyProxy == "" {
		return nil
	}
	what := about("myproxy", a.MyProxy)
	host, port, err := net.SplitHostPort(a.MyProxy)
	if err != nil {
		host, port = a.MyProxy, "7512"
	}
	trust, err := gsi.LoadTrust(a.TrustDir)
	if err != nil {
		return []Finding{problem(what, errors.New("it cannot be believed without authorities"), "see trust-dir")}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conf, err := gsi.ClientTLS(nil, trust, host)
	if err != nil {
		return []Finding{problem(what, err, "write HOST or HOST:PORT")}
	}
	dialer := tls.Dialer{Config: conf}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return []Finding{problem(what, err, "")}
	}
	_ = conn.Close() // nothing was said
	return []Finding{ok(what, "answers, with a certificate that is believed")}
}

// checkEndpoint reads the greeting of each server.
func (p Program) checkEndpoint(ctx context.Context, _ Answers, endpoint string) []Finding {
	name, servers, err := parseEndpoint(endpoint)
	if err != nil {
		return []Finding{problem("endpoint", err, "")}
	}
	var found []Finding
	for _, s := range servers {
		what := fmt.Sprintf("endpoint %s, server %s", name, s)
		greeting, err := greet(ctx, s, "2811")
		switch {
		case err != nil:
			found = append(found, problem(what, err, "is the server's name right, and does a firewall let control connections through?"))
		case !strings.HasPrefix(greeting, "220"):
			found = append(found, problem(what, fmt.Errorf("it says %q, which is no GridFTP server's greeting", greeting), ""))
		default:
			found = append(found, ok(what, "says %s", greeting))
		}
	}
	return found
}

// checkMail reads the mail server's greeting.
func (p Program) checkMail(ctx context.Context, a Answers) []Finding {
	if a.Mail == "" {
		return nil
	}
	what := about("mail", a.Mail)
	var found []Finding
	if m, err := netmail.ParseAddress(a.MailFrom); err != nil || m.Address != a.MailFrom {
		found = append(found, problem("mail-from", fmt.Errorf("%q is not a mail address", a.MailFrom), "give --mail-from"))
	}
	greeting, err := greet(ctx, a.Mail, "587")
	switch {
	case err != nil:
		found = append(found, problem(what, err, ""))
	case !strings.HasPrefix(greeting, "220"):
		found = append(found, problem(what, fmt.Errorf("it says %q, which is no mail server's greeting", greeting), ""))
	default:
		found = append(found, ok(what, "says %s", greeting))
	}
	return found
}

// greet returns the last line of what a server says when somebody comes.
func greet(ctx context.Context, address, port string) (string, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), port)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	const longest = 16 << 10
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		// "220-" goes on, in FTP and SMTP alike.
		if line := lines.Text(); len(line) < 4 || line[3] != '-' {
			return strings.ToValidUTF8(strings.TrimSpace(line), "?"), nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", errors.New("it hung up without a word")
}
