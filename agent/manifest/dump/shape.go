package dump

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// shape says how Write shows an item: what a byte string holds, what keys and elements are called.
// The zero shape shows any item plainly.
type shape struct {
	inner    func() shape                // byte string: its CBOR content
	nested   bool                        // inner is part of the section around it, offsets go on
	optional bool                        // inner may be empty: nothing stands for an empty map
	sequence bool                        // array of commands and arguments
	keys     func(int64) (string, shape) // map: integer keys
	other    func() shape                // map: values under text and array keys
	elements func(int) (string, shape)   // array
	content  func([]byte) string         // byte string: a note
	number   func(item) string           // integer: a note
	tag      func(uint64) shape          // what a tag holds
}

func (s shape) tagged(tag uint64) shape {
	if s.tag != nil {
		return s.tag(tag)
	}
	return s
}

func (s shape) element(i int) (string, shape) {
	if s.elements != nil {
		return s.elements(i)
	}
	return "", shape{}
}

// pair names a map's key and gives the shape of its value.
func (s shape) pair(key []byte) (string, shape) {
	c := &cursor{b: key, end: len(key)}
	if n, err := c.integer(); err == nil && c.pos == c.end {
		if s.keys == nil {
			return strconv.FormatInt(n, 10) + ": ", shape{}
		}
		name, sub := s.keys(n)
		if name == "" {
			name = "unknown"
		}
		return fmt.Sprintf("/ %s / %d: ", name, n), sub
	}
	sub := shape{}
	if s.other != nil {
		sub = s.other()
	}
	c.pos = 0
	if h, err := c.head(); err == nil && h.major == suit.MajorText && utf8.Valid(key[c.pos:]) {
		return strconv.Quote(manifest.Printable(string(key[c.pos:]))) + ": ", sub
	}
	if id, ok := component(key); ok {
		return fmt.Sprintf("/ component %s / %s: ", id, suit.Brief(key)), sub
	}
	return suit.Brief(key) + ": ", sub
}

// wrap is a byte string that holds CBOR of shape s.
func wrap(s func() shape) shape { return shape{inner: s} }

func tagNames(tag uint64) string {
	switch tag {
	case 107:
		return "SUIT envelope"
	case 1070:
		return "SUIT manifest"
	case 18:
		return "COSE_Sign1"
	case 98:
		return "COSE_Sign"
	case 17:
		return "COSE_Mac0"
	case 97:
		return "COSE_Mac"
	case 16:
		return "COSE_Encrypt0"
	case 96:
		return "COSE_Encrypt"
	}
	return ""
}

func shapeDocument() shape {
	return shape{tag: func(tag uint64) shape {
		switch tag {
		case 107:
			return shapeEnvelope()
		case 1070:
			return shapeManifest()
		}
		return shapeCOSE().tagged(tag)
	}}
}

func shapeEnvelope() shape {
	return shape{keys: func(k int64) (string, shape) {
		switch k {
		case suit.KeyAuthentication:
			return "authentication-wrapper", wrap(shapeWrapper)
		case suit.KeyManifest:
			return "manifest", wrap(shapeManifest)
		case suit.KeyText:
			return manifest.ElementName(k), wrap(shapeText)
		case suit.KeyCoSWID:
			return manifest.ElementName(k), wrap(shapePlain)
		case 15, suit.KeyFetch, 18, suit.KeyInstall:
			return manifest.ElementName(k), wrap(shapeSequence)
		}
		return "", shape{}
	}}
}

func shapeWrapper() shape {
	return shape{elements: func(i int) (string, shape) {
		if i == 0 {
			return "/ digest / ", wrap(shapeDigest)
		}
		return fmt.Sprintf("/ block %d / ", i), wrap(shapeCOSE)
	}}
}

func shapeDigest() shape {
	return shape{elements: func(i int) (string, shape) {
		switch i {
		case 0:
			return "/ algorithm / ", shape{number: func(h item) string {
				if h.major == suit.MajorNint && h.arg < 1<<16 {
					return manifest.DigestName(-1 - int(h.arg))
				}
				return ""
			}}
		case 1:
			return "/ digest / ", shape{}
		}
		return "", shape{}
	}}
}

