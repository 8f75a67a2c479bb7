package trust

import (
	"bytes"

	"github.com/fxamacker/cbor/v2"
)

// Encode writes v in the one form that documents of ours have: deterministic CBOR (RFC 8949 section
// 4.2.1). A nil slice or map is an empty one.
func Encode(v any) ([]byte, error) {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	mode, err := o.EncMode()
	if err != nil {
		return nil, errorf("internal error: cannot make a CBOR encoder: %w", err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		return nil, errorf("internal error: cannot encode: %w", err)
	}
	return b, nil
}

// Decode reads into v what Encode wrote, and nothing else: v encoded again must give the same bytes,
// so nothing is unknown, missing, doubled, reordered or written in a longer way. The bytes are never
// replaced by the encoding; it is only compared. Errors are ErrMalformed.
func Decode(b []byte, v any) error {
	if err := decode(b, v); err != nil {
		return err
	}
	again, err := Encode(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return errorf("%w: not the deterministic encoding of what it says", ErrMalformed)
	}
	return nil
}

// decode is Decode without the comparison. Containers are bounded before memory is spent on them.
func decode(b []byte, v any) error {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   maxDepth, MaxArrayElements: maxElements, MaxMapPairs: maxElements,
	}.DecMode()
	if err != nil {
		return errorf("internal error: cannot make a CBOR decoder: %w", err)
	}
	if err := mode.Unmarshal(b, v); err != nil {
		return errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
