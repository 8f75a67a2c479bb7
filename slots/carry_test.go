package slots_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
)

// TestCarry: what another slot holds is copied like a payload, to its last byte, also where it ends behind the last
// whole page, and goes on from each position at which a checkpoint stands. What is not equal is found.
func TestCarry(t *testing.T) {
	const size = 3<<20 + 700
	content := pattern(14, size)
	img := rawImage(content)
	r := newRig(t, 1, 3<<20+1024)
	r.AddDisk("a", 3<<20+1024)
	r.Poke("a", 0, content)
	from, err := r.Blocks().OpenRunning("a")
	if err != nil {
		t.Fatal(err)
	}
	src := slots.Carried(from, size)
	for _, off := range []int64{0, hal.Align, 1 << 20, 3 << 20, size} {
		body, _, err := src.Open(t.Context(), off, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content[off:]) {
			t.Errorf("from byte %d: %d bytes, %v", off, len(got), err)
		}
	}
	for _, off := range []int64{-1, 1, size + 1} {
		if _, _, err := src.Open(t.Context(), off, ""); err == nil {
			t.Errorf("opened at byte %d", off)
		}
	}
	ctx, end := context.WithCancel(t.Context())
	body, _, err := src.Open(ctx, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	end()
	if _, err := io.ReadAll(body); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	to := r.open()
	if _, err := slots.Write(t.Context(), to, img, src, slots.Options{}); err != nil {
		t.Error(err)
	}
	if err := slots.Check(t.Context(), to, img, nil); err != nil {
		t.Error(err)
	}
	r.Poke("a", size-1, []byte{content[size-1] ^ 1})
	if _, err := slots.Write(t.Context(), to, img, src, slots.Options{}); !errors.Is(err, slots.ErrDigest) {
		t.Errorf("another last byte: %v", err)
	}
	r.Spoil("a", 2<<20)
	var medium *slots.MediumError
	if _, err := slots.Write(t.Context(), to, img, src, slots.Options{}); err == nil || errors.As(err, &medium) {
		t.Errorf("a sector that cannot be read: %v", err)
	}
}