func shapePlain() shape { return shape{} }

func shapeCOSE() shape {
	return shape{tag: func(tag uint64) shape {
		switch tag {
		case 18:
			return shapeLayer("signature", shapePlain)
		case 98:
			return shapeLayer("signatures", func() shape { return shapeLayer("", shapePlain) })
		case 17, 97:
			return shapeLayer("tag", shapePlain)
		case 96:
			return shapeLayer("recipients", shapeRecipient)
		}
		return shape{}
	}}
}

// shapeRecipient is a COSE_recipient, which may hold recipients itself.
func shapeRecipient() shape {
	return shape{elements: func(i int) (string, shape) {
		if i == 2 {
			return "/ wrapped key / ", shape{}
		}
		return shapeLayer("recipients", shapeRecipient).elements(i)
	}}
}

// shapeLayer is one layer of a COSE structure: headers, payload, and last with elements of shape
// sub; a signature of a COSE_Sign has no payload and an empty last.
func shapeLayer(last string, sub func() shape) shape {
	return shape{elements: func(i int) (string, shape) {
		switch i {
		case 0:
			s := wrap(shapeHeaders)
			s.optional = true
			return "/ protected / ", s
		case 1:
			return "/ unprotected / ", shapeHeaders()
		case 2:
			if last == "" {
				return "/ signature / ", shape{}
			}
			return "/ payload / ", shape{}
		case 3:
			return "/ " + last + " / ", shape{elements: func(int) (string, shape) { return "", sub() }}
		}
		return "", shape{}
	}}
}

func shapeHeaders() shape {
	return shape{keys: func(k int64) (string, shape) {
		switch k {
		case suit.HeaderAlg:
			return "alg", shape{number: algorithmName}
		case suit.HeaderEphemeral:
			return "ephemeral key", shape{keys: func(k int64) (string, shape) {
				return map[int64]string{1: "kty", -1: "crv", -2: "x", -3: "y"}[k], shape{}
			}}
		}
		return map[int64]string{2: "crit", 3: "content type", suit.HeaderKeyID: "kid", suit.HeaderIV: "IV", 16: "typ",
			suit.HeaderSalt: "salt"}[k], shape{}
	}}
}

// algorithmName names the COSE algorithms of this profile, and older ones of the same mathematics.
func algorithmName(h item) string {
	if h.arg > 1<<20 {
		return ""
	}
	alg := int64(h.arg)
	if h.major == suit.MajorNint {
		alg = -1 - alg
	}
	if name := manifest.AlgorithmName(alg); name != "" {
		return name
	}
	return map[int64]string{
		-9: "ESP256", -19: "Ed25519", -51: "ESP384", -7: "ES256", -8: "EdDSA", 5: "HMAC 256/256",
	}[alg]
}

func shapeManifest() shape {
	return shape{keys: func(k int64) (string, shape) {
		switch k {
		case 3:
			return manifest.ElementName(k), wrap(shapeCommon)
		case 6:
			return manifest.ElementName(k), wrap(shapePlain)
		case 7, 8, 9, 15, suit.KeyFetch, 18, suit.KeyInstall, 24:
			s := shapeDigest() // where it is severable and stands in the envelope
			s.inner = shapeSequence
			return manifest.ElementName(k), s
		case suit.KeyText:
			s := shapeDigest()
			s.inner = shapeText
			return manifest.ElementName(k), s
		case suit.KeyCoSWID:
			s := shapeDigest()
			s.inner = shapePlain
			return manifest.ElementName(k), s
		}
		return manifest.ElementName(k), shape{}
	}}
}

