package author

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// sequences makes the three command sequences, with the components that they count, and adds
// integrated payloads to the envelope.
func (r Release) sequences(w *suit.Writer,
	envelope map[any]any) (ids []manifest.ComponentID, shared, install, validate []any) {
	for _, c := range r.Components {
		id, _ := manifest.ParseComponentID(c.Name) // check has read it
		if ids = append(ids, id); c.encrypted() {
			ids = append(ids, append(id[:len(id):len(id)], []byte(manifest.PayloadPart)))
		}
	}
	several := len(ids) > 1
	if several {
		shared = append(shared, suit.CommandSetIndex, 0)
	}
	shared = append(shared, r.conditions(w)...)
	at := 0
	to := func(s *[]any, i int) {
		if several && (i > 0 || s != &shared) {
			*s = append(*s, suit.CommandSetIndex, i)
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
			install = append(install, suit.CommandFetch, reportFail)
			to(&install, at)
			install = append(install, suit.CommandCopy, reportFail, suit.CommandImageMatch, reportAll)
		} else {
			shared = append(shared, c.choose(w, Image.direct, 0)...)
			to(&install, at)
			install = append(install, suit.CommandFetch, reportFail, suit.CommandImageMatch, reportAll)
		}
		to(&validate, at)
		validate = append(validate, suit.CommandImageMatch, reportAll)
		for _, image := range c.Images {
			if image.Content == nil {
				continue
			}
			if b, taken := envelope[image.URI].([]byte); taken && !bytes.Equal(b, image.Content) {
				w.Err = errors.Join(w.Err, fmt.Errorf("two payloads are named %s", image.URI))
			}
			envelope[image.URI] = image.Content
		}
		if at++; c.encrypted() {
			at++
		}
	}
	return ids, shared, install, validate
}

// conditions ask who the device is, and for what else the release demands.
func (r Release) conditions(w *suit.Writer) (shared []any) {
	identity := map[int64]any{suit.ParameterVendor: r.Vendor[:]}
	if len(r.Classes) == 1 {
		identity[suit.ParameterClass] = r.Classes[0][:]
	}
	if r.DeviceID != nil {
		identity[suit.ParameterDevice] = r.DeviceID[:]
	}
	shared = append(shared, suit.CommandOverride, identity, suit.CommandVendor, reportAll)
	if len(r.Classes) == 1 {
		shared = append(shared, suit.CommandClass, reportAll)
	} else {
		var branches []any
		for _, c := range r.Classes {
			branches = append(branches, w.Wrap([]any{suit.CommandOverride, map[int64]any{suit.ParameterClass: c[:]},
				suit.CommandClass, reportAll}))
		}
		shared = append(shared, suit.CommandTryEach, branches)
	}
	if r.DeviceID != nil {
		shared = append(shared, suit.CommandDevice, reportAll)
	}
	ask := func(key int64, value any, code int64) {
		shared = append(shared, suit.CommandOverride, map[int64]any{key: value}, code, reportAll)
	}
	for _, v := range r.Versions {
		ask(suit.ParameterVersion, w.Wrap([]any{v.Compare, v.Version}), suit.CommandVersion)
	}
	if !r.UseBefore.IsZero() {
		ask(suit.ParameterUseBefore, uint64(r.UseBefore.Unix()), suit.CommandUseBefore)
	}
	if r.MinBatteryMWh > 0 {
		ask(suit.ParameterBattery, r.MinBatteryMWh, suit.CommandBattery)
	}
	if r.Priority != nil {
		ask(suit.ParameterPriority, *r.Priority, suit.CommandAuthorized)
	}
	return shared
}

// encrypted reports whether the component's payloads are encrypted: all are, or none.
func (c Component) encrypted() bool { return len(c.Images) > 0 && c.Images[0].Encryption != nil }

// choose sets a component's parameters: directly, or by the slot that is the target. All branches set
// the same parameters after their condition, so none is left over from another.
func (c Component) choose(w *suit.Writer,
	set func(Image, *suit.Writer, int) (p, args map[int64]any), source int) []any {
	several := false
	for _, i := range c.Images {
		_, args := set(i, w, source)
		several = several || len(args) > 0
	}
	var branches [][]any
	for _, i := range c.Images {
		p, args := set(i, w, source)
		if several {
			p[suit.ParameterFetchArgs] = w.Wrap(args)
		}
		var b []any
		if i.Slot != AnySlot {
			b = append(b, suit.CommandOverride, map[int64]any{suit.ParameterSlot: i.Slot}, suit.CommandSlot, reportSlot)
		}
		branches = append(branches, append(b, suit.CommandOverride, p))
	}
	if len(branches) == 1 {
		return branches[0]
	}
	var wrapped []any
	for _, b := range branches {
		wrapped = append(wrapped, w.Wrap(b))
	}
	return []any{suit.CommandTryEach, wrapped}
}

// direct are the parameters of an image that is fetched into its component.
func (i Image) direct(w *suit.Writer, _ int) (p, args map[int64]any) {
	p = map[int64]any{suit.ParameterDigest: w.Wrap(digested(w, i.Digest)), suit.ParameterSize: i.Size,
		suit.ParameterURI: i.URI}
	return p, i.arguments(true, true)
}

// plain are the parameters of an image that is decrypted out of component source.
func (i Image) plain(w *suit.Writer, source int) (p, args map[int64]any) {
	p = map[int64]any{suit.ParameterDigest: w.Wrap(digested(w, i.Digest)), suit.ParameterSize: i.Size,
		suit.ParameterEncryption: i.Encryption, suit.ParameterSource: source}
	return p, i.arguments(false, true)
}

// sealed are the parameters of the encrypted payload.
func (i Image) sealed(_ *suit.Writer, _ int) (p, args map[int64]any) {
	return map[int64]any{suit.ParameterURI: i.URI}, i.arguments(true, false)
}

// arguments are the fetch-arguments of where to fetch, of what is below the encryption, or both.
func (i Image) arguments(where, what bool) map[int64]any {
	a := map[int64]any{}
	if where && len(i.Mirrors) > 0 {
		a[suit.ArgumentMirrors] = i.Mirrors
	}
	if what && i.Encoding != manifest.EncodingRaw {
		a[suit.ArgumentEncoding] = i.Encoding
	}
	if where && i.PayloadSize != 0 {
		a[suit.ArgumentPayloadSize] = i.PayloadSize
	}
	return a
}
