package config

// Trust loosens what the directory of authorities must hold. Both are for
// sites that know what they give up: see gsi.TrustOptions.
type Trust struct {
	AllowExpiredCRL           bool `yaml:"allow_expired_crl"`            // a revocation list goes on counting after its end
	AllowMissingSigningPolicy bool `yaml:"allow_missing_signing_policy"` // an authority without a signing policy may sign any name
}
