package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// answer is what a store said no with: its code and words, and the number
// under which its operators find the request.
type answer struct {
	status        int
	code, message string
	request       string
}

func (a *answer) Error() string {
	var b strings.Builder
	b.WriteString(a.code)
	if a.message != "" && a.message != a.code {
		b.WriteString(": " + a.message)
	}
	if a.request != "" {
		fmt.Fprintf(&b, " (request %s)", a.request)
	}
	return b.String()
}

// answerOf takes the SDK's error apart; nil when the store did not answer.
// Whatever else the SDK writes into it, URLs and headers, stays out.
func answerOf(err error) *answer {
	var a answer
	var re *awshttp.ResponseError
	if errors.As(err, &re) {
		a.status, a.request = re.HTTPStatusCode(), re.ServiceRequestID()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		a.code, a.message = api.ErrorCode(), api.ErrorMessage()
	}
	switch {
	case a.status == 0 && a.code == "":
		return nil
	case a.code == "" || a.code == "UnknownError":
		a.code, a.message = fmt.Sprintf("HTTP %d", a.status), http.StatusText(a.status)
	}
	return &a
}

// kinds are the codes of the S3 protocol (API reference, "Error responses") and
// those that other stores have added.
func kinds() map[string]struct {
	kind fault.Kind
	hint string
} {
	type row = struct {
		kind fault.Kind
		hint string
	}
	key := row{fault.Credential, "check the access key and its secret that the endpoint's credential names"}
	ended := row{fault.Credential, "renew the temporary credentials"}
	slow := row{fault.Busy, ""}
	passing := row{fault.Transient, ""}
	full := row{fault.NoSpace, "free space in the bucket, or ask for a larger quota"}
	damaged := row{fault.Integrity, ""}
	return map[string]row{
		"NoSuchBucket":                       {fault.NotFound, "check the name of the bucket, and the region or server of the endpoint"},
		"NoSuchKey":                          {fault.NotFound, ""},
		"NotFound":                           {fault.NotFound, ""},
		"NoSuchVersion":                      {fault.NotFound, ""},
		"NoSuchUpload":                       {fault.Integrity, "somebody else has completed or aborted the upload meanwhile"},
		"InvalidBucketName":                  {fault.NotFound, "no bucket can have this name"},
		"AccessDenied":                       {fault.Permission, "ask the bucket's owner for the permission, or name another credential"},
		"AllAccessDisabled":                  {fault.Permission, ""},
		"AccountProblem":                     {fault.Permission, ""},
		"InvalidAccessKeyId":                 key,
		"SignatureDoesNotMatch":              key,
		"InvalidSecurity":                    key,
		"XAdminUserNotFound":                 key, // versitygw
		"MissingSecurityHeader":              key,
		"NotSignedUp":                        key,
		"AuthorizationHeaderMalformed":       {fault.Invalid, "check options.region of the endpoint"},
		"PermanentRedirect":                  {fault.Invalid, "the bucket is in another region: set options.region of the endpoint"},
		"TemporaryRedirect":                  passing,
		"IllegalLocationConstraintException": {fault.Invalid, "the bucket is in another region: set options.region of the endpoint"},
		"ExpiredToken":                       ended,
		"ExpiredTokenException":              ended,
		"InvalidToken":                       ended,
		"TokenRefreshRequired":               ended,
		"RequestTimeTooSkewed":               {fault.Credential, "this host's clock and the store's differ: set the clock"},
		"RequestExpired":                     {fault.Credential, "this host's clock and the store's differ: set the clock"},
		"SlowDown":                           slow,
		"SlowDownRead":                       slow,
		"SlowDownWrite":                      slow,
		"Throttling":                         slow,
		"ThrottlingException":                slow,
		"TooManyRequests":                    slow,
		"RequestLimitExceeded":               slow,
		"BandwidthLimitExceeded":             slow,
		"ServiceUnavailable":                 slow,
		"OperationAborted":                   slow, // a conflicting one is under way
		"ConditionalRequestConflict":         slow,
		"InternalError":                      passing,
		"InternalServerError":                passing,
		"RequestTimeout":                     passing,
		"IncompleteBody":                     passing,
		"QuotaExceeded":                      full,
		"InsufficientStorage":                full,
		"InsufficientCapacity":               full,
		"XMinioStorageFull":                  full,
		"NoSpaceLeftOnDevice":                full,
		"BadDigest":                          damaged,
		"InvalidDigest":                      damaged,
		"XAmzContentSHA256Mismatch":          damaged,
		"XAmzContentChecksumMismatch":        damaged,
		"PreconditionFailed":                 {fault.Integrity, "somebody else has replaced it meanwhile"},
		"InvalidPart":                        {fault.Integrity, "a part was replaced or lost while the upload was completed"},
		"InvalidObjectState":                 {fault.Unsupported, "the file is archived: restore it to a class that can be read, then submit again"},
		"EntityTooLarge":                     {fault.Unsupported, "the store takes no object of this size"},
		"KeyTooLongError":                    {fault.Unsupported, "shorten the name"},
		"NotImplemented":                     {fault.Unsupported, "the store cannot do this"},
		"MethodNotAllowed":                   {fault.Unsupported, "the store does not let this be done to it"},
		"InvalidStorageClass":                {fault.Invalid, "check options.storage_class of the endpoint"},
		"InvalidEncryptionAlgorithmError":    {fault.Invalid, "check options.encryption of the endpoint"},
		"KMS.NotFoundException":              {fault.Permission, "check options.kms_key of the endpoint"},
		"KMS.DisabledException":              {fault.Permission, "check options.kms_key of the endpoint"},
		// A key below an object, in stores that keep files (versitygw, MinIO).
		"ObjectParentIsFile":        {fault.Exists, ""},
		"XMinioParentIsObject":      {fault.Exists, ""},
		"ExistingObjectIsDirectory": {fault.Exists, ""},
	}
}

