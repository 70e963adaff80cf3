package sftp

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hosts says whether servers' keys are those that known_hosts files have.
type hosts struct {
	files       []string
	check       ssh.HostKeyCallback
	authorities bool // some hosts are vouched for by an authority
}

// HostKeyError is in the chain of errors of servers whose key is not believed.
type HostKeyError struct {
	Host    string // HOST:PORT
	Key     string // type and fingerprint that the server shows
	Want    string // the same of what is known of it; empty is nothing
	Revoked bool
	File    string // where to put its key, or where a wrong one is
}

func (e *HostKeyError) Error() string {
	switch {
	case e.Revoked:
		return fmt.Sprintf("the host key of %s, %s, is revoked in %s", e.Host, e.Key, e.File)
	case e.Want != "":
		return fmt.Sprintf("the host key of %s has changed: it shows %s, and %s has %s; somebody may be in between", e.Host, e.Key, e.File, e.Want)
	}
	return fmt.Sprintf("the host key of %s is not known: it shows %s", e.Host, e.Key)
}

// hint is what a person can do.
func (e *HostKeyError) hint() string {
	host, port, err := net.SplitHostPort(e.Host)
	if err != nil {
		host, port = e.Host, "22"
	}
	scan := fmt.Sprintf("ssh-keyscan -p %s %s >> %s", port, host, e.File)
	switch {
	case e.Revoked:
		return "the server has to get another key"
	case e.Want != "":
		return fmt.Sprintf("ask the server's operator; if the key was renewed: ssh-keygen -R '%s' -f %s, then %s", knownhosts.Normalize(e.Host), e.File, scan)
	}
	return "compare the fingerprint with what the server's operator says, then: " + scan
}

// newHosts reads the files. One that does not exist vouches for nobody.
func newHosts(files []string) (*hosts, error) {
	h := &hosts{files: files}
	var there []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there = append(there, f)
		h.authorities = h.authorities || bytes.Contains(text, []byte("@cert-authority"))
	}
	var err error
	h.check, err = knownhosts.New(there...)
	return h, err
}

// verify is an ssh.HostKeyCallback.
func (h *hosts) verify(host string, remote net.Addr, key ssh.PublicKey) error {
	err := h.check(host, remote, key)
	if cert, ok := key.(*ssh.Certificate); ok && err != nil {
		// As ssh does: who does not know the authority may know the key.
		key = cert.Key
		err = h.check(host, remote, key)
	}
	if err == nil {
		return nil
	}
	e := &HostKeyError{Host: host, Key: show(key)}
	if len(h.files) > 0 {
		e.File = h.files[0]
	}
	var unknown *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		e.Revoked, e.File = true, revoked.Revoked.Filename
	case errors.As(err, &unknown):
		if len(unknown.Want) > 0 {
			at := unknown.Want[0]
			for _, w := range unknown.Want {
				if w.Key.Type() == key.Type() {
					at = w
				}
			}
			e.Want, e.File = show(at.Key), at.Filename
		}
	default:
		return err
	}
	return e
}

func show(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// algorithms are the kinds of host keys to ask a server for: those that are
// known of it come first, or it might show one of its others.
func (h *hosts) algorithms(addr string) []string {
	all := ssh.SupportedAlgorithms().HostKeys
	var known []string
	var unknown *knownhosts.KeyError
	// A key that no host has: the answer is what is known.
	if probe, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))); err == nil &&
		errors.As(h.check(addr, &net.TCPAddr{IP: net.IPv4zero, Port: 22}, probe), &unknown) {
		for _, w := range unknown.Want {
			if t := w.Key.Type(); t == ssh.KeyAlgoRSA {
				known = append(known, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			} else {
				known = append(known, t)
			}
		}
	}
	var ordered []string
	if h.authorities {
		for _, a := range all {
			if strings.Contains(a, "-cert-v01@") {
				ordered = append(ordered, a)
			}
		}
	}
	ordered = append(ordered, known...)
	ordered = append(ordered, all...)
	seen := map[string]bool{}
	return slices.DeleteFunc(ordered, func(a string) bool {
		twice := seen[a]
		seen[a] = true
		return twice || !slices.Contains(all, a)
	})
}
