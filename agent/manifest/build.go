package manifest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Reporting policies (draft-ietf-suit-manifest section 8.4.7): hints what a report should record.
const (
	reportAll  = 15 // success and failure, with system information
	reportFail = 2  // failure
	reportSlot = 5  // success, with system information
)

// Build makes the unsigned envelope of a release. The same release gives the same bytes. Sign makes
// it acceptable to devices.
//
// The shared sequence identifies the device and holds digests and sizes, by try-each on
// component-slot where a component has an image per slot; install fetches each component and
// compares it; validate compares again. Text is severable.
func Build(r Release) ([]byte, error) {
	env, err := r.build()
	if err != nil {
		return nil, fmt.Errorf("cannot build release: %w", err)
	}
	if err := acceptable(env); err != nil {
		return nil, fmt.Errorf("cannot build release: a device would refuse it: %w", err)
	}
	return env, nil
}

// acceptable parses all of an envelope as a device would after the signatures.
func acceptable(env []byte) error {
	e, err := Parse(env)
	if err != nil {
		return err
	}
	if sum(e.claimed.Alg, e.manifest.item) != e.claimed {
		return ErrDigest
	}
	m := Manifest{env: e}
	return m.parse()
}

func (r Release) build() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	w := &writer{}
	envelope := map[any]any{}
	ids, shared, install, validate := r.sequences(w, envelope)
	manifest := map[int64]any{
		1:           1,
		2:           r.Sequence,
		3:           w.wrap(map[int64]any{2: ids, 4: w.wrap(shared)}),
		keyValidate: w.wrap(validate),
		keyInstall:  w.wrap(install),
	}
	if r.ReferenceURI != "" {
		manifest[4] = r.ReferenceURI
	}
	if r.Version != nil {
		manifest[6] = w.wrap(r.Version)
	}
	if t := r.text(w); len(t) > 0 {
		text := w.wrap(t)
		envelope[int64(keyText)] = text
		manifest[keyText] = w.digest(sum(SHA256, w.wrap(text)))
	}
	content := w.wrap(manifest)
	envelope[int64(keyManifest)] = content
	signed := w.wrap(w.digest(sum(SHA256, w.wrap(content))))
	envelope[int64(keyAuthentication)] = w.wrap([]any{signed})
	env := w.wrap(cbor.Tag{Number: 107, Content: envelope})
	return env, w.err
}

// text makes the text map.
func (r Release) text(w *writer) map[string]any {
	fill := func(m map[any]any, list ...string) map[any]any {
		for i, s := range list {
			if s != "" {
				m[int64(i+1)] = s
			}
		}
		return m
	}
	all := map[string]any{}
	for tag, t := range r.Text {
		m := fill(map[any]any{}, t.Description, t.Update)
		for name, c := range t.Components {
			id, err := ParseComponentID(name)
			if err != nil {
				w.err = errors.Join(w.err, err)
				continue
			}
			one := fill(map[any]any{}, c.VendorName, c.ModelName, c.VendorDomain, c.ModelInfo, c.Description, c.Version)
			if len(one) > 0 {
				m[encoded(w.wrap(id))] = one
			}
		}
		if len(m) > 0 {
			all[tag] = m
		}
	}
	return all
}

// encoded is an item that is encoded already and serves as a map key.
type encoded string

// MarshalCBOR gives the item as it is.
func (e encoded) MarshalCBOR() ([]byte, error) { return []byte(e), nil }

// writer encodes deterministically and keeps the first error.
type writer struct{ err error }

// wrap encodes v; within another value the result becomes a byte string.
func (w *writer) wrap(v any) []byte {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		w.err = errors.Join(w.err, err)
		return nil
	}
	b, err := mode.Marshal(v)
	if err != nil {
		w.err = errors.Join(w.err, err)
	}
	return b
}

func (w *writer) digest(d Digest) []any { return []any{d.Alg, []byte(d.Sum)} }

// Signer makes an authentication block.
type Signer interface {
	// Sign returns a tagged COSE_Sign1 over payload, which stays detached.
	Sign(payload, externalAAD []byte) (block []byte, err error)
}

// Sign adds a signer's block to an envelope that a device could accept. The signers before stay, so
// that several can sign the same file one after another.
func Sign(env []byte, s Signer) ([]byte, error) {
	if err := acceptable(env); err != nil {
		return nil, fmt.Errorf("cannot sign envelope: a device would refuse it: %w", err)
	}
	e, err := Parse(env)
	if err != nil {
		return nil, fmt.Errorf("cannot sign envelope: %w", err)
	}
	if len(e.blocks) == MaxBlocks {
		return nil, fmt.Errorf("cannot sign envelope: it has %d signatures already", MaxBlocks)
	}
	block, err := s.Sign(e.signed, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot sign envelope: %w", err)
	}
	for _, b := range e.blocks {
		if bytes.Equal(b, block) {
			return nil, errors.New("cannot sign envelope: this signer has signed it already")
		}
	}
	e.blocks = append(e.blocks, block)
	out, err := e.assemble()
	if err != nil {
		return nil, fmt.Errorf("cannot sign envelope: %w", err)
	}
	return out, nil
}

// Sever drops the text from an envelope, for links where each byte counts. Signatures stay valid:
// they cover the text's digest. An envelope without text comes back as it is.
func Sever(env []byte) ([]byte, error) {
	e, err := Parse(env)
	if err != nil {
		return nil, fmt.Errorf("cannot sever text: %w", err)
	}
	delete(e.severable, keyText)
	out, err := e.assemble()
	if err != nil {
		return nil, fmt.Errorf("cannot sever text: %w", err)
	}
	return out, nil
}

// assemble encodes the envelope's parts again. What is signed are the contents of byte strings,
// which stay as they are.
func (e Envelope) assemble() ([]byte, error) {
	w := &writer{}
	wrapper := []any{e.signed}
	for _, b := range e.blocks {
		wrapper = append(wrapper, b)
	}
	m := map[any]any{int64(keyAuthentication): w.wrap(wrapper), int64(keyManifest): e.manifest.content}
	for k, el := range e.severable {
		m[k] = el.content
	}
	for name, el := range e.integrated {
		m[name] = el.content
	}
	out := w.wrap(cbor.Tag{Number: 107, Content: m})
	if w.err != nil {
		return nil, w.err
	}
	if _, err := Parse(out); err != nil {
		return nil, err
	}
	return out, nil
}
