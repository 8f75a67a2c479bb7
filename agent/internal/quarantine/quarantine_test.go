package quarantine_test

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/internal/quarantine"
)

// FuzzQuarantine: a copy of the quarantine file is read or passed over.
func FuzzQuarantine(f *testing.F) {
	seal := func(body []byte) []byte {
		b := append([]byte("RQ01"), 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
		return append(b, body...)
	}
	body, err := cbor.Marshal(map[int]any{1: 3, 2: []any{map[int]any{1: "sha256:00",
		2: []string{"sha256:11"}, 3: "health-failed"}}, 3: map[string]int{"sha256:00": 2}, 5: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, true)
	f.Add([]byte{0xa0}, true)
	f.Add([]byte("RQ01"), false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			b = seal(b) // as the checksum is no secret, a hostile copy has a good one
		}
		if n, err := quarantine.Decode(b); err == nil && n > len(b) {
			t.Errorf("%d entries in %d bytes", n, len(b))
		}
	})
}
