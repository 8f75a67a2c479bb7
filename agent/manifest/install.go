package manifest

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// PayloadPart is the last part of the identifier of a component that a device of this profile passes
// through: ['rootfs', 'payload'] is what ['rootfs'] is made of. It is fetched into and copied from,
// and never stored.
const PayloadPart = "payload"

// Place is where in the manifest a command stands, as a report says it.
type Place struct {
	Section, Offset int // as in Error
	Index           int // of the component

	step int // when it was executed, from 1 on
}

// Install is one image to write. Its digest is bound: an image-match follows its fetch.
type Install struct {
	Component   string
	URI         string   // where to fetch, "" with Content of a write and with From
	Mirrors     []string // other places of the same payload, in order
	Content     []byte   // payload that came with the manifest, nil otherwise
	From        string   // component whose known content is the payload, "" otherwise
	Encoding    int      // of the payload, once it is decrypted: EncodingRaw, EncodingZstd
	PayloadSize int64    // bytes to fetch, 0 when unknown
	Payload     Digest   // of the bytes to fetch where that is not Image and the manifest says it; else zero
	Encryption  Encryption
	Image       Digest // of the image, decrypted and decoded
	Size        int64  // bytes of the image, > 0
	ForSlot     bool   // made for this slot: the manifest would install something else, or nothing, in the other one
	Stored      Place  // the fetch, copy or write that puts it there
	Matched     Place  // the image-match that bound it; Stored for content whose digest is known
}

// brief says in a line what would be stored.
func (in *Install) brief() string {
	s := in.URI
	switch {
	case in.From != "":
		s = "from " + in.From
	case s == "":
		s = fmt.Sprintf("%d bytes of the manifest", len(in.Content))
	case in.Content != nil:
		s += fmt.Sprintf(", %d bytes of the envelope", len(in.Content))
	}
	if !in.Encryption.IsZero() {
		s += ", decrypted (" + contentAlgorithms[in.Encryption.alg].name + ")"
	}
	return s
}

func (p *processor) place(o *op, i int) Place {
	return Place{Section: p.section, Offset: o.offset, Index: i, step: p.steps}
}

// fetch notes what to fetch (draft-ietf-suit-manifest section 8.4.10.4). It does not decrypt
// (draft-ietf-suit-firmware-encryption, "Extended Directives").
func (p *processor) fetch(o *op, i int) error {
	c := &p.components[i]
	uri, ok := get[string](c.values, suit.ParameterURI)
	if !ok {
		return p.abort(o, i, CodeOperation, "uri is not set")
	}
	args, _ := get[fetchArguments](c.values, suit.ParameterFetchArgs)
	in := &Install{Component: c.name, URI: uri, Mirrors: args.mirrors, Encoding: args.encoding,
		PayloadSize: args.payloadSize, Stored: p.place(o, i)}
	c.content = nil
	if payload, ok := p.m.env.integrated[uri]; ok {
		in.Content = payload.content
		if n := int64(len(in.Content)); in.PayloadSize != 0 && in.PayloadSize != n {
			return p.abort(o, i, CodeOperation,
				fmt.Sprintf("integrated payload %s has %d bytes, not %d", uri, n, in.PayloadSize))
		} else if n == 0 {
			return p.abort(o, i, CodeOperation, fmt.Sprintf("integrated payload %s is empty", uri))
		}
		in.PayloadSize = int64(len(in.Content))
		if in.Encoding == EncodingRaw {
			c.content = in.Content
			in.Size = in.PayloadSize
		}
	} else if strings.HasPrefix(uri, "#") {
		return p.abort(o, i, CodeOperation, fmt.Sprintf("integrated payload %s is not in the envelope", uri))
	}
	p.hold(i, in)
	return nil
}

// write notes content that the manifest itself carries (section 8.4.10.6). Its digest is known, and
// bound with it, unless it is encrypted.
func (p *processor) write(o *op, i int) error {
	c := &p.components[i]
	b, ok := get[[]byte](c.values, suit.ParameterContent)
	if !ok {
		return p.abort(o, i, CodeOperation, "content is not set")
	}
	if len(b) == 0 { // it may be set so before it is set to what is written
		return p.abort(o, i, CodeOperation, "content is empty: a slot cannot hold an image of no bytes")
	}
	n := int64(len(b))
	in := &Install{Component: c.name, Content: b, PayloadSize: n, Stored: p.place(o, i)}
	if e, ok := get[Encryption](c.values, suit.ParameterEncryption); ok {
		in.Encryption, c.content = e, nil
		args, _ := get[fetchArguments](c.values, suit.ParameterFetchArgs)
		in.Encoding = args.encoding
	} else {
		in.Size, in.Image, in.Matched, c.content = n, p.sum(SHA256, b), in.Stored, b
	}
	p.hold(i, in)
	return nil
}

