package manifest

import (
	"bytes"
	"errors"
	"fmt"
)

// sequences makes the three command sequences, with the components that they count, and adds
// integrated payloads to the envelope.
func (r Release) sequences(w *writer, envelope map[any]any) (ids []ComponentID, shared, install, validate []any) {
	for _, c := range r.Components {
		id, _ := ParseComponentID(c.Name) // check has read it
		if ids = append(ids, id); c.encrypted() {
			ids = append(ids, append(id[:len(id):len(id)], []byte(PayloadPart)))
		}
	}
	several := len(ids) > 1
	if several {
		shared = append(shared, cmdSetIndex, 0)
	}
	identity := map[int64]any{parVendor: r.Vendor[:]}
	if len(r.Classes) == 1 {
		identity[parClass] = r.Classes[0][:]
	}
	if r.DeviceID != nil {
		identity[parDevice] = r.DeviceID[:]
	}
	shared = append(shared, cmdOverride, identity, cmdVendor, reportAll)
	if len(r.Classes) == 1 {
		shared = append(shared, cmdClass, reportAll)
	} else {
		var branches []any
		for _, c := range r.Classes {
			branches = append(branches, w.wrap([]any{cmdOverride, map[int64]any{parClass: c[:]}, cmdClass, reportAll}))
		}
		shared = append(shared, cmdTryEach, branches)
	}
	if r.DeviceID != nil {
		shared = append(shared, cmdDevice, reportAll)
	}
	ask := func(key int64, value any, code int64) {
		shared = append(shared, cmdOverride, map[int64]any{key: value}, code, reportAll)
	}
	for _, v := range r.Versions {
		ask(parVersion, w.wrap([]any{v.Compare, v.Version}), cmdVersion)
	}
	if !r.UseBefore.IsZero() {
		ask(parUseBefore, uint64(r.UseBefore.Unix()), cmdUseBefore)
	}
	if r.MinBatteryMWh > 0 {
		ask(parBattery, r.MinBatteryMWh, cmdBattery)
	}
	if r.Priority != nil {
		ask(parPriority, *r.Priority, cmdAuthorized)
	}
	at := 0
	to := func(s *[]any, i int) {
		if several && (i > 0 || s != &shared) {
			*s = append(*s, cmdSetIndex, i)
		}
	}
	for _, c := range r.Components {
		to(&shared, at)
		if c.encrypted() {
			// What is fetched passes through a component of its own and is decrypted by the copy
			// (draft-ietf-suit-firmware-encryption, "Extended Directives").
			shared = append(shared, c.choose(w, Image.plain, at+1)...)
			to(&shared, at+1)
			shared = append(shared, c.choose(w, Image.sealed, 0)...)
			to(&install, at+1)
			install = append(install, cmdFetch, reportFail)
			to(&install, at)
			install = append(install, cmdCopy, reportFail, cmdImageMatch, reportAll)
		} else {
			shared = append(shared, c.choose(w, Image.direct, 0)...)
			to(&install, at)
			install = append(install, cmdFetch, reportFail, cmdImageMatch, reportAll)
		}
		to(&validate, at)
		validate = append(validate, cmdImageMatch, reportAll)
		for _, image := range c.Images {
			if image.Content == nil {
				continue
			}
			if b, taken := envelope[image.URI].([]byte); taken && !bytes.Equal(b, image.Content) {
				w.err = errors.Join(w.err, fmt.Errorf("two payloads are named %s", image.URI))
			}
			envelope[image.URI] = image.Content
		}
		if at++; c.encrypted() {
			at++
		}
	}
	return ids, shared, install, validate
}

// encrypted reports whether the component's payloads are encrypted: all are, or none.
func (c Component) encrypted() bool { return len(c.Images) > 0 && c.Images[0].Encryption != nil }

// choose sets a component's parameters: directly, or by the slot that is the target. All branches set
// the same parameters after their condition, so none is left over from another.
func (c Component) choose(w *writer, set func(Image, *writer, int) (p map[int64]any, args map[int64]any), source int) []any {
	several := false
	for _, i := range c.Images {
		_, args := set(i, w, source)
		several = several || len(args) > 0
	}
	var branches [][]any
	for _, i := range c.Images {
		p, args := set(i, w, source)
		if several {
			p[parFetchArgs] = w.wrap(args)
		}
		var b []any
		if i.Slot != AnySlot {
			b = append(b, cmdOverride, map[int64]any{parSlot: i.Slot}, cmdSlot, reportSlot)
		}
		branches = append(branches, append(b, cmdOverride, p))
	}
	if len(branches) == 1 {
		return branches[0]
	}
	var wrapped []any
	for _, b := range branches {
		wrapped = append(wrapped, w.wrap(b))
	}
	return []any{cmdTryEach, wrapped}
}

// direct are the parameters of an image that is fetched into its component.
func (i Image) direct(w *writer, _ int) (p, args map[int64]any) {
	p = map[int64]any{parDigest: w.wrap(w.digest(i.Digest)), parSize: i.Size, parURI: i.URI}
	return p, i.arguments(true, true)
}

// plain are the parameters of an image that is decrypted out of component source.
func (i Image) plain(w *writer, source int) (p, args map[int64]any) {
	p = map[int64]any{parDigest: w.wrap(w.digest(i.Digest)), parSize: i.Size, parEncryption: i.Encryption, parSource: source}
	return p, i.arguments(false, true)
}

// sealed are the parameters of the encrypted payload.
func (i Image) sealed(_ *writer, _ int) (p, args map[int64]any) {
	return map[int64]any{parURI: i.URI}, i.arguments(true, false)
}

// arguments are the fetch-arguments of where to fetch, of what is below the encryption, or both.
func (i Image) arguments(where, what bool) map[int64]any {
	a := map[int64]any{}
	if where && len(i.Mirrors) > 0 {
		a[argMirrors] = i.Mirrors
	}
	if what && i.Encoding != EncodingRaw {
		a[argEncoding] = i.Encoding
	}
	if where && i.PayloadSize != 0 {
		a[argPayloadSize] = i.PayloadSize
	}
	return a
}
