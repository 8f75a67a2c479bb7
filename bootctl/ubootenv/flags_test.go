package ubootenv_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// TestFlagsOfVariables: an environment whose flags keep U-Boot from counting a trial is refused before anything is
// written; flags of other variables, and those that leave ours alone, are not.
func TestFlagsOfVariables(t *testing.T) {
	for _, c := range []struct {
		flags string
		bad   string // the variable that is named, "" when the list is fine
	}{
		{flags: ""},
		{flags: "ethaddr:mc,ipaddr:i,eth.*addr:mr,[a-z]*addr:mr"},
		{flags: "BOOT_ORDER:sw,BOOT_A_LEFT:dw,BOOT_B_LEFT:xa,BOOT_A_GOOD:b,BOOT_B_GOOD:ba"},
		{flags: "BOOT_B_LEFT:dr,BOOT_B_LEFT:d"}, // the last one counts
		{flags: "BOOT_B_LEFT"},
		{flags: "BOOT_B_LEFT:?"},
		{flags: "boot_b_left:dr"},
		{flags: "BOOT_B_LEFT:dr", bad: "BOOT_B_LEFT"},
		{flags: "ethaddr:mc , BOOT_A_LEFT : so ", bad: "BOOT_A_LEFT"},
		{flags: "BOOT_B_LEFT:sc", bad: "BOOT_B_LEFT"},
		{flags: "BOOT_B_GOOD:sr", bad: "BOOT_B_GOOD"},
		{flags: "BOOT_ORDER:d", bad: "BOOT_ORDER"},
		{flags: "BOOT_A_LEFT:b", bad: "BOOT_A_LEFT"},
		{flags: "BOOT_.*:sr", bad: "BOOT_ORDER"},
		{flags: "BOOT_[AB]_LEFT:do", bad: "BOOT_ORDER"},
		{flags: "BOOT_?A_LEFT:dr", bad: "BOOT_ORDER"},
	} {
		for _, l := range []layout{layouts[0], layouts[3]} {
			vars := append(slices.Clone(factory), "BOOT_ORDER=A", "BOOT_A_LEFT=3", "BOOT_A_GOOD=1", "BOOT_B_LEFT=0",
				"BOOT_B_GOOD=0")
			if c.flags != "" {
				vars = append(vars, ".flags="+c.flags)
			}
			d := l.disk(t, vars...)
			b := l.backend(t, d)
			before := d.Writes()
			for verb, do := range map[string]func() error{
				"State":   func() error { _, err := b.State(t.Context()); return err },
				"Disable": func() error { return b.Disable(t.Context(), "B") },
				"Refresh": func() error { return b.Refresh(t.Context(), "A") },
			} {
				err := do()
				if c.bad == "" && err != nil {
					t.Errorf("%s, %q: %s: %v", l.name, c.flags, verb, err)
				} else if c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad) ||
					errors.Is(err, bootctl.ErrInvalid) || d.Writes() != before) {
					t.Errorf("%s, %q: %s: %v, %d writes", l.name, c.flags, verb, err, d.Writes()-before)
				}
			}
		}
	}
}

// TestModelOfFlags: a trial that U-Boot cannot count is not booted by our script, for it would be tried for ever.
func TestModelOfFlags(t *testing.T) {
	for _, l := range []layout{layouts[0], layouts[3]} {
		for _, access := range "roc" {
			d := l.disk(t, append(slices.Clone(factory), "BOOT_ORDER=B A", "BOOT_A_LEFT=3", "BOOT_A_GOOD=1",
				"BOOT_B_LEFT=2", "BOOT_B_GOOD=0", ".flags=BOOT_B_LEFT:d"+string(access))...)
			if slot, _, err := l.model(d, nil).Boot(); slot != "A" || err != nil {
				t.Errorf("%s, %c: %q boots, %v", l.name, access, slot, err)
			}
		}
	}
}

// TestOtherFormat: copies that are whole in the format of one copy, where two are configured, or the other way about,
// are not restored over: U-Boot may boot with them.
func TestOtherFormat(t *testing.T) {
	for _, c := range []struct {
		l    layout
		flag int
		say  string
	}{
		{layouts[0], -1, "two are configured"}, {layouts[1], -1, "two are configured"},
		{layouts[3], 1, "one is configured"}, {layouts[4], 0, "one is configured"},
	} {
		d := c.l.disk(t, factory...)
		raw, err := ubootenv.Encode(factory, size, c.flag)
		if err != nil {
			t.Fatal(err)
		}
		for _, loc := range c.l.copies {
			f := d.Get(loc.Path)
			copy(f[loc.Offset+int64(len(f))*b2i(loc.Offset < 0):], raw)
			d.Put(loc.Path, f)
			raw = make([]byte, size) // the second copy was never written
		}
		o := c.l.options()
		o.Defaults = factory
		b, err := ubootenv.New(d, o)
		if err != nil {
			t.Fatal(err)
		}
		before := d.Writes()
		err = b.Refresh(t.Context(), "A")
		if err == nil || errors.Is(err, bootctl.ErrInvalid) || !strings.Contains(err.Error(), c.say) ||
			d.Writes() != before {
			t.Errorf("%s: Refresh: %v, %d writes", c.l.name, err, d.Writes()-before)
		}
	}
}
