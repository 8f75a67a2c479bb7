package slots_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
)

func TestCheck(t *testing.T) {
	const size = 3<<20 + 700
	content := pattern(12, size)
	img := rawImage(content)
	for _, tc := range []struct {
		name string
		do   func(r rig)
		want error
	}{
		{"as written", func(rig) {}, nil},
		{"first bit", func(r rig) { r.Poke("b", 0, []byte{content[0] ^ 1}) }, slots.ErrDigest},
		{"last bit", func(r rig) { r.Poke("b", size-1, []byte{content[size-1] ^ 0x80}) }, slots.ErrDigest},
		{"behind the image", func(r rig) { r.Poke("b", size, []byte{1}) }, nil},
	} {
		r := newRig(t, 1, 3<<20+1024)
		r.Poke("b", 0, content)
		tc.do(r)
		m, err := r.Blocks().OpenMedium("b")
		if err != nil {
			t.Fatal(err)
		}
		var p slots.Progress
		if err := slots.Check(t.Context(), m, img, func(x slots.Progress) { p = x }); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if p.Written != size || p.Size != size {
			t.Errorf("%s: last progress %+v", tc.name, p)
		}
	}
}

func TestCheckErrors(t *testing.T) {
	content := pattern(13, 5<<20)
	img := rawImage(content)
	r := newRig(t, 1, 5<<20)
	r.Poke("b", 0, content)
	m, err := r.Blocks().OpenMedium("b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	if err := slots.Check(ctx, m, img, func(slots.Progress) { n++; cancel() }); !errors.Is(err, context.Canceled) ||
		n != 1 {
		t.Errorf("cancelled: %v after %d", err, n)
	}
	big := img
	big.Size++
	if err := slots.Check(t.Context(), m, big, nil); !errors.Is(err, slots.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	r.Spoil("b", 4<<20+512)
	var me *slots.MediumError
	if err := slots.Check(t.Context(), m, img, nil); !errors.As(err, &me) || me.Op != "read" || me.Off != 4<<20 {
		t.Errorf("bad sector: %v", err)
	}
	r.Cut()
	if err := slots.Check(t.Context(), m, img, nil); !errors.Is(err, sim.ErrPowerCut) {
		t.Errorf("power cut: %v", err)
	}
}
