package slots_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
)

// install is one try of the agent: write from the saved checkpoint on, read back.
func install(t *testing.T, r rig, img slots.Image, src *source, saved **slots.Checkpoint, serial bool) error {
	running, err := r.Identity().Root()
	if err != nil {
		return err
	}
	m, err := r.Blocks().OpenTarget("b", running)
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = slots.Write(t.Context(), m, img, src, slots.Options{Every: 64 * kib, From: *saved, Serial: serial,
		Save: func(c slots.Checkpoint) error {
			return r.Atomic(fmt.Sprint("checkpoint ", c.Written), func() { *saved = &c })
		}})
	if err != nil {
		return err
	}
	return slots.Check(t.Context(), m, img, nil)
}

// The power is cut at every operation of a write, in every way, and then, while it resumes, once more.
func TestPowerCuts(t *testing.T) {
	content := pattern(11, 260*kib+99)
	for _, enc := range []slots.Encoding{slots.Raw, slots.Zstd} {
		img, payload, most := rawImage(content), content, int64(64*kib)
		if enc == slots.Zstd {
			img, payload = zstdImage(t, content, 16*kib)
			most += 16 * kib // read ahead by the decoder
		}
		for _, serial := range []bool{true, false} {
			clean := newRig(t, 0, 300*kib)
			var none *slots.Checkpoint
			if err := install(t, clean, img, &source{data: payload}, &none, serial); err != nil {
				t.Fatal(err)
			}
			for op := int64(1); op <= clean.Ops(); op++ {
				for _, mode := range []sim.Mode{sim.Before, sim.Torn, sim.After} {
					seed := uint64(op)*10 + uint64(mode)
					name := fmt.Sprintf("seed %d, encoding %d, serial %v: cut %v operation %d",
						seed, enc, serial, mode, op)
					r := newRig(t, seed, 300*kib)
					r.Poke("b", 0, bytes.Repeat([]byte{0xaa}, 300*kib))
					var saved *slots.Checkpoint
					src := &source{data: payload}
					r.CutAt(op, mode)
					if err := install(t, r, img, src, &saved, serial); !errors.Is(err, sim.ErrPowerCut) {
						t.Fatalf("%s: %v", name, err)
					}
					cuts, first := 1, src.fetched
					for try := 0; ; try++ {
						r.PowerOn()
						if saved != nil && !bytes.Equal(r.Disk("b", 0, saved.Written), content[:saved.Written]) {
							t.Fatalf("%s: checkpoint %d names bytes that are not there", name, saved.Written)
						}
						if try == 0 && op%3 == 0 {
							r.CutAt(r.Ops()+op/3+1, mode)
						}
						before := src.fetched
						err := install(t, r, img, src, &saved, serial)
						if err == nil {
							break
						}
						if !errors.Is(err, sim.ErrPowerCut) {
							t.Fatalf("%s: %v", name, err)
						}
						cuts++
						first = max(first, src.fetched-before)
					}
					r.holds(content)
					if again := src.fetched - int64(len(payload)); again > int64(cuts)*most {
						t.Errorf("%s: %d cuts cost %d bytes, more than %d each", name, cuts, again, most)
					}
				}
			}
		}
	}
}
