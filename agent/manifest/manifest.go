package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// Authority says who signed an envelope.
type Authority interface {
	// Authenticate returns the distinct signers that it accepts of blocks, which are detached COSE
	// blocks over payload with empty external data. It fails when they do not suffice.
	Authenticate(payload []byte, blocks [][]byte) (signers []string, err error)
}

// Manifest is a verified manifest, parsed completely. Only Verify makes one. The zero value is no
// manifest: Digest().IsZero(). It is a pointer to what never changes, so that it is cheap to hand on.
type Manifest struct{ verified *contents }

// contents are what a manifest says.
type contents struct {
	env        Envelope
	signers    []string
	sequence   uint64
	uri        string
	setVersion []int64
	components []ComponentID
	shared     sequence
	sections   []section // in the order in which they run
	text       map[string]texts
}

var nothing contents

//go:noinline
func (m Manifest) says() *contents { return cmp.Or(m.verified, &nothing) }

// section is one command sequence of the manifest.
type section struct {
	key     int
	seq     sequence
	severed bool // its digest is signed, the envelope does not carry it
}

// Verify checks, in this order, that the manifest has the digest that the wrapper states, that the
// Authority accepts the signatures over that digest, and only then parses the manifest, completely
// (draft-ietf-suit-manifest sections 6.1 and 6.2). An error is an *Error; ErrDigest, ErrUnsigned and
// the Authority's errors are found within it.
func Verify(e Envelope, a Authority) (Manifest, error) {
	signers, err := e.authenticate(a)
	if err != nil {
		return Manifest{}, err
	}
	m := &contents{env: e, signers: signers}
	if err := m.parse(); err != nil {
		return Manifest{}, refused(err, CodeParse, "manifest is malformed")
	}
	return Manifest{m}, nil
}

// Authenticate is the first half of Verify: digest and signatures, and then the digests of the
// elements that stand in the envelope. What the manifest says may be outside of this profile: it is
// for people who look at other people's envelopes, and makes nothing that could be installed.
func Authenticate(e Envelope, a Authority) (signers []string, err error) {
	signers, err = e.authenticate(a)
	if err != nil {
		return nil, err
	}
	left := maps.Clone(e.severable)
	r := &reader{b: e.manifest.content}
	err = r.pairs(0, 32, func(key []byte) error {
		k, _ := intKey(key)
		el, present := left[k]
		if !present {
			return r.skip(maxSkip)
		}
		delete(left, k)
		if r.peek() == suit.MajorBytes {
			return errors.New("element is both in the manifest and in the envelope")
		}
		return r.covers(k, el)
	})
	for key := range left {
		if err == nil {
			err = fmt.Errorf("envelope carries %s, about which the manifest says nothing", elements[key])
		}
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, refused(err, CodeParse, "manifest is malformed")
	}
	return signers, nil
}

// Check says what a device would refuse an envelope for whose signatures it accepts: a manifest that
// does not have the digest that the wrapper states (ErrDigest), or one that is outside of this
// profile. It makes no Manifest. Verify gives the same errors as an *Error.
func Check(e Envelope) error {
	m := &contents{env: e}
	if err := m.parse(); err != nil {
		return err
	}
	if !e.Matches() {
		return ErrDigest
	}
	return nil
}

func (e Envelope) authenticate(a Authority) ([]string, error) {
	if e.raw == nil {
		return nil, &Error{Code: CodeParse, Offset: -1, What: "there is no envelope"}
	}
	if !e.Matches() {
		return nil, &Error{Code: CodeUnauthorised, Offset: -1, What: "envelope was changed or damaged", Err: ErrDigest}
	}
	if len(e.blocks) == 0 {
		return nil, &Error{Code: CodeUnauthorised, Offset: -1, What: "no signature", Err: ErrUnsigned}
	}
	signers, err := a.Authenticate(e.signed, e.blocks)
	if err != nil {
		return nil, &Error{Code: CodeUnauthorised, Offset: -1, What: "signatures are not accepted", Err: err}
	}
	if len(signers) == 0 {
		return nil, &Error{Code: CodeUnauthorised, Offset: -1, What: "nobody signed", Err: ErrUnsigned}
	}
	return slices.Clone(signers), nil
}

