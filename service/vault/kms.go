package vault

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/tink-crypto/tink-go/v2/aead"
)

// kmsTimeout bounds one request with all its repetitions.
const kmsTimeout = 15 * time.Second

// NewKMS returns a Wrapper by a symmetric key of AWS KMS, which is named by its
// ARN, id or alias. Who may use it, and where the service is, comes from AWS's
// usual places: environment, shared configuration, or the machine's role.
//
// Each keyset has a data key of its own, and KMS encrypts that (an envelope):
// KMS takes 4,096 bytes at most, and a keyset grows with each rotation.
func NewKMS(key string) (Wrapper, error) {
	return aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), &kmsKey{id: key})
}

// kmsKey is a key that never leaves KMS.
type kmsKey struct {
	id string

	mu     sync.Mutex
	client *kms.Client
}

// connect reads AWS's configuration at the first use and not before: it may
// not be there yet, and asking for it can take a while.
func (k *kmsKey) connect(ctx context.Context) (*kms.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil {
		return k.client, nil
	}
	var opts []func(*config.LoadOptions) error
	if name, err := arn.Parse(k.id); err == nil {
		opts = append(opts, config.WithRegion(name.Region)) // a key is in one region only
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("configure AWS: %w", err)
	}
	k.client = kms.NewFromConfig(cfg)
	return k.client, nil
}

// encryptionContext is shown in the service's audit log, and must be the same
// to decrypt.
func encryptionContext(associatedData []byte) map[string]string {
	c := map[string]string{"gridferry": "vault"}
	if len(associatedData) > 0 {
		c["associated"] = base64.StdEncoding.EncodeToString(associatedData)
	}
	return c
}

// EncryptWithContext implements tink.AEADWithContext.
func (k *kmsKey) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
	defer cancel()
	client, err := k.connect(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.Encrypt(ctx, &kms.EncryptInput{KeyId: aws.String(k.id), Plaintext: plaintext, EncryptionContext: encryptionContext(associatedData)})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// DecryptWithContext implements tink.AEADWithContext.
func (k *kmsKey) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
	defer cancel()
	client, err := k.connect(ctx)
	if err != nil {
		return nil, err
	}
	// The key is named: else KMS would use whichever key made the ciphertext.
	out, err := client.Decrypt(ctx, &kms.DecryptInput{KeyId: aws.String(k.id), CiphertextBlob: ciphertext, EncryptionContext: encryptionContext(associatedData)})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}
