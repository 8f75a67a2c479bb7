package agent_test

import "testing"

// FuzzResend: a request sets the drain back, never forward.
func FuzzResend(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x01", "\x05", "\x18\x63", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\x20", "\x81\x01", "\xfb?\xf0\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newRig(t, 1).agent()
		if err := a.SetSent(10); err != nil {
			t.Fatal(err)
		}
		if next, err := a.Resend(b); err != nil || next < 1 || next > 11 {
			t.Errorf("next is %d: %v", next, err)
		}
	})
}
