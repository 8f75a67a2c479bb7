package manifest_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/manifesttest"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

const testdata = "../../testdata/suit"

// The test device and what releases for it say.
var (
	vendor = manifest.VendorUUID("ratchet.example")
	class  = manifest.ClassUUID(vendor, "gateway-1")
	digA   = manifest.Sum([]byte("image A"))
	digB   = manifest.Sum([]byte("image B"))
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// device is a gateway-1 whose slot 1 is the target.
func device() manifest.Device { return manifesttest.Device() }

func signer(t testing.TB, name string) *trust.Signer { return manifesttest.Signer(t, name) }

// anchors are the release keys of the tests.
func anchors(t testing.TB) trust.Keys { return manifesttest.Anchors(t) }

// enc encodes deterministically with the library, so that the reader under test meets another
// author's encoder.
func enc(v any) []byte {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

type (
	seq  []any         // a command sequence
	pars map[int64]any // parameters, and other maps with integer keys
	list []any         // any array
	raw  []byte        // an item that is encoded already
)

func (r raw) MarshalCBOR() ([]byte, error) { return r, nil }

// nest wraps a sequence in a byte string.
func nest(c ...any) []byte { return enc(list(c)) }

func digest(d manifest.Digest) list    { return list{d.Alg, []byte(d.Sum)} }
func pdigest(d manifest.Digest) []byte { return enc(digest(d)) }

// craft is an envelope that the builder under test would not make.
type craft struct {
	tag        uint64 // 0 = 107
	components list   // nil = rootfs; with more, sequences need set-component-index
	shared     seq    // nil = vendor and class
	fetch      seq    // payload-fetch
	install    seq
	validate   seq
	manifest   pars        // further elements, or nil values to leave out
	common     pars        // the same for common
	severed    []int64     // of the sequences and text: leave out of the envelope
	severable  []int64     // move to the envelope
	outer      map[any]any // further elements of the envelope
	payloads   map[string][]byte
	content    func(m pars) []byte // encodes the manifest, nil = deterministically
	unsigned   bool
	signers    []string // nil = release-p256
	damage     func(env map[any]any)
}

// identify is the shared sequence of every honest manifest.
func identify(more ...any) seq {
	return append(seq{20, pars{1: vendor[:], 2: class[:], 3: pdigest(digA), 14: 7}, 1, 15, 2, 15}, more...)
}

var rootfs = list{list{[]byte("rootfs")}}

func (c craft) build(t testing.TB) []byte {
	t.Helper()
	if c.components == nil {
		c.components = rootfs
	}
	if c.shared == nil {
		c.shared = identify()
	}
	common := pars{2: c.components, 4: nest(c.shared...)}
	m := pars{1: 1, 2: 7}
	merge(common, c.common)
	m[3] = enc(common)
	for k, s := range map[int64]seq{16: c.fetch, 20: c.install, 7: c.validate} {
		if s != nil {
			m[k] = nest(s...)
		}
	}
	merge(m, c.manifest)
	env := map[any]any{}
	for _, k := range append(c.severable, c.severed...) {
		env[k] = m[k]
		sum := sha256.Sum256(enc(m[k]))
		m[k] = list{-16, sum[:]}
	}
	for _, k := range c.severed {
		delete(env, k)
	}
	content := enc(m)
	if c.content != nil {
		content = c.content(m)
	}
	sum := sha256.Sum256(enc(content))
	signed := enc(list{-16, sum[:]})
	wrapper := list{signed}
	if c.signers == nil {
		c.signers = []string{"release-p256"}
	}
	for _, n := range c.signers {
		if c.unsigned {
			break
		}
		b, err := signer(t, n).Sign(signed, nil)
		if err != nil {
			t.Fatal(err)
		}
		wrapper = append(wrapper, b)
	}
	env[int64(2)], env[int64(3)] = enc(wrapper), content
	for k, v := range c.payloads {
		env[k] = v
	}
	for k, v := range c.outer {
		env[k] = v
	}
	if c.damage != nil {
		c.damage(env)
	}
	if c.tag == 0 {
		c.tag = 107
	}
	return enc(cbor.Tag{Number: c.tag, Content: env})
}

func merge(dst, src pars) {
	for k, v := range src {
		if v == nil {
			delete(dst, k)
		} else {
			dst[k] = v
		}
	}
}

// accept parses and verifies with the release keys.
func accept(t testing.TB, env []byte) (manifest.Manifest, error) { return manifesttest.Accept(t, env) }

func cborTag(n uint64, content any) cbor.Tag { return cbor.Tag{Number: n, Content: content} }
