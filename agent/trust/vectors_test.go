package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pkix "filippo.io/mldsa/x509"
	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// random is the test's randomness for signatures whose bytes do not matter.
type random struct{}

func (random) Read(p []byte) (int, error) { return rand.Read(p) }

func parsePKCS8(t testing.TB, b []byte) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(b)
	k, err := pkix.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(crypto.Signer)
}

// vectors is the directory of public vectors, beside the repository on some machines.
const vectors = "../../../shared/vectors"

type coseKey struct {
	Kty, Crv string
	X, Y     string
	XHex     string `json:"x_hex"`
	YHex     string `json:"y_hex"`
}

type coseVector struct {
	Title string
	Fail  bool
	Input struct {
		Plaintext string
		Sign0     *coseSign
		Sign      *struct {
			External string
			Signers  []coseSign
		}
		Failures map[string]any
	}
	Output struct{ Cbor string }
}

type coseSign struct {
	Key      coseKey
	External string
}

func (k coseKey) parse(t *testing.T) (trust.Key, bool) {
	t.Helper()
	num := func(b64, h string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(b64)
		if h != "" {
			b, err = hex.DecodeString(h)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var pub any
	x, y := num(k.X, k.XHex), num(k.Y, k.YHex)
	switch k.Crv {
	case "P-256", "P-384":
		curve := elliptic.P256()
		if k.Crv == "P-384" {
			curve = elliptic.P384()
		}
		p, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			t.Fatal(err)
		}
		pub = p
	case "Ed25519":
		pub = ed25519.PublicKey(x)
	default:
		return trust.Key{}, false
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.ParsePublic(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return key, true
}

// The COSE working group's signature vectors, as far as they lie within the profile. What lies
// outside must be refused, and is listed with its reason.
func TestCOSEWorkingGroup(t *testing.T) {
	outside := map[string]string{
		"sign1-tests/sign-pass-01.json":    "algorithm is not protected",
		"sign1-tests/sign-pass-03.json":    "untagged",
		"sign-tests/sign-pass-03.json":     "untagged",
		"ecdsa-examples/ecdsa-02.json":     "ES384 is no legacy form here",
		"ecdsa-examples/ecdsa-sig-02.json": "ES384 is no legacy form here",
		"ecdsa-examples/ecdsa-04.json":     "SHA-512 with P-256",
		"ecdsa-examples/ecdsa-sig-04.json": "SHA-512 with P-256",
	}
	dir := filepath.Join(vectors, "cose-wg")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("skipped: the shared vectors are not beside this repository")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors found", err)
	}
	checked := 0
	for _, f := range files {
		name := filepath.ToSlash(strings.TrimPrefix(f, dir+string(filepath.Separator)))
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v coseVector
		if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var signers []coseSign
		external := ""
		switch {
		case v.Input.Sign0 != nil:
			signers, external = []coseSign{*v.Input.Sign0}, v.Input.Sign0.External
		case v.Input.Sign != nil:
			signers, external = v.Input.Sign.Signers, v.Input.Sign.External
			if len(signers) > 0 && external == "" {
				external = signers[0].External
			}
		}
		msg, aad := unhex(t, v.Output.Cbor), unhex(t, external)
		t.Run(name, func(t *testing.T) {
			anchors := keys(t, true, "foreign-p256")
			known := false
			if len(signers) > 0 {
				if k, ok := signers[0].Key.parse(t); ok {
					known = true
					if anchors, err = trust.NewKeys([]trust.Key{k}, true); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := known && !v.Fail && outside[name] == ""
			var got error
			switch {
			case v.Input.Sign != nil && len(aad) == 0:
				_, got = anchors.Authenticate([]byte(v.Input.Plaintext), [][]byte{detach(t, msg)})
			case v.Input.Sign != nil:
				t.Skip("skipped: COSE_Sign with external data is not used by this profile")
			default:
				var p []byte
				p, _, got = anchors.Verify1(msg, aad, "")
				if got == nil && string(p) != v.Input.Plaintext {
					t.Errorf("payload %q, want %q", p, v.Input.Plaintext)
				}
			}
			if (got == nil) != want {
				t.Errorf("%s: accepted %v, want %v (%v)", v.Title, got == nil, want, got)
			}
			t.Logf("accepted %v (%v) %s", got == nil, got, outside[name])
			checked++
		})
	}
	t.Logf("%d vectors checked", checked)
}

// detach takes the payload out of a COSE_Sign; its signatures do not cover where the payload lies.
func detach(t *testing.T, msg []byte) []byte {
	t.Helper()
	var tag cbor.RawTag
	if err := cbor.Unmarshal(msg, &tag); err != nil {
		return msg
	}
	var parts []cbor.RawMessage
	if err := cbor.Unmarshal(tag.Content, &parts); err != nil || len(parts) != 4 {
		return msg
	}
	parts[2] = cbor.RawMessage{0xf6}
	return enc(t, cbor.Tag{Number: tag.Number, Content: parts})
}
