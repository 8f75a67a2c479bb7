// Package author writes SUIT envelopes: a release becomes the command sequences that devices run, and
// signers sign it. It is the desk's half of the profile that package manifest reads and holds each
// envelope against a device's own checks before it lets go of it. It never runs on a device.
//
// Nothing is kept here; the same release gives the same bytes.
package author

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
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
	if _, err := acceptable(env); err != nil {
		return nil, fmt.Errorf("cannot build release: a device would refuse it: %w", err)
	}
	if most := manifest.MaxEnvelope - SignatureRoom; len(env) > most {
		return nil, fmt.Errorf("cannot build release: the envelope has %d bytes without its signatures, which need "+
			"room: at most %d; let a payload be fetched instead of carried", len(env), most)
	}
	return env, nil
}

// SignatureRoom is how many bytes of an envelope Build leaves to its signatures: of four signers who have a pair of
// keys, the second of them ML-DSA-65.
const SignatureRoom = 16 << 10

// acceptable parses all of an envelope as a device would after the signatures.
func acceptable(env []byte) (manifest.Envelope, error) {
	e, err := manifest.Parse(env)
	if err != nil {
		return manifest.Envelope{}, err
	}
	return e, manifest.Check(e)
}

func (r Release) build() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	w := &suit.Writer{}
	envelope := map[any]any{}
	ids, shared, install, validate := r.sequences(w, envelope)
	m := map[int64]any{
		1:                1,
		2:                r.Sequence,
		3:                w.Wrap(map[int64]any{2: ids, 4: w.Wrap(shared)}),
		suit.KeyValidate: w.Wrap(validate),
		suit.KeyInstall:  w.Wrap(install),
	}
	if r.ReferenceURI != "" {
		m[4] = r.ReferenceURI
	}
	if r.Version != nil {
		m[6] = w.Wrap(r.Version)
	}
	if t := r.text(w); len(t) > 0 {
		text := w.Wrap(t)
		if len(text) > manifest.MaxText {
			return nil, fmt.Errorf("text of %d bytes, at most %d", len(text), manifest.MaxText)
		}
		envelope[int64(suit.KeyText)] = text
		m[suit.KeyText] = digested(w, manifest.Sum(w.Wrap(text)))
	}
	content := w.Wrap(m)
	envelope[int64(suit.KeyManifest)] = content
	signed := w.Wrap(digested(w, manifest.Sum(w.Wrap(content))))
	envelope[int64(suit.KeyAuthentication)] = w.Wrap([]any{signed})
	env := w.Wrap(cbor.Tag{Number: suit.TagEnvelope, Content: envelope})
	return env, w.Err
}

// text makes the text map.
func (r Release) text(w *suit.Writer) map[string]any {
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
			id, err := manifest.ParseComponentID(name)
			if err != nil {
				w.Err = errors.Join(w.Err, err)
				continue
			}
			one := fill(map[any]any{}, c.VendorName, c.ModelName, c.VendorDomain, c.ModelInfo, c.Description, c.Version)
			if len(one) > 0 {
				m[suit.Encoded(w.Wrap(id))] = one
			}
		}
		if len(m) > 0 {
			all[tag] = m
		}
	}
	return all
}

// Signer makes an authentication block.
type Signer interface {
	// Sign returns a tagged COSE_Sign1 over payload, which stays detached.
	Sign(payload, externalAAD []byte) (block []byte, err error)
}

// Sign adds a signer's block to an envelope that a device could accept. The signers before stay, so
// that several can sign the same file one after another.
func Sign(env []byte, s Signer) ([]byte, error) {
	e, err := acceptable(env)
	if err != nil {
		return nil, fmt.Errorf("cannot sign envelope: a device would refuse it: %w", err)
	}
	p := e.Parts()
	if len(p.Blocks) == manifest.MaxBlocks {
		return nil, fmt.Errorf("cannot sign envelope: it has %d signatures already", manifest.MaxBlocks)
	}
	block, err := s.Sign(p.Digest, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot sign envelope: %w", err)
	}
	for _, b := range p.Blocks {
		if bytes.Equal(b, block) {
			return nil, errors.New("cannot sign envelope: this signer has signed it already")
		}
	}
	p.Blocks = append(p.Blocks, block)
	out, err := assemble(p)
	if err != nil {
		return nil, fmt.Errorf("cannot sign envelope: %w", err)
	}
	return out, nil
}

// Sever drops the text from an envelope, for links where each byte counts. Signatures stay valid:
// they cover the text's digest. An envelope without text comes back as it is.
func Sever(env []byte) ([]byte, error) {
	e, err := manifest.Parse(env)
	if err != nil {
		return nil, fmt.Errorf("cannot sever text: %w", err)
	}
	p := e.Parts()
	delete(p.Severable, suit.KeyText)
	out, err := assemble(p)
	if err != nil {
		return nil, fmt.Errorf("cannot sever text: %w", err)
	}
	return out, nil
}

// assemble encodes an envelope's parts again. What is signed are the contents of byte strings,
// which stay as they are.
func assemble(p manifest.Parts) ([]byte, error) {
	w := &suit.Writer{}
	wrapper := []any{p.Digest}
	for _, b := range p.Blocks {
		wrapper = append(wrapper, b)
	}
	m := map[any]any{int64(suit.KeyAuthentication): w.Wrap(wrapper), int64(suit.KeyManifest): p.Manifest}
	for k, content := range p.Severable {
		m[k] = content
	}
	for name, content := range p.Integrated {
		m[name] = content
	}
	out := w.Wrap(cbor.Tag{Number: suit.TagEnvelope, Content: m})
	if w.Err != nil {
		return nil, w.Err
	}
	if _, err := manifest.Parse(out); err != nil {
		return nil, err
	}
	return out, nil
}

// digested is a SUIT_Digest as it is written.
func digested(w *suit.Writer, d manifest.Digest) []any { return w.Digest(d.Alg, d.Sum) }
