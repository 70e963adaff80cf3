package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/gridferry/gridferry/fault"
)

// Wrapper encrypts keysets where they lie, with a key that never leaves a key
// management service.
type Wrapper = tink.AEADWithContext

// maxKeyset is the most that a keyset may be; one key takes about 300 bytes.
const maxKeyset = 1 << 20

// KeyFile is a keyset in a file that nobody but its owner may read, in Tink's
// JSON form. It is looked at again for each use, so that what another process
// adds to it is known at once.
type KeyFile struct {
	path string
	wrap Wrapper

	mu     sync.Mutex
	parsed *keyset.Handle
	of     fileID
}

// NewKeyFile returns the keys of a file, which need not exist yet. wrap is nil
// when the file holds the keys in the clear.
func NewKeyFile(path string, wrap Wrapper) *KeyFile { return &KeyFile{path: path, wrap: wrap} }

// fileID changes when a file is written or exchanged.
type fileID struct {
	inode, size int64
	modified    time.Time
}

// Keyset implements Keys.
func (f *KeyFile) Keyset(ctx context.Context) (*keyset.Handle, error) {
	const op = "read keyset"
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fault.Error{Kind: fault.NotFound, Op: op, Path: f.path, Err: errors.New("there is no such file"),
			Hint: "put the keyset back where it was, or make the first one with gridferryd vault init"}
	}
	if err != nil {
		return nil, fault.Wrap(kindOf(err), op, f.path, pathless(err))
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, &fault.Error{Kind: fault.Permission, Op: op, Path: f.path,
			Err: fmt.Errorf("others than its owner may use a file of mode %04o", info.Mode().Perm()), Hint: "chmod 600 " + f.path}
	}
	id := fileID{size: info.Size(), modified: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.inode = int64(st.Ino)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.parsed != nil && f.of == id {
		return f.parsed, nil
	}
	if info.Size() > maxKeyset {
		return nil, fault.New(fault.Invalid, op, f.path, fmt.Sprintf("a file of %d bytes is no keyset", info.Size()))
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fault.Wrap(kindOf(err), op, f.path, pathless(err))
	}
	h, err := parse(ctx, op, f.path, text, f.wrap)
	if err == nil {
		f.parsed, f.of = h, id
	}
	return h, err
}

// Create makes the first keyset; Exists when there is a file already.
func (f *KeyFile) Create(ctx context.Context) error {
	const op = "make keyset"
	unlock, err := f.lock(op)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(f.path); err == nil {
		return &fault.Error{Kind: fault.Exists, Op: op, Path: f.path, Err: errors.New("there is one already"),
			Hint: "without it, what it has sealed is lost; add a key to it with gridferryd vault rotate"}
	}
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fault.Wrap(fault.Internal, op, f.path, err)
	}
	return f.write(ctx, op, h)
}

// AddKey adds a new key to the keyset, makes it the one that seals, and returns
// its id. The earlier keys stay, and open what they have sealed.
func (f *KeyFile) AddKey(ctx context.Context) (string, error) {
	const op = "add key to"
	unlock, err := f.lock(op)
	if err != nil {
		return "", err
	}
	defer unlock()
	h, err := f.Keyset(ctx)
	if err != nil {
		return "", err
	}
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err == nil {
		h, err = m.Handle()
	}
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, f.path, err)
	}
	return keyName(id), f.write(ctx, op, h)
}

// lock keeps two from changing the file at once: the key of the first would be
// lost with all that it has sealed.
func (f *KeyFile) lock(op string) (unlock func(), err error) {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Wrap(kindOf(err), op, f.path, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, fault.Wrap(kindOf(err), op, f.path, err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		_ = d.Close() // nothing was written
		return nil, fault.Wrap(fault.Internal, op, f.path, err)
	}
	return func() { _ = d.Close() }, nil // the lock goes with the directory's descriptor
}

// write puts the file in place whole: half a keyset would lose everything that
// it seals, and so would one that a power cut takes back after its first use.
func (f *KeyFile) write(ctx context.Context, op string, h *keyset.Handle) (err error) {
	var text bytes.Buffer
	if f.wrap != nil {
		if err := h.WriteWithContext(ctx, keyset.NewJSONWriter(&text), f.wrap, nil); err != nil {
			return unreachable(op, f.path, err)
		}
	} else if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&text)); err != nil {
		return fault.Wrap(fault.Internal, op, f.path, err)
	}
	dir := filepath.Dir(f.path)
	defer func() {
		if err != nil {
			err = fault.Wrap(kindOf(err), op, f.path, pathless(err))
		}
	}()
	tmp, err := os.CreateTemp(dir, ".keyset-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text.Bytes(), '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// KeyEnv is a keyset in an environment variable, in Tink's JSON form.
type KeyEnv struct {
	name  string
	value string
	wrap  Wrapper

	mu     sync.Mutex
	parsed *keyset.Handle
}

// NewKeyEnv returns the keys in the value of a variable. wrap is nil when it
// holds the keys in the clear.
func NewKeyEnv(name, value string, wrap Wrapper) *KeyEnv {
	return &KeyEnv{name: name, value: value, wrap: wrap}
}

// Keyset implements Keys.
func (e *KeyEnv) Keyset(ctx context.Context) (*keyset.Handle, error) {
	const op = "read keyset from environment variable"
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.parsed != nil {
		return e.parsed, nil
	}
	if e.value == "" {
		return nil, fault.New(fault.NotFound, op, e.name, "it is not set")
	}
	h, err := parse(ctx, op, e.name, []byte(e.value), e.wrap)
	e.parsed = h
	return h, err
}

func parse(ctx context.Context, op, what string, text []byte, wrap Wrapper) (*keyset.Handle, error) {
	invalid := &fault.Error{Kind: fault.Invalid, Op: op, Path: what, Err: errors.New("it is not a keyset in Tink's JSON form"),
		Hint: "make one with gridferryd vault init"} // never with the parser's words, which could quote a key
	var h *keyset.Handle
	var err error
	if wrap == nil {
		if h, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text))); err != nil {
			return nil, invalid
		}
	} else {
		wrapped, err := keyset.NewJSONReader(bytes.NewReader(text)).ReadEncrypted()
		if err != nil || len(wrapped.GetEncryptedKeyset()) == 0 {
			return nil, invalid
		}
		if h, err = keyset.ReadWithContext(ctx, keyset.NewJSONReader(bytes.NewReader(text)), wrap, nil); err != nil {
			return nil, unreachable(op, what, err)
		}
	}
	if _, err := aead.New(h); err != nil {
		return nil, fault.New(fault.Invalid, op, what, "its keys are not for authenticated encryption (AEAD)")
	}
	return h, nil
}

// unreachable is the fault of a keyset that its wrapping key does not open now.
func unreachable(op, what string, err error) error {
	return &fault.Error{Kind: fault.Transient, Op: op, Path: what, Err: err, Hint: "the key management service must be reachable and allow the key's use"}
}

func kindOf(err error) fault.Kind {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fault.Permission
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.NoSpace
	}
	return fault.Internal
}

// pathless takes the path out of an error, which the fault names already.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