func shapeCommon() shape {
	return shape{keys: func(k int64) (string, shape) {
		switch k {
		case 1:
			return "dependencies", shape{}
		case 2:
			return "components", shape{elements: func(i int) (string, shape) {
				return fmt.Sprintf("/ component %d / ", i),
					shape{elements: func(int) (string, shape) { return "", shape{content: ascii} }}
			}}
		case 4:
			return "shared-sequence", wrap(shapeSequence)
		}
		return "", shape{}
	}}
}

// ascii shows the bytes of a component identifier that are text.
func ascii(b []byte) string {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return strconv.Quote(string(b))
}

func shapeText() shape {
	names := func(list ...string) func(int64) (string, shape) {
		return func(k int64) (string, shape) {
			if k >= 1 && int(min(k, 1<<20)) <= len(list) {
				return list[k-1], shape{}
			}
			return "", shape{}
		}
	}
	component := func() shape {
		return shape{keys: names("vendor-name", "model-name", "vendor-domain", "model-info",
			"component-description", "component-version", "version-required", "current-version")}
	}
	return shape{other: func() shape {
		return shape{
			keys:  names("manifest-description", "update-description", "manifest-json-source", "manifest-yaml-source"),
			other: component,
		}
	}}
}

func shapeSequence() shape { return shape{sequence: true} }

// shapeArgument is the shape of a command's argument.
func shapeArgument(code int64) shape {
	switch code {
	case suit.CommandTryEach:
		return shape{elements: func(i int) (string, shape) {
			return fmt.Sprintf("/ branch %d / ", i), shape{inner: shapeSequence, nested: true}
		}}
	case suit.CommandRunSequence:
		return shape{inner: shapeSequence, nested: true}
	case suit.CommandOverride, suit.CommandSetParams:
		return shape{keys: shapeParameter}
	case suit.CommandMultiple:
		return shape{keys: func(k int64) (string, shape) {
			return fmt.Sprintf("index %d", k), shape{keys: shapeParameter}
		}}
	}
	return shape{}
}

func shapeParameter(k int64) (string, shape) {
	name := manifest.ParameterName(k)
	switch k {
	case suit.ParameterVendor, suit.ParameterClass, suit.ParameterDevice:
		return name, shape{content: func(b []byte) string {
			if len(b) != 16 {
				return ""
			}
			return manifest.UUID(b).String()
		}}
	case suit.ParameterDigest:
		return name, wrap(shapeDigest)
	case suit.ParameterUseBefore:
		return name, shape{number: func(h item) string { return epoch(h.arg) }}
	case suit.ParameterVersion, 29, 30:
		return name, wrap(shapePlain)
	case suit.ParameterEncryption:
		return name, wrap(shapeCOSE)
	case suit.ParameterFetchArgs:
		return name, wrap(func() shape {
			return shape{keys: func(k int64) (string, shape) {
				return map[int64]string{suit.ArgumentMirrors: "mirrors", suit.ArgumentEncoding: "encoding",
					suit.ArgumentPayloadSize: "payload-size"}[k], shape{}
			}}
		})
	}
	return name, shape{}
}

// component reads a component identifier: an array of byte strings.
func component(b []byte) (id manifest.ComponentID, ok bool) {
	c := &cursor{b: b, end: len(b)}
	h, err := c.head()
	if err != nil || h.major != suit.MajorArray || h.indefinite() || h.arg < 1 || h.arg > manifest.MaxParts {
		return nil, false
	}
	for range h.arg {
		part, err := c.head()
		if err != nil || part.major != suit.MajorBytes || part.indefinite() || part.arg < 1 ||
			part.arg > manifest.MaxPart ||
			part.arg > uint64(c.end-c.pos) {
			return nil, false
		}
		id = append(id, b[c.pos:c.pos+int(part.arg)])
		c.pos += int(part.arg)
	}
	return id, c.pos == c.end
}

// epoch writes a time given in seconds; one beyond the calendar's range stays a number.
func epoch(s uint64) string {
	if s > 253402300799 { // 9999-12-31
		return fmt.Sprintf("second %d of the epoch", s)
	}
	return time.Unix(int64(s), 0).UTC().Format(time.RFC3339)
}
