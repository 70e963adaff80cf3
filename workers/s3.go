package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/gridferry/gridferry/config"
	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/endpoints/s3"
	"github.com/gridferry/gridferry/fault"
)

// bucket is the endpoint of s3://BUCKET: that bucket of the store that the
// configuration names "s3", else of Amazon's.
func (o *Opener) bucket(name string) (endpoints.Record, error) {
	rec := o.config.Load().Endpoints[s3.Kind]
	switch {
	case rec.Kind == "":
		rec = endpoints.Record{Kind: s3.Kind, Domain: s3.Kind}
	case rec.Kind != s3.Kind || rec.Root != "" && rec.Root != "/":
		return rec, &fault.Error{Kind: fault.Invalid, Op: "find endpoint", Path: "s3://" + name,
			Err: errors.New(`the endpoint "s3" of the configuration is not a whole store`), Hint: "name the endpoint that the bucket is in, as NAME:/path"}
	default:
		rec.Domain = rec.SecurityDomain()
	}
	rec.Name, rec.Root = "", "/"+name
	return rec, s3.Check(rec)
}

func (o *Opener) openS3(ctx context.Context, rec endpoints.Record, owner, credential string) (endpoints.Storage, error) {
	id := s3.Identity{Owner: owner}
	if !s3.Anonymous(rec) {
		var err error
		if id, err = o.accessKeys(ctx, rec, owner, credential); err != nil {
			return nil, err
		}
	}
	s, err := o.s3.Open(ctx, rec, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// accessKeys finds what to sign requests with. Where nothing is named it is the
// worker's own, if that is the owner's to use: of its environment, its files,
// or the role of its host.
func (o *Opener) accessKeys(ctx context.Context, rec endpoints.Record, owner, credential string) (s3.Identity, error) {
	id := s3.Identity{Owner: owner}
	if credential == "" {
		credential = rec.Credential
	}
	if credential == "" {
		credential = config.CredentialEnv
	}
	s, err := o.secret(credential, owner)
	if err != nil {
		return id, err
	}
	refused := func(err error) (s3.Identity, error) {
		return id, &fault.Error{Kind: fault.Credential, Op: opUse, Path: s.id,
			Err:  &endpoints.CredentialError{Domain: rec.SecurityDomain(), Configured: true, Err: err},
			Hint: "give the worker access keys or a role, or name a credential with aws_file"}
	}
	c, err := o.keys.load(ctx, s)
	if err != nil {
		return refused(err)
	}
	keys, err := c.Credentials.Retrieve(ctx)
	if err != nil {
		// The SDK's words tell of each place where it looked.
		return refused(errors.New("it has no access keys"))
	}
	sum := sha256.Sum256([]byte(s.id + "\x00" + keys.AccessKeyID + "\x00" + keys.SecretAccessKey))
	id.Credentials, id.Region, id.Fingerprint = c.Credentials, c.Region, hex.EncodeToString(sum[:8])
	return id, nil
}

// accessKeys remembers, for a minute, what ids of credentials stand for: asking
// a host for its role takes a request.
type accessKeys struct {
	mu   sync.Mutex
	seen map[string]loadedKeys
}

type loadedKeys struct {
	aws.Config
	at time.Time
}

const keysFor = time.Minute

func (k *accessKeys) load(ctx context.Context, s secret) (aws.Config, error) {
	name := s.id + "\x00" + s.from.AWSFile + "\x00" + s.from.AWSProfile
	k.mu.Lock()
	known, ok := k.seen[name]
	k.mu.Unlock()
	if ok && time.Since(known.at) < keysFor {
		return known.Config, nil
	}
	var opts []func(*awsconfig.LoadOptions) error
	if s.id != config.CredentialEnv {
		if s.from.AWSFile == "" {
			return aws.Config{}, errors.New("it is not for S3: that wants aws_file")
		}
		profile := s.from.AWSProfile
		if profile == "" {
			profile = "default"
		}
		files := []string{s.from.AWSFile}
		opts = append(opts, awsconfig.WithSharedCredentialsFiles(files), awsconfig.WithSharedConfigFiles(files), awsconfig.WithSharedConfigProfile(profile))
	}
	c, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return c, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil {
		k.seen = map[string]loadedKeys{}
	}
	k.seen[name] = loadedKeys{c, time.Now()}
	return c, nil
}
