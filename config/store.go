package config

import (
	"net/url"
	"os"
)

// Store is the database of tasks, leases, identities and sealed credentials: a
// file that one host uses, or PostgreSQL for any number.
type Store struct {
	Path         string `yaml:"path"`          // default: store.db in the data directory
	URL          string `yaml:"url"`           // "postgres://USER@HOST/DATABASE"; empty: the file at Path
	PasswordFile string `yaml:"password_file"` // its first line; else from libpq's environment (PGPASSWORD, PGPASSFILE)
}

// PostgreSQL says whether the store is there and not in a file.
func (s Store) PostgreSQL() bool { return s.URL != "" }

// Vault says where the keys are that seal credentials: Tink's keyset, in the
// clear or wrapped by a key of AWS KMS.
type Vault struct {
	KeysetFile string `yaml:"keyset_file"` // default: vault.keyset in the data directory
	KeysetEnv  string `yaml:"keyset_env"`  // or the name of an environment variable that holds it
	KMSKey     string `yaml:"kms_key"`     // ARN, id or alias of the key that wraps either; empty: none
}

func (k *checker) store(s Store) {
	k.absolute("store.path", s.Path)
	k.secret("store.password_file", s.PasswordFile)
	if !s.PostgreSQL() {
		if s.PasswordFile != "" {
			k.complain("store.password_file", "say store.url as well, or leave it out", "a store in a file has no password")
		}
		return
	}
	if _, said := k.config.positions["store.path"]; said {
		k.complain("store.path", "leave path or url out", "the store is in one place")
	}
	const example = "write postgres://USER@HOST/DATABASE"
	u, err := url.Parse(s.URL)
	switch {
	case err != nil: // whose text has the whole of it, and there may be a password in it
		k.complain("store.url", example, "it is not a URL")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		k.complain("store.url", example, "%q is not a kind of store", u.Scheme)
	case u.Query().Has("password") || hasPassword(u):
		k.complain("store.url", "write it into a file of mode 0600, and name that in store.password_file", "the configuration is no place for a password")
	case len(u.Path) < 2 && !u.Query().Has("dbname"):
		k.complain("store.url", example, "it names no database")
	}
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

func (k *checker) vault(v Vault) {
	_, said := k.config.positions["vault.keyset_file"]
	if v.KeysetEnv != "" && said {
		k.complain("vault", "leave keyset_file or keyset_env out", "the keyset is in one place")
	}
	if v.KeysetFile == "" {
		return
	}
	k.absolute("vault.keyset_file", v.KeysetFile) // it need not exist before the first start
	if fi, err := os.Stat(v.KeysetFile); err == nil && fi.Mode().Perm()&0o077 != 0 {
		k.complain("vault.keyset_file", "chmod 600 "+v.KeysetFile, "others may read the keys in %s", v.KeysetFile)
	}
}