// Digest is the manifest's digest, its identity.
func (m Manifest) Digest() Digest { return m.says().env.claimed }

// Sequence is the sequence number; a higher one is newer.
func (m Manifest) Sequence() uint64 { return m.says().sequence }

// Components lists the components in the order of their indices.
func (m Manifest) Components() []ComponentID {
	list := make([]ComponentID, len(m.says().components))
	for i, c := range m.says().components {
		for _, part := range c {
			list[i] = append(list[i], bytes.Clone(part))
		}
	}
	return list
}

// Signers are the distinct signers that the Authority accepted.
func (m Manifest) Signers() []string { return slices.Clone(m.says().signers) }

// ReferenceURI is where the full manifest can be found, "" when not said. It is printable ASCII.
func (m Manifest) ReferenceURI() string { return m.says().uri }

// SetVersion is the version of the whole release, nil when not said.
func (m Manifest) SetVersion() []int64 { return slices.Clone(m.says().setVersion) }

// Envelope returns the envelope's bytes as they came, to be stored, parsed and verified again.
func (m Manifest) Envelope() []byte { return m.says().env.Raw() }

// parse reads the whole manifest (draft-ietf-suit-manifest section 8.4).
func (m *contents) parse() error {
	var (
		b        = &builder{}
		seen     = map[int64]bool{}
		sections = map[int]section{}
	)
	r := &reader{b: m.env.manifest.content}
	err := r.pairs(3, 16, func(key []byte) error {
		k, ok := intKey(key)
		if !ok {
			return errors.New("manifest key is not an integer")
		}
		if len(seen) == 0 && k != 1 {
			return errors.New("manifest-version is missing")
		}
		seen[k] = true
		var err error
		switch k {
		case 1:
			var v uint64
			if v, err = r.uint(); err == nil && v != 1 {
				return fmt.Errorf("manifest-version %d is not supported, only 1", v)
			}
		case 2:
			m.sequence, err = r.uint()
		case 3:
			err = m.common(r, b)
		case 4:
			m.uri, err = r.uri()
		case 6:
			err = m.readSetVersion(r)
		case suit.KeyValidate, suit.KeyFetch, suit.KeyInstall:
			sections[int(k)], err = m.section(r, b, int(k))
		case suit.KeyText:
			err = m.readText(r)
		case suit.KeyCoSWID:
			err = m.coswid(r)
		default:
			if refusedElements[k] != "" {
				return unsupported(r, k)
			}
			return fmt.Errorf("manifest key %d is unknown", k)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", elements[k], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.end(); err != nil {
		return err
	}
	return m.complete(b, seen, sections)
}

func (m *contents) readSetVersion(r *reader) error {
	content, err := r.bytes(MaxSmall)
	if err != nil {
		return err
	}
	return wrapped(content, func(r *reader) (err error) {
		m.setVersion, err = r.version()
		return err
	})
}

// complete checks that nothing is missing and nothing is left over, and puts the sections in their order.
func (m *contents) complete(b *builder, seen map[int64]bool, sections map[int]section) error {
	if !seen[2] || b.components == 0 {
		return errors.New("manifest-sequence-number or the components are missing")
	}
	for key := range m.env.severable {
		if !seen[key] && key != suit.KeyText { // a text without a digest is nobody's, and shown to nobody
			return fmt.Errorf("envelope carries %s, about which the manifest says nothing", elements[key])
		}
	}
	// draft-ietf-suit-manifest section 8.4.6, the Update procedure; without dependencies it has no more.
	for _, key := range []int{suit.KeyFetch, suit.KeyInstall, suit.KeyValidate} {
		if s, ok := sections[key]; ok {
			m.sections = append(m.sections, s)
		}
	}
	return nil
}

// unsupported makes the error of an element that the profile refuses. For a section it names the
// place of the first command that the profile refuses too, else that of its first command.
func unsupported(r *reader, key int64) error {
	e := &Error{Code: elementCode(key), Offset: -1, What: elements[key] + " is not supported: " + refusedElements[key]}
	if e.Code != CodeCommand {
		return e
	}
	e.Section = int(key)
	content, _ := r.bytes(MaxEnvelope) // what is none holds no commands
	seq := &reader{b: content}
	n, err := seq.array(2, 2*MaxCommands)
	if err != nil {
		return e
	}
	e.Offset = seq.pos
	for range n / 2 {
		at := seq.pos
		code, err := seq.int()
		if commands[code].refused != "" {
			e.Offset = at
			break
		}
		if err != nil || seq.skip(maxSkip) != nil {
			break
		}
	}
	return e
}

// coswid reads over a software identifier (draft-ietf-suit-update-management, "suit-coswid"): a
// device that does not use it must not refuse the manifest for it.
func (m *contents) coswid(r *reader) error {
	content, severed, err := m.severable(r, suit.KeyCoSWID)
	if err != nil || severed {
		return err
	}
	mode, err := cbor.DecOptions{MaxNestedLevels: 16}.DecMode()
	if err != nil {
		return err
	}
	return mode.Wellformed(content)
}

// common reads the components and the shared sequence.
func (m *contents) common(r *reader, b *builder) error {
	content, err := r.bytes(MaxEnvelope)
	if err != nil {
		return err
	}
	return wrapped(content, func(r *reader) error {
		return r.pairs(1, 3, func(key []byte) error {
			k, _ := intKey(key)
			switch k {
			case 1:
				return &Error{Code: CodeComponent, Offset: -1, What: whyDependency}
			case 2:
				n, err := r.array(1, MaxComponents)
				if err != nil {
					return &Error{Code: CodeComponent, Offset: -1, What: "components are not acceptable", Err: err}
				}
				names := map[string]bool{}
				for range n {
					id, err := r.component()
					if err != nil {
						return err
					}
					if names[id.String()] {
						return fmt.Errorf("component %s is listed twice", id)
					}
					names[id.String()] = true
					m.components = append(m.components, id)
				}
				b.components = n
				return nil
			case 4:
				if b.components == 0 {
					return errors.New("components are missing")
				}
				content, err := r.bytes(MaxEnvelope)
				if err != nil {
					return err
				}
				m.shared, err = b.section(SectionShared, content)
				return err
			}
			return errors.New("key of common is unknown")
		})
	})
}

// section reads a command sequence that stands in the manifest, or the digest of one that stands in
// the envelope.
func (m *contents) section(r *reader, b *builder, key int) (section, error) {
	if b.components == 0 {
		return section{}, errors.New("components are missing")
	}
	content, severed, err := m.severable(r, int64(key))
	if err != nil || severed {
		return section{key: key, severed: severed}, err
	}
	seq, err := b.section(key, content)
	return section{key: key, seq: seq}, err
}

// severable reads an element that stands either in the manifest as a byte string or, under its
// digest, in the envelope (draft-ietf-suit-manifest section 8.4.12). The digest covers the whole
// item, its head included. An absent element is severed.
func (m *contents) severable(r *reader, key int64) (content []byte, severed bool, err error) {
	el, present := m.env.severable[key]
	if r.peek() == suit.MajorBytes || key == suit.KeyValidate {
		if present {
			return nil, false, errors.New("element is both in the manifest and in the envelope")
		}
		content, err = r.bytes(MaxEnvelope)
		return content, false, err
	}
	if !present {
		_, err := r.digest()
		return nil, err == nil, err
	}
	return el.content, false, r.covers(key, el)
}

// covers reads the digest of a severable element and compares it with the one in the envelope.
func (r *reader) covers(key int64, el element) error {
	d, err := r.digest()
	if err == nil && sum(d.Alg, el.item) != d {
		err = &Error{Code: CodeUnauthorised, Offset: -1,
			What: "severable element " + elements[key] + " was changed or damaged", Err: ErrDigest}
	}
	return err
}
