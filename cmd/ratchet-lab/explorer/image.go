package explorer

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
)

const (
	slotSize   = 80 << 10
	imageSize  = 70_000 // no multiple of anything: the last sector is a part
	bootSize   = 5_000  // of component "boot"
	checkpoint = 32 << 10
)

// pki is what all devices of a process share: keys, images and envelopes, each made once. What is in
// it depends on nothing but the names asked for, signatures left out.
type pki struct {
	release, device, stranger *trust.Signer
	anchors                   trust.Keys
	deviceKeys                trust.Keys

	mu        sync.Mutex
	images    map[string][]byte
	sums      map[byte][32]byte // of images of rootfs
	envelopes map[string][]byte
	held      map[string]byte // image that a version of a slot holds
	said      map[string]said // what the anchors said to an envelope
	fleet     *fleet          // of devices with a trust root, once one was needed
}

// said is the anchors' answer.
type said struct {
	signers []string
	err     error
}

// Authenticate implements manifest.Authority: the anchors are asked once for each envelope.
func (p *pki) Authenticate(payload []byte, blocks [][]byte) ([]string, error) {
	key := fmt.Sprintf("%x %x", payload, blocks)
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.said[key]
	if !ok {
		a.signers, a.err = p.anchors.Authenticate(payload, blocks)
		p.said[key] = a
	}
	return a.signers, a.err
}

// sum is the digest of image n of rootfs.
func (p *pki) sum(n byte) [32]byte {
	img := p.image("rootfs", n)
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.sums[n]
	if !ok {
		s = sha256.Sum256(img)
		p.sums[n] = s
	}
	return s
}

func newPKI() (*pki, error) {
	p := &pki{images: map[string][]byte{}, sums: map[byte][32]byte{}, envelopes: map[string][]byte{},
		said: map[string]said{}, held: map[string]byte{}}
	var err error
	if p.release, err = trust.Generate(trust.ESP256); err != nil {
		return nil, err
	}
	if p.stranger, err = trust.Generate(trust.ESP256); err != nil {
		return nil, err
	}
	if p.device, err = trust.Generate(trust.Ed25519); err != nil {
		return nil, err
	}
	if p.anchors, err = trust.NewKeys([]trust.Key{p.release.Key()}, false); err != nil {
		return nil, err
	}
	p.deviceKeys, err = trust.NewKeys([]trust.Key{p.device.Key()}, false)
	return p, err
}

// image n of a component begins with n.
func (p *pki) image(component string, n byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprint(component, n)
	if b := p.images[key]; b != nil {
		return b
	}
	size, salt := imageSize, uint64(7)
	if component == "boot" {
		size, salt = bootSize, 8
	}
	rng := rand.New(rand.NewPCG(uint64(n), salt))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	b[0] = n
	p.images[key] = b
	return b
}

func uri(component string, n byte) string {
	return fmt.Sprintf("https://images.example.com/%s-%d.img", component, n)
}

func vendor() manifest.UUID { return manifest.VendorUUID("example.com") }
func class() manifest.UUID  { return manifest.ClassUUID(vendor(), "gateway") }

// Release is a signed offer: image N under a sequence number.
type Release struct {
	Sequence uint64
	Image    byte
	Both     bool   // components rootfs and boot
	Foreign  bool   // for another class of device
	Stranger bool   // signed by a key that the device does not know
	Bytes    string // instead of all that: these bytes
}

func (p *pki) envelope(r Release) ([]byte, error) {
	if r.Bytes != "" {
		return []byte(r.Bytes), nil
	}
	key := fmt.Sprintf("%+v", r)
	p.mu.Lock()
	b := p.envelopes[key]
	p.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := p.unsigned(r)
	if err != nil {
		return nil, err
	}
	signer := p.release
	if r.Stranger {
		signer = p.stranger
	}
	if b, err = author.Sign(b, signer); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.envelopes[key] = b
	p.mu.Unlock()
	return b, nil
}

// unsigned is the envelope of r without a signature.
func (p *pki) unsigned(r Release) ([]byte, error) {
	m := author.Release{Vendor: vendor(), Classes: []manifest.UUID{class()}, Sequence: r.Sequence,
		ReferenceURI: "https://images.example.com/manifest"}
	if r.Foreign {
		m.Classes = []manifest.UUID{manifest.ClassUUID(vendor(), "toaster")}
	}
	names := []string{"rootfs"}
	if r.Both {
		names = append(names, "boot")
	}
	for _, name := range names {
		img := p.image(name, r.Image)
		sum := sha256.Sum256(img)
		size := int64(len(img))
		m.Components = append(m.Components, author.Component{Name: name, Images: []author.Image{{Slot: author.AnySlot,
			Digest: manifest.Digest{Alg: slots.SHA256, Sum: string(sum[:])}, Size: size,
			URI: uri(name, r.Image), PayloadSize: size}}})
	}
	return author.Build(m)
}