// copy notes that a component gets what another one holds at this point, decrypted where the
// parameter says how (section 8.4.10.5). Nothing is fetched twice: what would have been fetched into
// a source that is only passed through is fetched into the target.
func (p *processor) copy(o *op, f *frame, i int) error {
	c := &p.components[i]
	n, ok := get[uint64](c.values, suit.ParameterSource)
	if !ok {
		return p.abort(o, i, CodeOperation, "source-component is not set")
	}
	if int(n) == i {
		return p.abort(o, i, CodeOperation, "a component cannot be copied from itself")
	}
	from := &p.components[n]
	if f.loose {
		f.sources |= 1 << n
	}
	in := &Install{}
	switch {
	case from.install != nil:
		*in = *from.install
		if in.PayloadSize == 0 && in.Encoding == EncodingRaw && in.Encryption.IsZero() {
			in.PayloadSize, _ = get[int64](from.values, suit.ParameterSize)
		}
	case !from.holds.IsZero():
		in.From, in.Image = from.name, from.holds
	default:
		return p.abort(o, i, CodeOperation,
			"source component "+from.name+" is absent: what it holds was neither fetched nor verified")
	}
	c.content = from.content
	c.asked, c.chosen = c.asked || from.asked, c.chosen || from.chosen
	if e, ok := get[Encryption](c.values, suit.ParameterEncryption); ok {
		if in.Encoding != EncodingRaw || !in.Encryption.IsZero() {
			return p.abort(o, i, CodeParameter, "what is copied was encoded or encrypted already; the encoding below "+
				"the encryption is said by the target's fetch-arguments")
		}
		args, _ := get[fetchArguments](c.values, suit.ParameterFetchArgs)
		in.Encoding, in.Encryption, in.Payload = args.encoding, e, in.Image
		in.Image, in.Size, c.content = Digest{}, 0, nil
	}
	in.Component, in.Stored = c.name, p.place(o, i)
	if in.Image.IsZero() {
		in.Matched = Place{}
	}
	p.hold(i, in)
	return nil
}

// hold makes in what component i holds, in place of any earlier fetch.
//
//go:noinline
func (p *processor) hold(i int, in *Install) {
	c := &p.components[i]
	if c.install == nil {
		p.order = append(p.order, i)
	}
	c.install, c.holds = in, in.Image
}

// complete checks that what would be installed is fully described.
func (p *processor) complete() error {
	for i := range p.components {
		if c := &p.components[i]; !c.supported && !c.passed {
			return &Error{Code: CodeComponent, Offset: -1, Component: i,
				What: fmt.Sprintf("component %s does not exist on this device", c.name)}
		}
	}
	for _, i := range p.order {
		c := &p.components[i]
		if c.passed {
			continue // nothing of it is stored
		}
		in := c.install
		payload, plain := in.PayloadSize, in.PayloadSize-in.Encryption.Overhead()
		why := ""
		switch {
		case in.Image.IsZero() && in.Encryption.IsZero():
			why = fmt.Sprintf("component %s is fetched and never compared with a digest", in.Component)
		case in.Image.IsZero():
			why = fmt.Sprintf("component %s is decrypted and never compared with a digest", in.Component)
		case in.Size == 0:
			why = fmt.Sprintf("component %s is fetched and its image-size is not said", in.Component)
		case payload != 0 && plain <= 0:
			why = fmt.Sprintf("component %s: an encrypted payload of %d bytes holds nothing", in.Component, payload)
		case in.Encoding == EncodingRaw && payload != 0 && plain != in.Size:
			why = fmt.Sprintf("component %s: a raw payload of %d bytes cannot be an image of %d",
				in.Component, payload, in.Size)
		default:
			continue
		}
		return &Error{Code: CodeOperation, Section: in.Stored.Section, Offset: in.Stored.Offset,
			Component: i, What: why}
	}
	return nil
}
