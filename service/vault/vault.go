// Package vault seals credentials and opens them again. It is the one place
// where a stored private key is in the clear; what it hands to whoever keeps
// its rows are sealed bytes and what may be shown.
//
// The seal is an AEAD of Tink (github.com/tink-crypto/tink-go): AES-256-GCM, of
// a keyset whose keys rotate. What a row is for is part of its seal, so that
// rows that were exchanged in the database do not open.
package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// Rows keeps what is sealed; the store does. There is one credential for each
// owner and domain, and the clock by which one has expired is that of Rows.
// keyID tells which key sealed a row, and is not secret.
type Rows interface {
	// PutCredential keeps a credential, in place of the former one.
	PutCredential(ctx context.Context, a transfer.Activation, sealed []byte, keyID string) error
	// Credential is NotFound when there is none that has not expired.
	Credential(ctx context.Context, owner, domain string) (a transfer.Activation, sealed []byte, keyID string, err error)
	// DeleteCredential returns what was deleted, expired or not; NotFound when
	// there was none.
	DeleteCredential(ctx context.Context, owner, domain string) (transfer.Activation, error)
	// Credentials lists by domain what has not expired.
	Credentials(ctx context.Context, owner string) ([]transfer.Activation, error)
	// CredentialsNotOf lists up to limit credentials, of all owners, that other
	// keys have sealed.
	CredentialsNotOf(ctx context.Context, keyID string, limit int) ([]transfer.Activation, error)
	// ResealCredential exchanges the sealed bytes of a credential that still
	// has the ones in was; of any other it does nothing.
	ResealCredential(ctx context.Context, owner, domain string, was, sealed []byte, keyID string) error

	// PutDelegation keeps the key of a delegation until expires.
	PutDelegation(ctx context.Context, owner, domain, id string, sealed []byte, keyID string, expires time.Time) error
	// Delegation is NotFound when there is none, of that owner, that has not
	// expired.
	Delegation(ctx context.Context, owner, id string) (domain string, sealed []byte, keyID string, err error)
	// DeleteDelegation is NotFound when it was deleted before.
	DeleteDelegation(ctx context.Context, owner, id string) error
}

// Keys is where the keyset comes from.
type Keys interface {
	// Keyset returns the keys as they are now; it is asked for each use, and
	// again after a rotation by another process.
	Keyset(ctx context.Context) (*keyset.Handle, error)
}

// Vault seals and opens. It is safe for many goroutines.
type Vault struct {
	rows Rows
	keys Keys
}

// New returns a vault over rows that others keep.
func New(rows Rows, keys Keys) *Vault { return &Vault{rows, keys} }

// maxSecret is how much one credential may be: a hundred times a usual chain.
const maxSecret = 1 << 20

// kind says what sealed bytes are, as part of their seal.
type kind string

const (
	kindCredential kind = "credential"
	kindDelegation kind = "delegation"
)

// Put seals a credential and keeps it in place of the former one of its owner
// and domain. Transient while the key is out of reach.
func (v *Vault) Put(ctx context.Context, a transfer.Activation, pem []byte) error {
	const op = "keep credential for"
	switch {
	case a.Owner == "" || a.Domain == "" || a.Expires.IsZero():
		return fault.New(fault.Invalid, op, a.Domain, "a credential has an owner, a domain and an end")
	case len(pem) == 0 || len(pem) > maxSecret:
		return fault.New(fault.Invalid, op, a.Domain, fmt.Sprintf("a credential of %d bytes is none (the most is %d)", len(pem), maxSecret))
	}
	sealed, keyID, err := v.seal(ctx, op, pem, kindCredential, a.Owner, a.Domain)
	if err != nil {
		return err
	}
	return v.rows.PutCredential(ctx, a, sealed, keyID)
}

// Open returns the owner's credential in a domain, with its secret. NotFound
// when there is none that has not expired; Transient while the key is out of
// reach; Credential when the row was damaged or exchanged for another, which a
// new activation heals.
func (v *Vault) Open(ctx context.Context, owner, domain string) (transfer.Activation, []byte, error) {
	a, sealed, keyID, err := v.rows.Credential(ctx, owner, domain)
	if err != nil {
		return transfer.Activation{}, nil, err
	}
	pem, err := v.open(ctx, sealed, keyID, kindCredential, owner, domain)
	if err != nil {
		return transfer.Activation{}, nil, err
	}
	return a, pem, nil
}

// Delete forgets a credential and returns what it was; NotFound when there is
// none. It needs no key.
func (v *Vault) Delete(ctx context.Context, owner, domain string) (transfer.Activation, error) {
	return v.rows.DeleteCredential(ctx, owner, domain)
}

// List returns the owner's credentials that have not expired, without their
// secrets. It needs no key.
func (v *Vault) List(ctx context.Context, owner string) ([]transfer.Activation, error) {
	return v.rows.Credentials(ctx, owner)
}

// PutDelegation seals the private key of a delegation (see
// transfer.Delegation), for a life of minutes.
func (v *Vault) PutDelegation(ctx context.Context, owner, domain, id string, key []byte, expires time.Time) error {
	const op = "keep delegation for"
	if owner == "" || domain == "" || id == "" || len(key) == 0 || len(key) > maxSecret {
		return fault.New(fault.Invalid, op, domain, "a delegation has an owner, a domain, an id and a key")
	}
	sealed, keyID, err := v.seal(ctx, op, key, kindDelegation, owner, domain, id)
	if err != nil {
		return err
	}
	return v.rows.PutDelegation(ctx, owner, domain, id, sealed, keyID, expires)
}

