package suit

import (
	"encoding/hex"
	"errors"
	"fmt"

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
	var b []byte
	if err == nil {
		b, err = mode.Marshal(v)
	}
	w.Err = errors.Join(w.Err, err)
	return b
}

// Digest is a SUIT_Digest: the number of the algorithm and the bytes.
func (w *Writer) Digest(alg int, sum string) []any { return []any{alg, []byte(sum)} }

// maxShown is how many bytes of a byte string are shown.
const maxShown = 64

// Brief shows bytes in diagnostic notation (RFC 8949 section 8), cut where they are many.
func Brief(b []byte) string {
	if len(b) <= maxShown {
		return "h'" + hex.EncodeToString(b) + "'"
	}
	return fmt.Sprintf("h'%s' / ... %d bytes in all /", hex.EncodeToString(b[:maxShown/2]), len(b))
}
