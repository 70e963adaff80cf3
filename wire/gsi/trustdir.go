package gsi

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// TrustOptions loosen what a directory of trusted authorities must hold. The
// zero value is as strict as the Globus tools are by default.
type TrustOptions struct {
	// AllowExpiredCRL goes on with a revocation list after its end, for sites
	// that are cut off from where new ones come from. Whoever was revoked since
	// gets in; whoever is on the list does not.
	AllowExpiredCRL bool
	// AllowMissingPolicy lets an authority without HASH.signing_policy sign for
	// any name, as OpenSSL does. A policy that is there counts all the same.
	AllowMissingPolicy bool
}

// DefaultTrustDir returns the directory of CA certificates where the Globus
// tools look: X509_CERT_DIR, else ~/.globus/certificates if there is one, else
// /etc/grid-security/certificates.
func DefaultTrustDir() string {
	if dir := os.Getenv("X509_CERT_DIR"); dir != "" {
		return dir
	}
	if home, err := os.UserHomeDir(); err == nil {
		dir := filepath.Join(home, ".globus", "certificates")
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return "/etc/grid-security/certificates"
}

// What a name in a trust directory says of the file.
var (
	certificateName = regexp.MustCompile(`^([0-9a-f]{8}\.[0-9]+|.*\.(pem|crt))$`)
	policyName      = regexp.MustCompile(`^([0-9a-f]{8})\.signing_policy$`)
	crlName         = regexp.MustCompile(`^([0-9a-f]{8})\.r[0-9]+$`)
)

func isTrustFile(name string) bool {
	return certificateName.MatchString(name) || policyName.MatchString(name) || crlName.MatchString(name)
}

// LoadTrust is TrustOptions{}.Load.
func LoadTrust(dir string) (*Trust, error) { return TrustOptions{}.Load(dir) }

// Load reads a directory as the Globus tools and OpenSSL have it: certificates
// of authorities (HASH.0, *.pem, *.crt), of which the self-issued ones become
// roots and others count only under a root; signing policies
// (HASH.signing_policy); revocation lists (HASH.rN).
//
// A file that cannot be read or parsed disables the authority that it is for,
// and no other: it is named in the error when that authority's certificates are
// refused. No root at all is an error.
func (o TrustOptions) Load(dir string) (*Trust, error) {
	l := trustLoader{
		dir:    dir,
		digest: sha256.New(),
		seen:   make(map[string]bool),
		trust: &Trust{
			roots: x509.NewCertPool(), options: o, policies: make(map[string]*policyFile),
			crls: make(map[string][]*crl), badCRLs: make(map[string]error),
		},
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load trusted authorities: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if m := policyName.FindStringSubmatch(name); m != nil {
			l.policy(name, m[1])
		} else if m := crlName.FindStringSubmatch(name); m != nil {
			l.crl(name, m[1])
		} else if certificateName.MatchString(name) {
			l.certificates(name)
		}
	}
	t := l.trust
	if len(t.rootCerts) == 0 {
		return nil, fmt.Errorf("load trusted authorities: no root certificate in %s%s", dir, t.skippedNote())
	}
	t.digest = [sha256.Size]byte(l.digest.Sum(nil))
	return t, nil
}

// A trustLoader fills a Trust from a directory.
type trustLoader struct {
	dir    string
	digest hash.Hash
	seen   map[string]bool // certificates: one authority has several names in such a directory
	trust  *Trust
}

// read returns a file's bytes and counts them into the digest, so that two
// readings are told apart when they differ.
func (l *trustLoader) read(name string, limit int64) ([]byte, error) {
	data, err := readFile(filepath.Join(l.dir, name), limit)
	fmt.Fprintf(l.digest, "%q %v %d\n", name, err, len(data))
	l.digest.Write(data) // a hash takes everything
	return data, err
}

func (l *trustLoader) policy(name, hash string) {
	data, err := l.read(name, maxPolicy)
	var policy *signingPolicy
	if err == nil {
		policy, err = parseSigningPolicy(string(data))
	}
	l.trust.policies[hash] = &policyFile{name: name, policy: policy, err: err}
}

func (l *trustLoader) crl(name, hash string) {
	data, err := l.read(name, maxCRL)
	var list *x509.RevocationList
	if err == nil {
		list, err = parseCRL(data)
	}
	if err != nil {
		l.trust.badCRLs[hash] = fmt.Errorf("the revocation list %s of its authority cannot be used (%w): fetch it again, for example with fetch-crl", name, err)
		return
	}
	// By what it says, not by its name: a list under another's name counts too.
	if hash, err = subjectHash(list.RawIssuer); err == nil {
		l.trust.crls[hash] = append(l.trust.crls[hash], newCRL(name, list))
	}
}

func (l *trustLoader) certificates(name string) {
	data, err := l.read(name, maxCredential)
	var certs []*x509.Certificate
	if err == nil {
		certs, err = parseCertificates(data)
	}
	if err != nil {
		l.trust.skipped = append(l.trust.skipped, fmt.Sprintf("%s (%v)", name, err))
		return
	}
	for _, cert := range certs {
		if l.seen[string(cert.Raw)] {
			continue
		}
		l.seen[string(cert.Raw)] = true
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			l.trust.roots.AddCert(cert)
			l.trust.rootCerts = append(l.trust.rootCerts, trustedCertificate{name, cert})
		} else {
			l.trust.intermediates = append(l.trust.intermediates, cert)
		}
	}
}

func (t *Trust) skippedNote() string {
	if len(t.skipped) == 0 {
		return ""
	}
	return "; these files there could not be used: " + strings.Join(t.skipped, ", ")
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	return certs, nil
}
