package gsi

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// lookEvery is how long files are believed to be as they were when they
	// were last looked at. A change counts within that time.
	lookEvery = 10 * time.Second
	// keepFor is how long what was read before goes on while the files are in no
	// state to be read: whoever replaces them does not do it all at once.
	keepFor = 10 * time.Minute
)

// watched is what was made of files, and is made again after they changed. It
// looks when it is asked, so that nothing needs to run. Who asks gets the very
// same value as long as the content is the same, whatever happened to the
// files.
type watched[T any] struct {
	files func() ([]string, error) // in a fixed order
	load  func() (T, error)
	same  func(a, b T) bool
	now   func() time.Time

	mu      sync.Mutex
	value   T
	have    bool
	stamp   string    // of the files that value was made of
	looked  time.Time // when the files were last found to be those
	failed  time.Time // when loading first failed since; zero: it did not
	problem error     // the failure
}

func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if w.have && now.Sub(w.looked) < lookEvery {
		return w.value, nil
	}
	w.look(now)
	if w.problem != nil && (!w.have || now.Sub(w.failed) > keepFor) {
		w.have = false
		var none T
		return none, w.problem
	}
	w.looked = now
	return w.value, nil
}

// look reads the files again if they are not what they were.
func (w *watched[T]) look(now time.Time) {
	stamp, err := w.current()
	if err == nil && w.have && w.problem == nil && stamp == w.stamp {
		return
	}
	var value T
	if err == nil {
		value, err = w.load()
	}
	if err != nil {
		if w.problem == nil {
			w.failed = now
		}
		w.problem = err
		return
	}
	if !w.have || !w.same(w.value, value) {
		w.value = value
	}
	w.have, w.stamp, w.problem, w.failed = true, stamp, nil, time.Time{}
}

// current tells apart what the files were at two times.
func (w *watched[T]) current() (string, error) {
	files, err := w.files()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintf(&b, "%q gone\n", file) // loading will say what that means
			continue
		}
		fmt.Fprintf(&b, "%q %d %d %v\n", file, info.Size(), info.ModTime().UnixNano(), info.Mode())
	}
	return b.String(), nil
}

// why returns the failure because of which what is in force is older than the
// files.
func (w *watched[T]) why() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problem
}

// A TrustDir is a directory of trusted authorities as it is now: certificates,
// signing policies and revocation lists. Changes count within ten seconds.
type TrustDir struct{ trust watched[*Trust] }

// NewTrustDir watches a directory. Nothing is read yet.
func NewTrustDir(dir string, o TrustOptions) *TrustDir {
	return &TrustDir{watched[*Trust]{
		files: func() ([]string, error) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				return nil, fmt.Errorf("load trusted authorities: %w", err)
			}
			var files []string
			for _, entry := range entries {
				if name := entry.Name(); isTrustFile(name) {
					files = append(files, filepath.Join(dir, name))
				}
			}
			return files, nil
		},
		load: func() (*Trust, error) { return o.Load(dir) },
		same: func(a, b *Trust) bool { return a.digest == b.digest },
		now:  time.Now,
	}}
}

// Trust returns the authorities, and the very same ones until the content of
// the directory changes. While it cannot be read, what was there before counts
// for ten minutes more; then, or when there was nothing, that is an error.
func (d *TrustDir) Trust() (*Trust, error) { return d.trust.get() }

// Problem returns why the directory as it is now is not in force; nil when it
// is.
func (d *TrustDir) Problem() error { return d.trust.why() }

// CredentialFiles are a certificate and its key in two files, as hosts have
// them, as they are now. Changes count within ten seconds.
type CredentialFiles struct{ credential watched[*Credential] }

// NewCredentialFiles watches two files, as LoadPair takes them. Nothing is read
// yet.
func NewCredentialFiles(certPath, keyPath string) *CredentialFiles {
	return &CredentialFiles{watched[*Credential]{
		files: func() ([]string, error) { return []string{certPath, keyPath}, nil },
		load:  func() (*Credential, error) { return LoadPair(certPath, keyPath) },
		same:  sameChain,
		now:   time.Now,
	}}
}

// Credential returns what the files hold, and the very same one until that
// changes. While the files do not go together, since one is replaced and the
// other not yet, what they were before counts for ten minutes more.
func (f *CredentialFiles) Credential() (*Credential, error) { return f.credential.get() }

// Problem returns why the files as they are now are not in force; nil when they
// are.
func (f *CredentialFiles) Problem() error { return f.credential.why() }

func sameChain(a, b *Credential) bool {
	if len(a.Chain) != len(b.Chain) {
		return false
	}
	for i := range a.Chain {
		if !a.Chain[i].Equal(b.Chain[i]) {
			return false
		}
	}
	return true // and so is the key, which is the leaf's
}
