package author

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// Release says what a release is; Build turns it into an envelope. Nobody writes command sequences
// by hand.
type Release struct {
	Vendor        manifest.UUID
	Classes       []manifest.UUID // the device must be of one of these, 1 to MaxBranches
	DeviceID      *manifest.UUID  // only this device; nil = every device of the classes
	Sequence      uint64          // higher is newer
	Version       []int64
	Components    []Component                 // 1 to MaxComponents
	Versions      []manifest.VersionCondition // all must hold for the running version
	UseBefore     time.Time                   // zero = never expires; whole seconds
	MinBatteryMWh int64                       // 0 = no demand
	Priority      *int64                      // ask update-authorized with this priority; nil = do not ask
	ReferenceURI  string                      // where the full envelope can be found, "" = not said
	Text          map[string]Text             // by language tag; nil = none
}

// Component is one component of a release: one image that fits every slot, or one per slot.
type Component struct {
	Name   string // as ComponentID.String writes it: "rootfs", "app/x"
	Images []Image
}

// AnySlot marks an image that fits every slot.
const AnySlot = -1

// Image is one image and where its payload is.
type Image struct {
	Slot        int // component-slot it is made for, or AnySlot; the zero value is slot 0
	Digest      manifest.Digest
	Size        int64 // bytes of the image, decoded
	URI         string
	Mirrors     []string // the same payload elsewhere
	Encoding    int      // EncodingRaw, EncodingZstd; below the encryption
	PayloadSize int64    // bytes to fetch; 0 = not said
	Content     []byte   // payload to carry in the envelope; URI is then its name, "#name"
	Encryption  []byte   // encryption-info of the payload, from cipher.Seal; nil = it is not encrypted
}

// Text is what people read about a release, in one language.
type Text struct {
	Description string                   // of the manifest
	Update      string                   // what the update changes
	Components  map[string]ComponentText // by component name
}

// ComponentText is what people read about one component.
type ComponentText struct {
	VendorName, ModelName, VendorDomain, ModelInfo, Description, Version string
}

// check finds what Build could not encode or a device would not accept.
func (r Release) check() error {
	switch {
	case r.Vendor == manifest.UUID{}:
		return errors.New("the vendor is missing")
	case len(r.Classes) == 0 || len(r.Classes) > manifest.MaxBranches:
		return fmt.Errorf("%d device classes, want 1 to %d", len(r.Classes), manifest.MaxBranches)
	case len(r.Components) == 0 || len(r.Components) > manifest.MaxComponents:
		return fmt.Errorf("%d components, want 1 to %d", len(r.Components), manifest.MaxComponents)
	case r.MinBatteryMWh < 0:
		return fmt.Errorf("minimum battery of %d mWh", r.MinBatteryMWh)
	case !r.UseBefore.IsZero() && r.UseBefore.Unix() <= 0:
		return fmt.Errorf("use-before %s lies before 1970", r.UseBefore)
	}
	if r.Version != nil {
		if err := manifest.CheckVersion(r.Version); err != nil {
			return err
		}
	}
	for _, v := range r.Versions {
		if v.Compare < manifest.CompareGreater || v.Compare > manifest.CompareLesser {
			return fmt.Errorf("version comparison %d is unknown", v.Compare)
		}
		if err := manifest.CheckVersion(v.Version); err != nil {
			return err
		}
	}
	for tag := range r.Text {
		if !manifest.LanguageTag(tag) {
			return fmt.Errorf("%.40q is not a language tag", tag)
		}
	}
	all := len(r.Components)
	for _, c := range r.Components {
		if err := c.check(); err != nil {
			return fmt.Errorf("component %.80q: %w", c.Name, err)
		}
		if c.encrypted() {
			all++
		}
	}
	if all > manifest.MaxComponents {
		return fmt.Errorf("%d components, at most %d: an encrypted one counts twice", all, manifest.MaxComponents)
	}
	return nil
}

func (c Component) check() error {
	if _, err := manifest.ParseComponentID(c.Name); err != nil {
		return err
	}
	if len(c.Images) == 0 || len(c.Images) > manifest.MaxBranches {
		return fmt.Errorf("%d images, want 1 to %d", len(c.Images), manifest.MaxBranches)
	}
	slots := map[int]bool{}
	for _, i := range c.Images {
		size := manifest.DigestSize(i.Digest.Alg)
		switch {
		case size == 0 || len(i.Digest.Sum) != size:
			return errors.New("the image's digest is missing or not of a supported algorithm")
		case i.Size <= 0:
			return fmt.Errorf("image size is %d", i.Size)
		case i.Slot < AnySlot || slots[i.Slot] || i.Slot == AnySlot && len(c.Images) > 1:
			return fmt.Errorf("image for slot %d: want one image for any slot, or one for each of several slots",
				i.Slot)
		case i.Encoding != manifest.EncodingRaw && i.Encoding != manifest.EncodingZstd:
			return fmt.Errorf("payload encoding %d is unknown", i.Encoding)
		case (i.Encryption != nil) != c.encrypted():
			return errors.New("either all images of a component are encrypted, or none")
		case i.PayloadSize < 0:
			return fmt.Errorf("payload size is %d", i.PayloadSize)
		case i.URI == "":
			return errors.New("the payload's URI is missing")
		case strings.HasPrefix(i.URI, "#") != (i.Content != nil):
			return errors.New("a payload named #... is carried in the envelope, and only such a one")
		case len(i.Mirrors) > manifest.MaxMirrors:
			return fmt.Errorf("%d mirrors, at most %d", len(i.Mirrors), manifest.MaxMirrors)
		}
		overhead := int64(0)
		if i.Encryption != nil {
			e, err := manifest.ParseEncryption(i.Encryption)
			if err != nil {
				return err
			}
			overhead = e.Overhead()
		}
		if i.Encoding == manifest.EncodingRaw && i.PayloadSize != 0 && i.PayloadSize != i.Size+overhead {
			return fmt.Errorf("payload size is %d, the image's %d", i.PayloadSize, i.Size)
		}
		slots[i.Slot] = true
	}
	return nil
}
