package grubenv_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
)

const others = "saved_entry=debian\n# a comment\nnote=a \\\\ b\nORDER=A B\nmenu_auto_hide=1\n"

func padded(text string, size int) []byte {
	b := []byte("# GRUB Environment Block\n" + text)
	return append(b, bytes.Repeat([]byte("#"), size-len(b))...)
}

// foreign are the lines of others in the block.
func foreign(raw []byte) (kept string) {
	for _, line := range strings.SplitAfter(strings.TrimRight(string(raw), "#"), "\n") {
		if name, _, _ := strings.Cut(line, "="); !strings.HasPrefix(line, "# GRUB") && name != "ORDER" &&
			!strings.HasSuffix(name, "_OK") && !strings.HasSuffix(name, "_TRY") && !strings.HasSuffix(name, "_GOOD") {
			kept += line
		}
	}
	return kept
}

// GRUB takes a block of any size, that of its file: so does Ratchet, and neither the size nor the lines of others
// change.
func TestAnySize(t *testing.T) {
	for _, size := range []int{300, 512, 1000, 1023, 1024, 1025, 2048, 4096, grubenv.MaxSize} {
		d := &boottest.Disk{}
		d.Put(file, padded(others, size))
		b := machines[0].backend(t, d)
		for step, do := range []func() error{
			func() error { return b.Refresh(t.Context(), "A") },
			func() error { return b.Confirm(t.Context(), "A") },
			func() error { return b.Disable(t.Context(), "B") },
			func() error { return b.Try(t.Context(), "B", 1) },
		} {
			if err := do(); err != nil {
				t.Errorf("%d bytes: step %d: %v", size, step, err)
			}
			if raw := d.Get(file); len(raw) != size || foreign(raw) != foreign(padded(others, size)) {
				t.Errorf("%d bytes: after step %d there are %d, and of others %q", size, step, len(raw), foreign(raw))
			}
		}
		for _, want := range []string{"B", "A"} { // the trial's one boot is counted in the same block
			if slot, _, err := machines[0].model(d, nil).Boot(); slot != want || err != nil {
				t.Errorf("%d bytes: %q boots, want %s (%v)", size, slot, want, err)
			}
		}
		if st, err := b.State(t.Context()); err != nil || st.Slots["B"].Bootable || !st.Slots["B"].Exhausted {
			t.Errorf("%d bytes: %+v, %v", size, st, err)
		}
	}
}

// A block that has no room for our variables grows to the size of a new one; what others wrote stays.
func TestNoRoom(t *testing.T) {
	d := &boottest.Disk{}
	d.Put(file, padded(others, len("# GRUB Environment Block\n")+len(others)))
	b := machines[0].backend(t, d)
	if err := b.Confirm(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if raw := d.Get(file); len(raw) != grubenv.Size || foreign(raw) != foreign(padded(others, 1024)) {
		t.Errorf("%q", raw)
	}
}

// Of a block that does not validate, the lines of others before the fault stay, also without a shadow copy.
func TestRestoreKeepsWhatCanBeRead(t *testing.T) {
	for name, raw := range map[string][]byte{
		"the last line does not end": padded(others+"ORDER=A", 2048),
		"a line without =":           padded(others+"ORDER\n", 2048),
	} {
		d := &boottest.Disk{}
		d.Put(file, raw)
		b, err := grubenv.New(d, grubenv.Options{Path: file, Slots: []bootctl.Slot{"A", "B"}, Locks: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Refresh(t.Context(), "B"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := d.Get(file); len(got) != 2048 || foreign(got) != foreign(padded(others, 2048)) {
			t.Errorf("%s: %d bytes, of others %q", name, len(got), foreign(got))
		}
		if slot, _, err := machines[0].model(d, nil).Boot(); slot != "B" || err != nil {
			t.Errorf("%s: %q boots (%v)", name, slot, err)
		}
	}
}
