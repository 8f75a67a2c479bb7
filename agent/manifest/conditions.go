package manifest

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"
)

// test evaluates a condition for component c (draft-ietf-suit-manifest section 8.4.9 and
// draft-ietf-suit-update-management). A parameter that is not set fails it and is missing. detail
// says why it does not hold.
func (p *processor) test(code int64, c *component) (holds, missing bool, detail string) {
	switch code {
	case cmdVendor:
		return p.identity(c, parVendor, p.d.Vendors, "vendor")
	case cmdClass:
		return p.identity(c, parClass, p.d.Classes, "class")
	case cmdDevice:
		return p.identity(c, parDevice, p.d.Devices, "device")
	case cmdImageMatch:
		return p.imageMatch(c)
	case cmdImageDiffers:
		return p.imageDiffers(c)
	case cmdCheckContent:
		return p.checkContent(c)
	case cmdSlot:
		slot, ok := get[uint64](c.values, parSlot)
		if !ok {
			return unset("component-slot")
		}
		if c.slot >= 0 && slot == uint64(c.slot) {
			return true, false, ""
		}
		return false, false, fmt.Sprintf("for slot %d, the target is slot %d", slot, c.slot)
	case cmdUseBefore:
		limit, ok := get[uint64](c.values, parUseBefore)
		if !ok {
			return unset("use-before")
		}
		if !p.d.TimeKnown {
			return false, false, "has an expiry time, and the device does not know the time"
		}
		if now := p.d.Now.Unix(); now < 0 || uint64(now) < limit {
			return true, false, ""
		}
		return false, false, "expired at " + epoch(limit)
	case cmdBattery:
		want, ok := get[uint64](c.values, parBattery)
		if !ok {
			return unset("minimum-battery")
		}
		if p.d.BatteryMWh < 0 {
			return false, false, fmt.Sprintf("needs %d mWh, and the battery's charge is unknown", want)
		}
		return uint64(p.d.BatteryMWh) >= want, false, fmt.Sprintf("needs %d mWh, the battery has %d", want, p.d.BatteryMWh)
	case cmdAuthorized:
		priority, ok := get[int64](c.values, parPriority)
		if !ok {
			return unset("update-priority")
		}
		return p.d.Authorized == nil || p.d.Authorized(priority), false, fmt.Sprintf("update of priority %d is not authorised yet", priority)
	case cmdVersion:
		match, ok := get[versionMatch](c.values, parVersion)
		if !ok {
			return unset("version")
		}
		if p.d.Version == nil {
			return false, false, fmt.Sprintf("needs a running version %s, and the running version is unknown", match)
		}
		return match.holds(p.d.Version), false, fmt.Sprintf("needs a running version %s, running is %s", match, FormatVersion(p.d.Version))
	case cmdAbort:
		return false, false, "the manifest demands to stop here"
	}
	panic(fmt.Sprintf("internal error: no test for %s", commands[code].name))
}

func unset(name string) (holds, missing bool, detail string) {
	return false, true, "parameter " + name + " is not set"
}

// epoch writes a time given in seconds; one beyond the calendar's range stays a number.
func epoch(s uint64) string {
	if s > 253402300799 { // 9999-12-31
		return fmt.Sprintf("second %d of the epoch", s)
	}
	return time.Unix(int64(s), 0).UTC().Format(time.RFC3339)
}

func (p *processor) identity(c *component, key int64, have []UUID, what string) (holds, missing bool, detail string) {
	want, ok := get[UUID](c.values, key)
	if !ok {
		return unset(what + "-identifier")
	}
	if slices.Contains(have, want) {
		return true, false, ""
	}
	names := []string{"none"}
	if len(have) > 0 {
		names = nil
		for _, u := range have {
			names = append(names, u.String())
		}
	}
	return false, false, fmt.Sprintf("made for %s %s, this device is %s", what, want, strings.Join(names, ", "))
}

// imageMatch compares what the component would hold with image-digest, and with image-size where
// that is set. The first match after a fetch binds the fetched image.
func (p *processor) imageMatch(c *component) (holds, missing bool, detail string) {
	want, ok := get[Digest](c.values, parDigest)
	if !ok {
		return unset("image-digest")
	}
	size, sized := get[int64](c.values, parSize)
	switch {
	case c.content != nil:
		if got := p.sum(want.Alg, c.content); got != want {
			return false, false, fmt.Sprintf("content is %s, must be %s", got, want)
		}
	case c.unbound():
		c.install.Size = size
	case c.holds != want:
		if c.holds.IsZero() {
			return false, false, fmt.Sprintf("content is unknown, must be %s", want)
		}
		return false, false, fmt.Sprintf("content is %s, must be %s", c.holds, want)
	}
	if in := c.install; in != nil {
		if in.Size == 0 {
			in.Size = size
		}
		if sized && in.Size != size {
			return false, false, fmt.Sprintf("image has %d bytes, must have %d", in.Size, size)
		}
		in.Image = want
	}
	c.holds = want
	return true, false, ""
}

// imageDiffers holds when the component is not known to hold image-digest: what was never verified
// does not count as the image. After a fetch that nothing was compared with yet it cannot be known,
// and does not hold.
func (p *processor) imageDiffers(c *component) (holds, missing bool, detail string) {
	want, ok := get[Digest](c.values, parDigest)
	if !ok {
		return unset("image-digest")
	}
	if c.content != nil {
		return p.sum(want.Alg, c.content) != want, false, fmt.Sprintf("content is %s already", want)
	}
	if c.unbound() {
		return false, false, "what is fetched was not compared with a digest before"
	}
	return c.holds != want, false, fmt.Sprintf("content is %s already", want)
}

// checkContent compares the component with the parameter content, in constant time.
func (p *processor) checkContent(c *component) (holds, missing bool, detail string) {
	want, ok := get[[]byte](c.values, parContent)
	if !ok {
		return unset("content")
	}
	if c.content != nil {
		return subtle.ConstantTimeCompare(c.content, want) == 1, false, "content differs"
	}
	if c.holds.IsZero() {
		return false, false, "content is unknown"
	}
	return subtle.ConstantTimeCompare([]byte(c.holds.Sum), []byte(p.sum(c.holds.Alg, want).Sum)) == 1, false, "content differs"
}
