package hook_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/hook"
)

func FuzzParseState(f *testing.F) {
	seed := "version=1\nnext=A\nA.bootable=1\nA.confirmed=1\nA.tries=3\nB.bootable=0\nB.confirmed=0\nB.tries=0\n" +
		"max-tries=3\npower-safe=1\n"
	for _, s := range []string{seed, seed + "weakness=x\n", seed + "reboot-arg=0 tryboot\n", "", "\n",
		"version=1\n", "=\n", "next=A"} {
		f.Add([]byte(s))
	}
	slots := []bootctl.Slot{"A", "B"}
	f.Fuzz(func(t *testing.T, out []byte) {
		s, err := hook.ParseState(out, slots)
		if err != nil {
			return
		}
		if len(s.Slots) != 2 || s.Caps.MaxTries < 1 || s.Caps.MaxTries > bootctl.MaxTries {
			t.Errorf("taken: %+v", s)
		}
		if s.Next != "" && !s.Slots[s.Next].Bootable {
			t.Errorf("next is not bootable: %+v", s)
		}
	})
}
