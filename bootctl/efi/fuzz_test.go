package efi_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
)

// FuzzVariables puts any bytes where the variables are. Whatever it is: no panic, no write to what does not
// validate, and the backend and the firmware's model read the same choice.
func FuzzVariables(f *testing.F) {
	a, b := load("ratchet A", true), load("ratchet B", true)
	f.Add(words(0x10, 0x1A), words(0x1A), a, b)
	f.Add(words(0, 0x1A, 0x1A), []byte{}, a, load("ratchet B", false))
	f.Add(words(0x1A, 0x10), []byte{}, a, load("ratchet B", false))
	f.Add(words(0x1A), words(0x10, 0), a[:20], b)
	f.Add([]byte{0x10}, []byte{0x1A}, load("ratchet B", true), load("\U0001f680", true))
	f.Add(words(0x10, 0x10, 0x1A), words(0x10), load("ratchet A ", true),
		append([]byte{1, 0, 0, 0, 255, 255}, b[6:]...))
	f.Fuzz(func(t *testing.T, first, once, a, b []byte) {
		d := &boottest.Disk{}
		v := d.Variables()
		v.Put(order, 7, first)
		v.Put(next, 7, once)
		v.Put(boot(0x10), 7, a)
		v.Put(boot(0x1A), 7, b)
		x := backend(t, d)
		before := string(v.Dump())
		s, err := x.State(t.Context())
		if err != nil {
			if x.Try(t.Context(), "B", 1) == nil || x.Disable(t.Context(), "B") == nil ||
				x.Confirm(t.Context(), "B") == nil {
				t.Error("invalid metadata is changed")
			}
			if string(v.Dump()) != before {
				t.Error("invalid metadata is written")
			}
			return
		}
		want, _, err := model(d.Clone(), nil).Boot()
		if err != nil {
			t.Fatal(err)
		}
		if s.Next != "" && (want == "A" || want == "B") && string(s.Next) != want {
			t.Errorf("the backend says %q is next, the firmware boots %q", s.Next, want)
		}
		if err := x.Confirm(t.Context(), "B"); err != nil {
			if errors.Is(err, bootctl.ErrNotVerified) || errors.Is(err, bootctl.ErrChanged) {
				t.Error(err)
			}
			return // it has no option
		}
		if s, err := x.State(t.Context()); err != nil || !s.Slots["B"].Confirmed {
			t.Errorf("after Confirm(B): %+v, %v", s, err)
		}
	})
}
