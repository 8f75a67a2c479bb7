package manifest

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// parameter is one row of the parameter table (draft-ietf-suit-manifest section 8.4.8).
type parameter struct {
	name    string
	read    func(r *reader) (any, error) // the value, fully checked
	refused string                       // why the device profile does not know it, "" = it does
}

// parameters is the table; scope is the component, but for strict-order and soft-failure, which are
// the processor's.
var parameters = map[int64]parameter{
	suit.ParameterVendor:      {"vendor-identifier", readUUID, ""},
	suit.ParameterClass:       {"class-identifier", readUUID, ""},
	suit.ParameterDigest:      {"image-digest", readDigest, ""},
	suit.ParameterUseBefore:   {"use-before", readUint, ""},
	suit.ParameterSlot:        {"component-slot", readUint, ""},
	suit.ParameterStrictOrder: {"strict-order", readBool, ""},
	suit.ParameterSoftFailure: {"soft-failure", readBool, ""},
	suit.ParameterSize:        {"image-size", readSize, ""},
	suit.ParameterContent:     {"content", readContent, ""},
	suit.ParameterEncryption:  {"encryption-info", readEncryption, ""},
	suit.ParameterURI:         {"uri", readURI, ""},
	suit.ParameterSource:      {"source-component", readUint, ""},
	23:                        {"invoke-args", nil, whyLoader},
	suit.ParameterDevice:      {"device-identifier", readUUID, ""},
	suit.ParameterFetchArgs:   {"fetch-arguments", readFetchArguments, ""},
	suit.ParameterBattery:     {"minimum-battery", readUint, ""},
	suit.ParameterPriority:    {"update-priority", readInt, ""},
	suit.ParameterVersion:     {"version", readVersionMatch, ""},
	29:                        {"wait-info", nil, whyPolicy},
	30:                        {"component-metadata", nil, whyFiles},
}

// setting is a parameter with its value in an override-parameters or set-parameters.
type setting struct {
	key   int64
	value any
}

// values are the parameters of one component.
type values map[int64]any

// get returns a parameter of its table type.
func get[T any](v values, key int64) (T, bool) {
	t, ok := v[key].(T)
	return t, ok
}

func readUint(r *reader) (any, error) { return r.uint() }
func readInt(r *reader) (any, error)  { return r.int() }
func readBool(r *reader) (any, error) { return r.bool() }

func readSize(r *reader) (any, error) {
	n, err := r.uint()
	if err == nil && (n == 0 || n > math.MaxInt64) {
		return nil, r.errorf("size %d is out of range", n)
	}
	return int64(n), err
}

func readUUID(r *reader) (any, error) {
	if r.peek() == suit.MajorTag {
		return nil, &Error{Code: CodeParameter, Offset: -1,
			What: "identifiers by private enterprise number are not supported, use a UUID"}
	}
	b, err := r.bytes(16)
	if err != nil {
		return nil, err
	}
	if len(b) != 16 {
		return nil, r.errorf("UUID of %d bytes, want 16", len(b))
	}
	return UUID(b), nil
}

func readDigest(r *reader) (any, error) {
	b, err := r.bytes(MaxSmall)
	if err != nil {
		return nil, err
	}
	var d Digest
	err = wrapped(b, func(r *reader) (err error) {
		d, err = r.digest()
		return err
	})
	return d, err
}

func readContent(r *reader) (any, error) {
	b, err := r.bytes(MaxEnvelope)
	if b == nil {
		b = []byte{} // content that is empty is content
	}
	return b, err
}

func readURI(r *reader) (any, error) { return r.uri() }

// uri reads a URI reference (RFC 3986): printable ASCII without spaces, so that it can be shown and
// handed on as it is.
func (r *reader) uri() (string, error) {
	s, err := r.text(MaxURI)
	if err != nil {
		return "", err
	}
	if err := checkURI(s); err != nil {
		return "", r.errorf("%v", err)
	}
	return s, nil
}

func checkURI(s string) error {
	if s == "" {
		return errors.New("URI is empty")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Errorf("URI has a byte that is not allowed in URIs: 0x%02x", s[i])
		}
	}
	return nil
}

// Encodings of a payload (fetch-arguments key 2).
const (
	EncodingRaw  = 0 // the payload is the image
	EncodingZstd = 1 // concatenated zstd frames (RFC 8878)
)

// fetchArguments is parameter 25. Mirrors stand here and not in a try-each, because a directive that
// fails inside a try-each aborts the update.
type fetchArguments struct {
	mirrors     []string
	encoding    int
	payloadSize int64 // 0 = not said
}

func readFetchArguments(r *reader) (any, error) {
	b, err := r.bytes(MaxEnvelope)
	if err != nil {
		return nil, err
	}
	var a fetchArguments
	err = wrapped(b, func(r *reader) error {
		return r.pairs(0, 3, func(key []byte) error {
			k, _ := intKey(key)
			switch k {
			case suit.ArgumentMirrors:
				n, err := r.array(0, MaxMirrors)
				if err != nil {
					return err
				}
				for range n {
					s, err := r.uri()
					if err != nil {
						return err
					}
					a.mirrors = append(a.mirrors, s)
				}
				return nil
			case suit.ArgumentEncoding:
				n, err := r.uint()
				if n != EncodingRaw && n != EncodingZstd {
					return &Error{Code: CodeParameter, Offset: -1,
						What: fmt.Sprintf("payload encoding %d is not supported", n)}
				}
				a.encoding = int(n)
				return err
			case suit.ArgumentPayloadSize:
				n, err := readSize(r)
				if err == nil {
					a.payloadSize = n.(int64)
				}
				return err
			}
			return &Error{Code: CodeParameter, Offset: -1, What: "fetch-arguments have an unknown key"}
		})
	})
	return a, err
}

// parameters reads the argument of override-parameters and set-parameters.
func (r *reader) parameters(set, nested bool) ([]setting, error) {
	var list []setting
	err := r.pairs(1, MaxParameters, func(key []byte) error {
		k, ok := intKey(key)
		if !ok {
			return r.errorf("parameter is not an integer")
		}
		p, known := parameters[k]
		switch {
		case k <= -256:
			return &Error{Code: CodeParameter, Offset: -1, What: "custom parameter " + itoa(k) + " is not supported"}
		case !known:
			return &Error{Code: CodeParameter, Offset: -1, What: "parameter " + itoa(k) + " is unknown"}
		case p.refused != "":
			return &Error{Code: CodeParameter, Offset: -1,
				What: "parameter " + p.name + " is not supported: " + p.refused}
		case k == suit.ParameterSoftFailure && !nested:
			return &Error{Code: CodeParameter, Offset: -1,
				What: "soft-failure may be set within try-each and run-sequence only"}
		case set && (k == suit.ParameterDigest || k == suit.ParameterStrictOrder || k == suit.ParameterSoftFailure):
			return &Error{Code: CodeParameter, Offset: -1,
				What: "parameter " + p.name + " must be set with override-parameters"}
		}
		v, err := p.read(r)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.name, err)
		}
		list = append(list, setting{k, v})
		return nil
	})
	return list, err
}
