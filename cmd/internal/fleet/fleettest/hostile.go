package fleettest

import (
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// Forged is a status with hostile texts that nobody signed.
func Forged(t testing.TB, id string) []byte {
	t.Helper()
	const evil = "\x1b]0;owned\x07\x1b[2J\u202e\u0085\u009b2J"
	payload, err := cbor.Marshal(map[int]any{1: 1, 2: id, 3: evil, 4: evil, 5: evil, 6: evil, 7: evil, 8: 7,
		10: []any{evil, evil, 1, uint64(1) << 60}, 11: evil, 12: []any{make([]byte, 16), 3, make([]byte, 32)},
		13: uint64(1) << 63, 14: evil, 17: evil})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := cbor.Marshal(cbor.Tag{Number: 18, Content: []any{[]byte{}, map[int]any{}, payload, []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}
