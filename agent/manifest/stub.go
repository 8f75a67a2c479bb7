// Package manifest reads, checks and writes SUIT envelopes (draft-ietf-suit-manifest-34).
package manifest

import (
	"errors"
	"io"
	"time"
)

// UUID is an RFC 9562 identifier.
type UUID [16]byte

// Digest is a digest with its COSE algorithm; comparable; the zero value is "none".
type Digest struct {
	Alg int
	Sum string // raw bytes
}

// ComponentID names a component: a path of byte strings.
type ComponentID [][]byte

// Sentinels, found with errors.Is.
var (
	// ErrDigest: the manifest does not match the digest in the authentication wrapper.
	ErrDigest = errors.New("manifest digest mismatch")
	// ErrUnsigned: the envelope carries no authentication block.
	ErrUnsigned = errors.New("envelope is not signed")
)

// Envelope is an unverified envelope.
type Envelope struct{ raw []byte }

// Authority says who signed.
type Authority interface {
	Authenticate(payload []byte, blocks [][]byte) (signers []string, err error)
}

// Signer makes an authentication block.
type Signer interface {
	Sign(payload, externalAAD []byte) (block []byte, err error)
}

// Manifest is verified.
type Manifest struct{ raw []byte }

// Device holds the facts the processor asks for.
type Device struct {
	Vendors, Classes, Devices []UUID
	Version                   []int64
	Now                       time.Time
	TimeKnown                 bool
	BatteryMWh                int64
	Components                map[string]Target
	Authorized                func(priority int64) bool
}

// Target is where a component would be installed.
type Target struct {
	Slot  int
	Holds Digest
}

// Finding is a failed condition.
type Finding struct {
	Condition       int
	Component       string
	Section, Offset int
	Detail          string
}

// Install is one image to write.
type Install struct {
	Component   string
	URI         string
	Mirrors     []string
	Content     []byte
	Encoding    int
	PayloadSize int64
	Image       Digest
	Size        int64
}

// Update is what a manifest means for a device.
type Update struct {
	Installs []Install
	Findings []Finding
	Priority int64
}

var errStub = errors.New("stub")

func ParseUUID(s string) (UUID, error)                 { return UUID{}, errStub }
func UUIDv5(ns UUID, name string) UUID                 { return UUID{} }
func VendorUUID(domain string) UUID                    { return UUID{} }
func ClassUUID(vendor UUID, name string) UUID          { return UUID{} }
func (u UUID) String() string                          { return "" }
func (d Digest) String() string                        { return "" }
func ParseDigest(s string) (Digest, error)             { return Digest{}, errStub }
func (d Digest) IsZero() bool                          { return d == Digest{} }
func (c ComponentID) String() string                   { return "" }
func Parse(b []byte) (Envelope, error)                 { return Envelope{}, errStub }
func (e Envelope) Raw() []byte                         { return e.raw }
func (e Envelope) ClaimedDigest() Digest               { return Digest{} }
func Verify(e Envelope, a Authority) (Manifest, error) { return Manifest{}, errStub }
func (m Manifest) Digest() Digest                      { return Digest{} }
func (m Manifest) Sequence() uint64                    { return 0 }
func (m Manifest) Components() []ComponentID           { return nil }
func (m Manifest) Signers() []string                   { return nil }
func (m Manifest) ReferenceURI() string                { return "" }
func (m Manifest) Description(lang string) string      { return "" }
func (m Manifest) SetVersion() []int64                 { return nil }
func (m Manifest) Envelope() []byte                    { return m.raw }
func (m Manifest) Resolve(d Device) (Update, error)    { return Update{}, errStub }

// Release says declaratively what a release is; Build makes its envelope.
type Release struct {
	Vendor        UUID
	Classes       []UUID // the device's class must be one of these
	DeviceID      *UUID  // only this device, nil = all of the classes
	Sequence      uint64
	Version       []int64 // set-version, nil = none
	Components    []Component
	Versions      []VersionCondition // all must hold for the running version
	UseBefore     time.Time          // zero = no limit; whole seconds
	MinBatteryMWh int64              // 0 = none
	Priority      *int64             // asks update-authorized with this priority, nil = does not ask
	ReferenceURI  string
	Text          map[string]Text // by language tag; severable
}

// Text is what people read about a release, in one language.
type Text struct {
	Description string                   // of the manifest
	Update      string                   // what this update changes
	Components  map[string]ComponentText // by component name
}

// ComponentText is what people read about one component.
type ComponentText struct {
	VendorName, ModelName, VendorDomain, ModelInfo string
	Description, Version                           string
}

// Component is one image of a release, or one image per slot.
type Component struct {
	Name   string // ComponentID.String() form: "rootfs", "app/x"
	Images []Image
}

// Image is one image and where to fetch it.
type Image struct {
	Slot        int // component-slot this image is for, AnySlot when it fits every slot
	Digest      Digest
	Size        int64 // bytes of the image
	URI         string
	Mirrors     []string
	Encoding    int    // EncodingRaw, EncodingZstd
	PayloadSize int64  // bytes to fetch, 0 = as Size (raw) or unknown
	Content     []byte // integrated payload; URI is then its name, "#name"
}

// AnySlot marks an image that fits every slot.
const AnySlot = -1

// Encodings of a payload (fetch-arguments key 2).
const (
	EncodingRaw  = 0
	EncodingZstd = 1
)

// VersionCondition compares the running version with Version.
type VersionCondition struct {
	Compare int // CompareGreater ...
	Version []int64
}

// Comparison types of the version condition (draft-ietf-suit-update-management).
const (
	CompareGreater        = 1
	CompareGreaterOrEqual = 2
	CompareEqual          = 3
	CompareLesserOrEqual  = 4
	CompareLesser         = 5
)

func Build(r Release) ([]byte, error)           { return nil, errStub }
func Sign(env []byte, s Signer) ([]byte, error) { return nil, errStub }
func Sever(env []byte) ([]byte, error)          { return nil, errStub }
func Dump(w io.Writer, b []byte) error          { return errStub }
