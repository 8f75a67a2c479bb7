package manifest

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// verdict is what a condition comes to.
type verdict struct {
	holds   bool
	missing bool   // it fails because a parameter is not set
	binds   bool   // it holds because nothing is known yet, and the payload must prove it
	detail  string // why it fails, for people
}

// outcome is what Trace calls it, in a frame.
func (v verdict) outcome(f *frame) Outcome {
	switch {
	case v.binds:
		return Binds
	case v.holds:
		return Holds
	case f.fatal():
		return Refuses
	}
	return Fails
}

var held = verdict{holds: true}

func fails(format string, args ...any) verdict {
	return verdict{detail: fmt.Sprintf(format, args...)}
}

func unset(name string) verdict {
	return verdict{missing: true, detail: "parameter " + name + " is not set"}
}

// test evaluates a condition for component c (draft-ietf-suit-manifest section 8.4.9 and
// draft-ietf-suit-update-management). A parameter that is not set fails it.
func (p *processor) test(code int64, c *component) verdict {
	switch code {
	case suit.CommandVendor:
		return p.identity(c, suit.ParameterVendor, p.d.Vendors, "vendor")
	case suit.CommandClass:
		return p.identity(c, suit.ParameterClass, p.d.Classes, "class")
	case suit.CommandDevice:
		return p.identity(c, suit.ParameterDevice, p.d.Devices, "device")
	case suit.CommandImageMatch:
		return p.imageMatch(c)
	case suit.CommandImageDiffers:
		return p.imageDiffers(c)
	case suit.CommandCheckContent:
		return p.checkContent(c)
	case suit.CommandSlot:
		slot, ok := get[uint64](c.values, suit.ParameterSlot)
		if !ok {
			return unset("component-slot")
		}
		if c.slot >= 0 && slot == uint64(c.slot) {
			return held
		}
		return fails("for slot %d, the target is slot %d", slot, c.slot)
	case suit.CommandUseBefore:
		limit, ok := get[uint64](c.values, suit.ParameterUseBefore)
		if !ok {
			return unset("use-before")
		}
		if !p.d.TimeKnown {
			return fails("has an expiry time, and the device does not know the time")
		}
		if now := p.d.Now.Unix(); now < 0 || uint64(now) < limit {
			return held
		}
		return fails("expired at %s", epoch(limit))
	case suit.CommandBattery:
		want, ok := get[uint64](c.values, suit.ParameterBattery)
		if !ok {
			return unset("minimum-battery")
		}
		if p.d.BatteryMWh < 0 {
			return fails("needs %d mWh, and the battery's charge is unknown", want)
		}
		if uint64(p.d.BatteryMWh) >= want {
			return held
		}
		return fails("needs %d mWh, the battery has %d", want, p.d.BatteryMWh)
	case suit.CommandAuthorized:
		priority, ok := get[int64](c.values, suit.ParameterPriority)
		if !ok {
			return unset("update-priority")
		}
		if p.d.Authorized == nil || p.d.Authorized(priority) {
			return held
		}
		return fails("update of priority %d is not authorised yet", priority)
	case suit.CommandVersion:
		match, ok := get[versionMatch](c.values, suit.ParameterVersion)
		if !ok {
			return unset("version")
		}
		if p.d.Version == nil {
			return fails("needs a running version %s, and the running version is unknown", match)
		}
		if match.holds(p.d.Version) {
			return held
		}
		return fails("needs a running version %s, running is %s", match, FormatVersion(p.d.Version))
	case suit.CommandAbort:
		return fails("the manifest demands to stop here")
	}
	panic(fmt.Sprintf("internal error: no test for %s", commands[code].name))
}

// epoch writes a time given in seconds; one beyond the calendar's range stays a number.
func epoch(s uint64) string {
	if s > 253402300799 { // 9999-12-31
		return fmt.Sprintf("second %d of the epoch", s)
	}
	return time.Unix(int64(s), 0).UTC().Format(time.RFC3339)
}

func (p *processor) identity(c *component, key int64, have []UUID, what string) verdict {
	want, ok := get[UUID](c.values, key)
	if !ok {
		return unset(what + "-identifier")
	}
	if slices.Contains(have, want) {
		return held
	}
	names := []string{"none"}
	if len(have) > 0 {
		names = nil
		for _, u := range have {
			names = append(names, u.String())
		}
	}
	return fails("made for %s %s, this device is %s", what, want, strings.Join(names, ", "))
}

// imageMatch compares what the component would hold with image-digest, and with image-size where
// that is set. The first match after a fetch binds the fetched image.
func (p *processor) imageMatch(c *component) verdict {
	want, ok := get[Digest](c.values, suit.ParameterDigest)
	if !ok {
		return unset("image-digest")
	}
	size, sized := get[int64](c.values, suit.ParameterSize)
	v := held
	switch {
	case c.content != nil:
		if got := p.sum(want.Alg, c.content); got != want {
			return fails("content is %s, must be %s", got, want)
		}
	case c.unbound():
		v.binds = true
	case c.holds != want:
		if c.holds.IsZero() {
			return fails("content is unknown, must be %s", want)
		}
		return fails("content is %s, must be %s", c.holds, want)
	}
	if in := c.install; in != nil {
		if in.Size == 0 {
			in.Size = size
		}
		if sized && in.Size != size {
			return fails("image has %d bytes, must have %d", in.Size, size)
		}
		if in.Image = want; in.Matched == (Place{}) {
			in.Matched = p.at
		}
	}
	c.holds = want
	return v
}

// imageDiffers holds when the component is not known to hold image-digest: what was never verified
// does not count as the image. After a fetch that nothing was compared with yet it cannot be known,
// and does not hold.
func (p *processor) imageDiffers(c *component) verdict {
	want, ok := get[Digest](c.values, suit.ParameterDigest)
	if !ok {
		return unset("image-digest")
	}
	holds := c.holds
	switch {
	case c.content != nil:
		holds = p.sum(want.Alg, c.content)
	case c.unbound():
		return fails("what is fetched was not compared with a digest before")
	}
	if holds != want {
		return held
	}
	return fails("content is %s already", want)
}

// checkContent compares the component with the parameter content. Digests are compared, in constant
// time and each computed once: how long it takes tells nothing of the content (section 8.4.9.3), and
// a manifest that compares the same bytes a thousand times costs no more.
func (p *processor) checkContent(c *component) verdict {
	want, ok := get[[]byte](c.values, suit.ParameterContent)
	if !ok {
		return unset("content")
	}
	holds := c.holds
	if c.content != nil {
		holds = p.sum(SHA256, c.content)
	}
	if holds.IsZero() {
		return fails("content is unknown")
	}
	if subtle.ConstantTimeCompare([]byte(holds.Sum), []byte(p.sum(holds.Alg, want).Sum)) == 1 {
		return held
	}
	return fails("content differs")
}