// TakeDelegation returns domain and key of a delegation, once: NotFound for
// whoever comes second, for other owners, and when its minutes are over.
func (v *Vault) TakeDelegation(ctx context.Context, owner, id string) (domain string, key []byte, err error) {
	domain, sealed, keyID, err := v.rows.Delegation(ctx, owner, id)
	if err != nil {
		return "", nil, err
	}
	if key, err = v.open(ctx, sealed, keyID, kindDelegation, owner, domain, id); err != nil {
		return "", nil, err
	}
	if err := v.rows.DeleteDelegation(ctx, owner, id); err != nil {
		return "", nil, err
	}
	return domain, key, nil
}

// resealBatch is how many rows Rotate lists at a time.
const resealBatch = 100

// Rotate seals again, with the primary key, every credential that another key
// has sealed, and says how many that were. What cannot be opened is left as it
// is, and told of in the error after everything else is done. Delegations are
// left to their end.
func (v *Vault) Rotate(ctx context.Context) (resealed int, err error) {
	_, keyID, err := v.primary(ctx, "seal again", "credentials")
	if err != nil {
		return 0, err
	}
	var failed []error
	tried := map[[2]string]bool{}
	for {
		// Those that stay what they are would be listed again.
		stale, err := v.rows.CredentialsNotOf(ctx, keyID, resealBatch+len(failed))
		if err != nil {
			return resealed, err
		}
		progress := false
		for _, a := range stale {
			row := [2]string{a.Owner, a.Domain}
			if tried[row] {
				continue
			}
			tried[row], progress = true, true
			switch err := v.reseal(ctx, a.Owner, a.Domain); {
			case err == nil:
				resealed++
			case ctx.Err() != nil:
				return resealed, err
			case !fault.Is(err, fault.NotFound): // deleted, or expired meanwhile
				failed = append(failed, err)
			}
		}
		if !progress {
			return resealed, errors.Join(failed...)
		}
	}
}

func (v *Vault) reseal(ctx context.Context, owner, domain string) error {
	_, was, keyID, err := v.rows.Credential(ctx, owner, domain)
	if err != nil {
		return err
	}
	pem, err := v.open(ctx, was, keyID, kindCredential, owner, domain)
	if err != nil {
		return err
	}
	sealed, keyID, err := v.seal(ctx, "seal again", pem, kindCredential, owner, domain)
	if err != nil {
		return err
	}
	return v.rows.ResealCredential(ctx, owner, domain, was, sealed, keyID)
}

func (v *Vault) seal(ctx context.Context, op string, secret []byte, k kind, names ...string) (sealed []byte, keyID string, err error) {
	what := names[len(names)-1]
	h, keyID, err := v.primary(ctx, op, what)
	if err != nil {
		return nil, "", err
	}
	a, err := aead.New(h)
	if err == nil {
		sealed, err = a.Encrypt(secret, associated(k, names...))
	}
	return sealed, keyID, fault.Wrap(fault.Internal, op, what, err)
}

func (v *Vault) primary(ctx context.Context, op, what string) (*keyset.Handle, string, error) {
	h, err := v.keyset(ctx, op, what)
	if err != nil {
		return nil, "", err
	}
	p, err := h.Primary()
	if err != nil {
		return nil, "", fault.Wrap(fault.Transient, op, what, err)
	}
	return h, keyName(p.KeyID()), nil
}

func (v *Vault) open(ctx context.Context, sealed []byte, keyID string, k kind, names ...string) ([]byte, error) {
	const op = "open credential for"
	what := names[1]
	h, err := v.keyset(ctx, op, what)
	if err != nil {
		return nil, err
	}
	if !has(h, keyID) {
		return nil, &fault.Error{
			Kind: fault.Transient, Op: op, Path: what,
			Err:  fmt.Errorf("key %s has sealed it, which this host's keyset does not have", keyID),
			Hint: "give every host the newest keyset",
		}
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, op, what, err)
	}
	secret, err := a.Decrypt(sealed, associated(k, names...))
	if err != nil { // Tink says no more than that it failed
		return nil, &fault.Error{
			Kind: fault.Credential, Op: op, Path: what,
			Err:  errors.New("the sealed credential does not open with its key: it was damaged, or exchanged for another"),
			Hint: "activate the endpoint again",
		}
	}
	return secret, nil
}

// keyset makes every want of keys a reason to wait, and not to fail: they are
// out of reach, and the credentials are still there.
func (v *Vault) keyset(ctx context.Context, op, what string) (*keyset.Handle, error) {
	h, err := v.keys.Keyset(ctx)
	switch {
	case err == nil:
		return h, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, fault.Wrap(fault.Canceled, op, what, err)
	}
	return nil, fault.Wrap(fault.Transient, op, what, err)
}

func has(h *keyset.Handle, keyID string) bool {
	for i := range h.Len() {
		if e, err := h.Entry(i); err == nil && keyName(e.KeyID()) == keyID {
			return true
		}
	}
	return false
}

// keyName is how Tink's own tools write the id of a key.
func keyName(id uint32) string { return fmt.Sprint(id) }

// associated binds a seal to what is sealed. Each name has its length before
// it: ("a", "bc") and ("ab", "c") are not the same.
func associated(k kind, names ...string) []byte {
	var data []byte
	for _, s := range append([]string{"gridferry", string(k)}, names...) {
		data = binary.AppendUvarint(data, uint64(len(s)))
		data = append(data, s...)
	}
	return data
}
