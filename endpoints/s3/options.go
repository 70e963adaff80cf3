package s3

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// The options that a record of this kind may have.
const (
	optionRegion        = "region"         // "eu-central-1"; default: the identity's, else us-east-1
	optionPathStyle     = "path_style"     // "on": https://HOST/BUCKET/key, "off": https://BUCKET.HOST/key; default: on where the record names a server
	optionAnonymous     = "anonymous"      // "on": requests are not signed, for public buckets
	optionRequesterPays = "requester_pays" // "on": who reads is charged for it
	optionEncryption    = "encryption"     // at rest: "AES256", "aws:kms" or "aws:kms:dsse"
	optionKMSKey        = "kms_key"        // with aws:kms: id or ARN of the key; default: the account's own for S3
	optionStorageClass  = "storage_class"  // of what is written: "STANDARD_IA", ...
	optionTimes         = "times"          // "on" (default): modification times are kept in metadata; "off": they are when the store got the object
	optionRestoreTier   = "restore_tier"   // of archived files that are asked for: "standard" (default), "bulk" or "expedited"; "off": none is, and to read one fails
	optionRestoreDays   = "restore_days"   // how long a restored copy stays, 1 to 365; default 7
	optionChecksums     = "checksums"      // "on" (default): CRC-32C goes with what is written; "off" for stores that know nothing of it
	optionEmptyFolders  = "empty_folders"  // "on" (default): an empty object "a/" keeps an empty folder; "off" for stores that take it for a file
)

// options is a record, taken apart.
type options struct {
	url       string // of the server; empty is Amazon's
	region    string
	pathStyle bool
	anonymous bool
	payer     types.RequestPayer
	sse       types.ServerSideEncryption
	kmsKey    *string
	class     types.StorageClass
	times     bool
	checksums bool
	emptyDirs bool

	tier        types.Tier // restoreOff: nothing is restored
	restoreDays int32
	root        string // "" is all buckets, "/BUCKET" or "/BUCKET/prefix"
}

// Check says what is wrong with a record, as Invalid, without contacting
// anybody.
func Check(rec endpoints.Record) error {
	_, err := parse(rec)
	return err
}

// Anonymous says that the record wants no credentials.
func Anonymous(rec endpoints.Record) bool { return rec.Options[optionAnonymous] == "on" }

func parse(rec endpoints.Record) (options, error) {
	o := options{times: true, checksums: true, emptyDirs: true, tier: types.TierStandard, restoreDays: 7, root: strings.TrimSuffix(rec.Root, "/")}
	bad := func(what, format string, args ...any) (options, error) {
		return o, fault.New(fault.Invalid, "use", nameOf(rec)+" "+what, fmt.Sprintf(format, args...))
	}
	if rec.Root != "" {
		if err := endpoints.CheckPath("use", rec.Root); err != nil {
			return o, err
		}
	}
	scheme := rec.Scheme
	if scheme == "" || scheme == Kind {
		scheme = "https"
	}
	switch {
	case scheme != "https" && scheme != "http":
		return bad("scheme", "%q is not https or http", rec.Scheme)
	case rec.User != "":
		return bad("user", "S3 has no login names: name a credential")
	case len(rec.Servers) > 1:
		return bad("servers", "one address stands for a whole store")
	case len(rec.Servers) == 0 && scheme == "http":
		return bad("scheme", "Amazon's own is reached by https")
	case len(rec.Servers) == 1:
		u, err := url.Parse(scheme + "://" + rec.Servers[0])
		if err != nil || u.Host != rec.Servers[0] || u.Hostname() == "" {
			return bad("servers", "%q is not HOST or HOST:PORT", rec.Servers[0])
		}
		o.url, o.pathStyle = u.String(), true
	}
	for _, key := range slices.Sorted(maps.Keys(rec.Options)) {
		if err := o.set(key, rec.Options[key]); err != nil {
			return bad("options."+key, "%s", err)
		}
	}
	if o.kmsKey != nil && !strings.HasPrefix(string(o.sse), "aws:kms") {
		return bad("options."+optionKMSKey, "a key wants %s: aws:kms", optionEncryption)
	}
	return o, nil
}

func (o *options) set(key, value string) error {
	var err error
	onOff := func(b *bool) {
		if *b = value == "on"; value != "on" && value != "off" {
			err = fmt.Errorf("%q is neither on nor off", value)
		}
	}
	switch key {
	case optionRegion:
		o.region = value
	case optionPathStyle:
		onOff(&o.pathStyle)
	case optionAnonymous:
		onOff(&o.anonymous)
	case optionTimes:
		onOff(&o.times)
	case optionChecksums:
		onOff(&o.checksums)
	case optionEmptyFolders:
		onOff(&o.emptyDirs)
	case optionRequesterPays:
		var pays bool
		if onOff(&pays); pays {
			o.payer = types.RequestPayerRequester
		}
	case optionEncryption:
		if o.sse = types.ServerSideEncryption(value); !slices.Contains(o.sse.Values(), o.sse) {
			err = fmt.Errorf("%q is not one of %v", value, o.sse.Values())
		}
	case optionKMSKey:
		o.kmsKey = &value
	case optionStorageClass:
		// Other stores have classes of their own names, so any will do.
		o.class = types.StorageClass(value)
	case optionRestoreTier:
		err = o.setTier(value)
	case optionRestoreDays:
		var n int
		if n, err = strconv.Atoi(value); err != nil || n < 1 || n > 365 {
			err = fmt.Errorf("%q is not a number of days from 1 to 365", value)
		}
		o.restoreDays = int32(n)
	default:
		err = fmt.Errorf("is not an option: there are %s", strings.Join([]string{
			optionRegion, optionPathStyle, optionAnonymous, optionRequesterPays, optionEncryption, optionKMSKey,
			optionStorageClass, optionTimes, optionChecksums, optionEmptyFolders, optionRestoreTier, optionRestoreDays,
		}, ", "))
	}
	return err
}

func (o *options) setTier(value string) error {
	for _, t := range append(o.tier.Values(), restoreOff) {
		if strings.EqualFold(value, string(t)) {
			o.tier = t
			return nil
		}
	}
	return fmt.Errorf("%q is not standard, bulk, expedited or off", value)
}

// restores says that archived files are asked for.
func (o *options) restores() bool { return o.tier != restoreOff }
