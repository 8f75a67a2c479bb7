package agent_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
)

// decryptionKey makes a device's key pair.
func decryptionKey(t *testing.T) (private, public cipher.Key) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err == nil {
		private, err = cipher.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err == nil {
		public, err = private.Public()
	}
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// TestEncryptedImage: draft-ietf-suit-firmware-encryption. What is fetched is encrypted, what the slot
// holds is not; a device without the key disables nothing.
func TestEncryptedImage(t *testing.T) {
	for name, alg := range map[string]int64{"gcm": manifest.A128GCM, "ctr": manifest.A128CTR} {
		for _, mine := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				bubble(t, 60, func(r *rig) {
					private, public := decryptionKey(t)
					other, _ := decryptionKey(t)
					r.options = func(o *agent.Options) {
						key := private
						if !mine {
							key = other
						}
						keys, err := cipher.NewKeys(key)
						if err != nil {
							t.Fatal(err)
						}
						o.Decrypt = keys
					}
					var sealed bytes.Buffer
					info, err := cipher.Seal(&sealed, bytes.NewReader(image(2)), alg, []cipher.Key{public}, nil)
					if err != nil {
						t.Fatal(err)
					}
					env := r.release(2, 2, func(m *author.Release) {
						i := &m.Components[0].Images[0]
						i.Encryption, i.PayloadSize = info, int64(sealed.Len())
					})
					r.images["https://images.example.com/2.img"] = sealed.Bytes()
					r.play() // the environment is in order
					before := r.w.Ops()
					r.play(env)
					if mine {
						r.is("B", 2)
						return
					}
					r.is("A", 1, "decryption-key-missing")
					for _, op := range r.w.Trace()[before:] {
						if strings.HasPrefix(op.What, "/dev/b") || strings.HasPrefix(op.What, "/env/") {
							t.Errorf("%v happened for an image that cannot be decrypted", op)
						}
					}
				})
			})
		}
	}
}
