package suit

import (
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// Encoded is an item that is encoded already and serves as a map key.
type Encoded string

// MarshalCBOR gives the item as it is.
func (e Encoded) MarshalCBOR() ([]byte, error) { return []byte(e), nil }

// Writer encodes deterministically (RFC 8949 section 4.2.1). Err keeps what went wrong on the way; what
// was encoded is good only when it is nil at the end.
type Writer struct{ Err error }

// Wrap encodes v; within another value the result becomes a byte string.
func (w *Writer) Wrap(v any) []byte {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		w.Err = errors.Join(w.Err, err)
		return nil
	}
	b, err := mode.Marshal(v)
	if err != nil {
		w.Err = errors.Join(w.Err, err)
	}
	return b
}

// Digest is a SUIT_Digest: the number of the algorithm and the bytes.
func (w *Writer) Digest(alg int, sum string) []any { return []any{alg, []byte(sum)} }