// classify is Explain, and says which credential a Credential error is about.
func (s *Storage) classify(ctx context.Context, op, p string, err error) error {
	if err == nil {
		return nil
	}
	if s.life.Err() != nil && ctx.Err() == nil {
		return fault.Wrap(fault.Transient, op, p, errClosed)
	}
	archived := s.opts.restores() && hasCode(err, "InvalidObjectState")
	err = Explain(ctx, op, p, err)
	if e, ok := errors.AsType[*fault.Error](err); ok && archived {
		return &fault.Error{Kind: e.Kind, Op: op, Path: p, Err: fmt.Errorf("%w: %w", endpoints.ErrOffline, e.Err)}
	}
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Kind == fault.Credential && !errors.As(err, new(*endpoints.CredentialError)) {
		about := *e
		about.Err = &endpoints.CredentialError{Domain: s.domain, Fingerprint: s.fingerprint, Configured: true, Err: e.Err}
		return &about
	}
	return err
}

// Explain is for who uses the SDK's client with the driver's connections: it
// gives its errors their kind, and the store's own words.
func Explain(ctx context.Context, op, p string, err error) error {
	if err == nil || errors.As(err, new(*fault.Error)) {
		return err
	}
	if cause := ctx.Err(); cause != nil {
		return fault.Wrap(fault.KindOf(cause), op, p, cause)
	}
	a := answerOf(err)
	if a == nil {
		return silent(op, p, err)
	}
	out := &fault.Error{Op: op, Path: p, Err: a}
	if k, ok := kinds()[a.code]; ok {
		out.Kind, out.Hint = k.kind, k.hint
	} else {
		out.Kind = kindOfStatus(a.status)
	}
	return out
}

// silent is of errors that are no answer: of the network, or of whoever gives
// the credentials.
func silent(op, p string, err error) error {
	var signing *v4.SigningError
	cause := err
	var oe *smithy.OperationError
	if errors.As(err, &oe) {
		cause = oe.Err
	}
	if text := cause.Error(); errors.As(err, &signing) || strings.Contains(text, "get identity") || strings.Contains(text, "failed to refresh cached credentials") {
		return &fault.Error{Kind: fault.Credential, Op: op, Path: p,
			Err:  errors.New("there are no usable credentials"),
			Hint: "name a credential for the endpoint that has an access key, or a role"}
	}
	return fault.Wrap(fault.Transient, op, p, cause)
}

func kindOfStatus(status int) fault.Kind {
	switch {
	case status == http.StatusNotFound:
		return fault.NotFound
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fault.Permission
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable, status == http.StatusConflict:
		return fault.Busy
	case status == http.StatusInsufficientStorage:
		return fault.NoSpace
	case status == http.StatusPreconditionFailed:
		return fault.Integrity
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect:
		return fault.Invalid
	case status >= 500, status == http.StatusRequestTimeout:
		return fault.Transient
	case status >= 400:
		return fault.Unsupported
	}
	return fault.Transient
}

// hasCode says that the store answered with one of these codes.
func hasCode(err error, codes ...string) bool {
	a := answerOf(err)
	if a == nil {
		return false
	}
	for _, c := range codes {
		if a.code == c {
			return true
		}
	}
	return false
}

// isGone says that the store has no such key.
func isGone(err error) bool {
	a := answerOf(err)
	return a != nil && a.status == http.StatusNotFound && (a.code == "NoSuchKey" || a.code == "NotFound" || a.code == "HTTP 404")
}
