package workers

import (
	"sync"
	"time"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/wire/gsi"
)

// trustFor is how long the authorities that were read are believed before the
// directory is read again. Pooled sessions serve one reading of it only, so
// it is not short.
const trustFor = 10 * time.Minute

// authorities are those of the trust directory, as last read.
type authorities struct {
	mu    sync.Mutex
	trust *gsi.Trust
	dir   string
	at    time.Time
}

func (a *authorities) read(dir string, now time.Time) (*gsi.Trust, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.trust != nil && a.dir == dir && now.Sub(a.at) < trustFor {
		return a.trust, nil
	}
	t, err := gsi.LoadTrust(dir)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Credential, Op: "read the authorities in", Path: dir, Err: err, Hint: "set trust_dir or X509_CERT_DIR on the worker"}
	}
	a.trust, a.dir, a.at = t, dir, now
	return t, nil
}

func (a *authorities) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trust = nil
}
