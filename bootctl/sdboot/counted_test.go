package sdboot_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
)

// typed are the lines of a slot whose kernel is named by these keys.
func typed(slot string, keys ...string) []string {
	out := []string{"title Ratchet " + slot, "options ratchet.slot=" + slot}
	for _, k := range keys {
		out = append(out, k+" /ratchet/"+slot+"/kernel.efi")
	}
	return out
}

// An entry whose trial would not be counted, or which the loader would not show, is refused before anything is written
// for it, wherever it stands and also while it is off; a trial that does not come up would be started for ever.
func TestUncountedEntriesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		good bool
	}{
		"linux": {[]string{"linux"}, true}, "uki": {[]string{"uki"}, true},
		"linux twice": {[]string{"linux", "linux"}, true},
		"efi":         {[]string{"efi"}, false}, "uki-url": {[]string{"uki", "uki-url"}, false},
		"linux and efi": {[]string{"linux", "efi"}, false}, "efi and linux": {[]string{"efi", "linux"}, false},
		"linux and uki": {[]string{"linux", "uki"}, false},
	} {
		for _, slot := range []string{"A", "B"} {
			for _, on := range []bool{true, false} {
				if slot == "A" && !on {
					continue // a machine has a slot that is on
				}
				d := disk(t)
				raw, err := sdboot.Encode(typed(slot, c.keys...), map[string]int64{"A": 2, "B": 1}[slot], on)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				d.Put(folder+"/ratchet-"+slot+".conf", raw)
				before := string(dump(d))
				b := backend(t, d)
				_, err = b.State(t.Context())
				for _, verr := range []error{err, b.Disable(t.Context(), "B"), b.Try(t.Context(), "B", 3),
					b.Refresh(t.Context(), "A")} {
					if (verr == nil) != c.good || errors.Is(verr, bootctl.ErrInvalid) ||
						verr != nil && !strings.Contains(verr.Error(), "ratchet-"+slot+".conf") {
						t.Errorf("%s in slot %s, on %v: %v", name, slot, on, verr)
					}
				}
				if !c.good && string(dump(d)) != before {
					t.Errorf("%s in slot %s, on %v: something was written", name, slot, on)
				}
			}
		}
	}
}

// What is refused is what the loader does not count: the model of 257 and newer boots such a trial for ever, that of
// 250 to 256 counts it.
func TestModelCountsByType(t *testing.T) {
	for key, counted := range map[string]struct{ before, since bool }{"linux": {true, true}, "efi": {true, false},
		"uki": {false, true}} {
		for _, old := range []bool{true, false} {
			d := disk(t)
			d.Put(folder+"/ratchet-B-7+3-0.conf",
				[]byte("sort-key ratchet\nversion 9\n"+strings.Join(typed("B", key), "\n")+"\n"))
			m := model(d, nil)
			m.Before257 = old
			boots := 0
			for ; boots < 20; boots++ {
				if slot, _, err := m.Boot(); err != nil || slot != "B" {
					break
				}
			}
			want := 20
			if old && key == "uki" {
				want = 0 // it does not know the key, and shows no entry
			} else if counted.before && old || counted.since && !old {
				want = 3
			}
			if boots != want {
				t.Errorf("%s, before 257 %v: %d boots of a trial with 3 tries, want %d", key, old, boots, want)
			}
		}
	}
}

// The model passes over an entry of two kinds from 257 on, and sorts two names of one trial by their tries.
func TestModelOfOddEntries(t *testing.T) {
	d := disk(t)
	d.Put(folder+"/ratchet-B-7+3-0.conf",
		[]byte("sort-key ratchet\nversion 9\n"+strings.Join(typed("B", "linux", "efi"), "\n")))
	if slot, _, err := model(d, nil).Boot(); err != nil || slot != "A" {
		t.Errorf("an entry of two kinds: %s boots, %v", slot, err)
	}
	d = disk(t)
	trial := []byte("sort-key ratchet\nversion 9\n" + strings.Join(typed("B", "linux"), "\n"))
	d.Put(folder+"/ratchet-B-7+2-1.conf", trial)
	d.Put(folder+"/ratchet-B-7+3-0.conf", trial)
	if ids, err := model(d, nil).Entries(); err != nil || ids[1] != "ratchet-B-7+3-0.conf" {
		t.Errorf("two names of one trial: %v, %v", ids, err)
	}
}
