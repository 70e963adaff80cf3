package gridftpd_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/gateway/gridftpd"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

func TestIdentity(t *testing.T) {
	ca := gsitest.NewCA(t)
	host := ca.Host()
	cert, key := ca.PairFiles(host)
	var log bytes.Buffer
	identity := gridftpd.Identity(gsi.NewCredentialFiles(cert, key), gsi.NewTrustDir(ca.Dir, gsi.TrustOptions{}), slog.New(slog.NewTextHandler(&log, nil)))
	c, trust, err := identity()
	if err != nil || c.Fingerprint() != host.Fingerprint() || trust == nil || log.Len() > 0 {
		t.Errorf("identity %v, %v, %v; log %s", c, trust, err, log.String())
	}

	for what, broken := range map[string]func() (*gsi.CredentialFiles, *gsi.TrustDir){
		"host certificate": func() (*gsi.CredentialFiles, *gsi.TrustDir) {
			return gsi.NewCredentialFiles(cert, filepath.Join(ca.Dir, "no.key")), gsi.NewTrustDir(ca.Dir, gsi.TrustOptions{})
		},
		"authorities": func() (*gsi.CredentialFiles, *gsi.TrustDir) {
			return gsi.NewCredentialFiles(cert, key), gsi.NewTrustDir(filepath.Join(ca.Dir, "none"), gsi.TrustOptions{})
		},
	} {
		files, dir := broken()
		if _, _, err := gridftpd.Identity(files, dir, slog.New(slog.DiscardHandler))(); err == nil || !strings.Contains(err.Error(), what) || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without %s: %v", what, err)
		}
	}
}
