package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// ErrPassphrase is in the chain of errors of keys that a pass phrase guards.
var ErrPassphrase = errors.New("the key has a pass phrase, which nobody is there to type")

// certificateSuffix is of the files in which ssh looks for a key's certificate.
const certificateSuffix = "-cert.pub"

// LoadKey reads a private key as ssh-keygen makes them, and its certificate
// where certificate names one, or there is one beside the key.
func LoadKey(file, certificate string) ([]ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	var guarded *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &guarded):
		return nil, fmt.Errorf("%s: %w", file, ErrPassphrase)
	case err != nil:
		// The parser's words may be of the key.
		return nil, fmt.Errorf("%s holds no private key that can be read", file)
	}
	named := certificate != ""
	if !named {
		certificate = file + certificateSuffix
	}
	text, err = os.ReadFile(certificate)
	if errors.Is(err, os.ErrNotExist) && !named {
		return []ssh.Signer{key}, nil
	}
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	cert, ok := public.(*ssh.Certificate)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s holds no certificate", certificate)
	}
	certified, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s is no certificate of the key in %s", certificate, file)
	}
	// A server that does not know the authority may know the key.
	return []ssh.Signer{certified, key}, nil
}

// agentTime is how long an agent may take for an answer: it may ask somebody.
const agentTime = 30 * time.Second

// AgentKeys returns the keys of the ssh-agent behind a socket. done ends the
// conversation, after which the keys sign no more.
func AgentKeys(ctx context.Context, socket string) (keys []ssh.Signer, done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, agentTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the ssh-agent: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(agentTime)); err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	keys, err = agent.NewClient(conn).Signers()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("ask the ssh-agent for its keys: %w", err), conn.Close())
	}
	return keys, func() { _ = conn.Close() }, nil // nothing is under way
}
