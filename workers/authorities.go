package workers

import (
	"sync"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi"
)

// authorities are those of the trust directory that the configuration names.
// Pooled sessions belong to one reading of it, so it is the same one until the
// directory's content is another.
type authorities struct {
	mu      sync.Mutex
	dir     *gsi.TrustDir
	path    string
	options gsi.TrustOptions
}

func (a *authorities) read(c *config.Config) (*gsi.Trust, error) {
	t, err := a.of(c).Trust()
	if err != nil {
		return nil, &fault.Error{Kind: fault.Credential, Op: "read the authorities in", Path: c.TrustDir, Err: err, Hint: "set trust_dir or X509_CERT_DIR on the worker"}
	}
	return t, nil
}

func (a *authorities) of(c *config.Config) *gsi.TrustDir {
	a.mu.Lock()
	defer a.mu.Unlock()
	if options := TrustOptions(c.Trust); a.dir == nil || a.path != c.TrustDir || a.options != options {
		a.dir, a.path, a.options = gsi.NewTrustDir(c.TrustDir, options), c.TrustDir, options
	}
	return a.dir
}

// TrustOptions is what the configuration says of a trust directory.
func TrustOptions(c config.Trust) gsi.TrustOptions {
	return gsi.TrustOptions{AllowExpiredCRL: c.AllowExpiredCRL, AllowMissingPolicy: c.AllowMissingSigningPolicy}
}

// Expiries lists the ends of what the authorities that this opener believes
// come with. It is empty where there is no trust directory, which only matters
// to who needs one.
func (o *Opener) Expiries() []gsi.Expiry {
	t, err := o.authorities.of(o.config.Load()).Trust()
	if err != nil {
		return nil
	}
	return t.Expiries()
}
