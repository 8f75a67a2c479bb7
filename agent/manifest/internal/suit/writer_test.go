package suit_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// TestWriterKeepsItsError: what was encoded after a value that cannot be is of no use, and that is told.
func TestWriterKeepsItsError(t *testing.T) {
	var w suit.Writer
	if b := w.Wrap(map[int]any{2: []byte{7}, 1: suit.Encoded("\x80")}); !bytes.Equal(b,
		[]byte{0xa2, 1, 0x80, 2, 0x41, 7}) || w.Err != nil {
		t.Errorf("%x, %v", b, w.Err)
	}
	w.Wrap(make(chan int))
	w.Wrap(1)
	if w.Err == nil || !strings.Contains(w.Err.Error(), "chan int") {
		t.Errorf("after a value that cannot be encoded: %v", w.Err)
	}
}

// TestBrief: as many bytes as are shown whole, and one more.
func TestBrief(t *testing.T) {
	for n, want := range map[int]string{
		0: "h''", 64: "h'" + strings.Repeat("07", 64) + "'",
		65: "h'" + strings.Repeat("07", 32) + "' / ... 65 bytes in all /",
	} {
		if got := suit.Brief(bytes.Repeat([]byte{7}, n)); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}
