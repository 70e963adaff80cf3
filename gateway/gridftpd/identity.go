package gridftpd

import (
	"fmt"
	"log/slog"

	"github.com/gridferry/gridferry/wire/gsi"
)

// Identity returns a function for server.Config.Identity that follows the files
// of the host certificate and the directory of authorities. While what they
// hold cannot be used, and what they held before still counts, logins say so in
// the log.
func Identity(host *gsi.CredentialFiles, trust *gsi.TrustDir, log *slog.Logger) func() (*gsi.Credential, *gsi.Trust, error) {
	return func() (*gsi.Credential, *gsi.Trust, error) {
		c, err := host.Credential()
		if err != nil {
			return nil, nil, fmt.Errorf("host certificate: %w", err)
		}
		t, err := trust.Trust()
		if err != nil {
			return nil, nil, err
		}
		for _, problem := range []error{host.Problem(), trust.Problem()} {
			if problem != nil {
				log.Warn("a change of the host certificate or the authorities is not in force", "error", problem)
			}
		}
		return c, t, nil
	}
}
