package vault_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/service/vault"
)

func TestKeyFile(t *testing.T) {
	keys, path := newFile(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, "make it again", keys.Create(t.Context()), fault.Exists)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("it was written over, %v", err)
	}

	// Of many that add a key at once, each key stays.
	var wg sync.WaitGroup
	added := make([]string, 5)
	for i := range added {
		wg.Go(func() {
			var err error
			if added[i], err = vault.NewKeyFile(path, nil).AddKey(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range added {
		if !bytes.Contains(text, []byte(`"keyId":`+id)) {
			t.Errorf("key %s was lost", id)
		}
	}
	if rest, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".keyset-*")); err != nil || len(rest) != 0 {
		t.Errorf("left behind: %v, %v", rest, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("after a rotation the file is %v, %v", info.Mode(), err)
	}

	for what, content := range map[string]string{
		"no keyset":         "x",
		"an empty keyset":   "{}",
		"too much":          strings.Repeat(" ", 2<<20),
		"a wrapped keyset":  `{"encryptedKeyset":"AAAA"}`,
		"keys that do else": `{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacKey","value":"EgQIAxAQGiBPaHJC1YJvJ3k4oc1xbYUmMVGcNEG8dZbOqsYMRAdyOA==","keyMaterialType":"SYMMETRIC"},"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keys.Keyset(t.Context())
		wantKind(t, what, err, fault.Invalid)
		if err != nil && strings.Contains(err.Error(), "T2hyQt") {
			t.Errorf("%s: the error quotes the key: %v", what, err)
		}
	}
}

func TestKeyEnv(t *testing.T) {
	_, path := newFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := vault.New(newRows(), vault.NewKeyEnv("KEYS", string(text), nil))
	for range 2 {
		put(t, v, ann("d"), secret)
	}
	if _, pem, err := v.Open(t.Context(), "ann", "d"); err != nil || string(pem) != secret {
		t.Errorf("opened %q, %v", pem, err)
	}
	_, err = vault.NewKeyEnv("KEYS", "", nil).Keyset(t.Context())
	wantKind(t, "without a value", err, fault.NotFound)
	_, err = vault.NewKeyEnv("KEYS", "planted", nil).Keyset(t.Context())
	wantKind(t, "with another value", err, fault.Invalid)
	if strings.Contains(err.Error(), "planted") {
		t.Errorf("the error quotes the value: %v", err)
	}
}

// kmsDouble answers as AWS KMS does (its API reference, Encrypt and Decrypt),
// with a cipher that hides nothing.
type kmsDouble struct {
	down  atomic.Bool
	calls atomic.Int64
}

const kmsARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"

func (d *kmsDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.calls.Add(1)
	var in struct {
		KeyID      string            `json:"KeyId"`
		Plaintext  []byte            `json:"Plaintext"`
		Ciphertext []byte            `json:"CiphertextBlob"`
		Context    map[string]string `json:"EncryptionContext"`
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fail := func(status int, kind string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": "no"})
	}
	switch err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in); {
	case err != nil || len(in.Plaintext) > 4096:
		fail(http.StatusBadRequest, "ValidationException")
		return
	case d.down.Load() || in.KeyID != kmsARN || !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/kms/"):
		fail(http.StatusBadRequest, "AccessDeniedException") // which the SDK does not try again
		return
	}
	prefix, err := json.Marshal(in.Context)
	if err != nil {
		fail(http.StatusInternalServerError, "KMSInternalException")
		return
	}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": append(prefix, in.Plaintext...), "KeyId": in.KeyID})
	case "TrentService.Decrypt":
		plain, ok := bytes.CutPrefix(in.Ciphertext, prefix)
		if !ok {
			fail(http.StatusBadRequest, "InvalidCiphertextException")
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "KeyId": in.KeyID})
	default:
		fail(http.StatusBadRequest, "UnknownOperationException")
	}
}

// A keyset that KMS wraps is unwrapped once, and an outage of KMS is waited
// for.
func TestKMS(t *testing.T) {
	double := &kmsDouble{}
	server := httptest.NewServer(double)
	defer server.Close()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_SESSION_TOKEN": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_PROFILE": "",
		"AWS_REGION": "us-east-1", // the key's own region counts
	} {
		t.Setenv(name, value)
	}
	wrapper := func() vault.Wrapper {
		t.Helper()
		w, err := vault.NewKMS(kmsARN)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	path := filepath.Join(t.TempDir(), "keyset")
	keys := vault.NewKeyFile(path, wrapper())
	wantKind(t, "make keyset", keys.Create(t.Context()), "")
	for range 40 { // more than KMS would encrypt at once
		if _, err := keys.AddKey(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte("encryptedKeyset")) || bytes.Contains(text, []byte(`"keyData"`)) {
		t.Errorf("the file is not wrapped: %s, %v", text, err)
	}
	_, err = vault.NewKeyFile(path, nil).Keyset(t.Context())
	wantKind(t, "without KMS", err, fault.Invalid)

	r := newRows()
	v := vault.New(r, vault.NewKeyFile(path, wrapper()))
	double.down.Store(true)
	ctx := t.Context()
	wantKind(t, "put in an outage", v.Put(ctx, ann("d"), []byte(secret)), fault.Transient)
	double.down.Store(false)
	put(t, v, ann("d"), secret)
	double.down.Store(true)
	asked := double.calls.Load()
	if _, pem, err := v.Open(ctx, "ann", "d"); err != nil || string(pem) != secret {
		t.Errorf("an outage after the keyset was unwrapped: %q, %v", pem, err)
	}
	if now := double.calls.Load(); now != asked {
		t.Errorf("KMS was asked %d times for what was unwrapped", now-asked)
	}
	restarted := vault.New(r, vault.NewKeyEnv("KEYS", string(text), wrapper()))
	_, _, err = restarted.Open(ctx, "ann", "d")
	wantKind(t, "a restart in an outage", err, fault.Transient)
	double.down.Store(false)
	if _, pem, err := restarted.Open(ctx, "ann", "d"); err != nil || string(pem) != secret {
		t.Errorf("after the outage: %q, %v", pem, err)
	}

	other := bytes.Replace(text, []byte(`"encryptedKeyset":"AAAA`), []byte(`"encryptedKeyset":"AAAB`), 1)
	if bytes.Equal(other, text) {
		t.Fatalf("not what Tink writes: %s", text)
	}
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "a keyset that KMS does not decrypt", v.Put(ctx, ann("d"), []byte(secret)), fault.Transient)

	unreachable, err := vault.NewKMS("arn:aws:kms:eu-central-1:111122223333:key/other")
	if err != nil {
		t.Fatal(err)
	}
	asked = double.calls.Load()
	wantKind(t, "another key", vault.NewKeyFile(path+".other", unreachable).Create(ctx), fault.Transient)
	if n := double.calls.Load() - asked; n != 1 {
		t.Errorf("what is refused was asked for %d times", n)
	}
}
