package gsi

import (
	"fmt"
	"os"
	"path/filepath"
)

// SaveProxy writes the credential as one file of mode 0600, which LoadProxy and
// the Globus tools read. A file that was there is replaced, never half.
func (c *Credential) SaveProxy(path string) error {
	data, err := c.EncodePEM()
	if err != nil {
		return err
	}
	return replaceFile(path, data, 0o600)
}

// SavePair writes the chain (mode 0644) and the key (mode 0600) as two files,
// which LoadPair and the Globus tools read.
func (c *Credential) SavePair(certPath, keyPath string) error {
	data, err := c.EncodePEM()
	if err != nil {
		return err
	}
	if err := replaceFile(keyPath, pemBlocks(data, false), 0o600); err != nil {
		return err
	}
	return replaceFile(certPath, pemBlocks(data, true), 0o644)
}

// replaceFile goes through a new file, since writing into an old one would keep
// a mode that may be open to others.
func replaceFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".gsi-*")
	if err != nil {
		return fmt.Errorf("write credential: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to report
			err = fmt.Errorf("write credential: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
