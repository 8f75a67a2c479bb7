package sdboot_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestInvalid: entries of which it cannot be told what systemd-boot boots. Nothing but Refresh writes.
func TestInvalid(t *testing.T) {
	a := string(entry(t, "A", 2, true))
	for name, c := range map[string]string{
		"no sort-key":                 strings.Replace(a, "sort-key ratchet\n", "", 1),
		"another sort-key":            strings.Replace(a, "sort-key ratchet", "sort-key rescue", 1),
		"a machine-id":                strings.Replace(a, "sort-key", "machine-id 1\nsort-key", 1),
		"no version":                  strings.Replace(a, "version 2\n", "", 1),
		"two versions":                strings.Replace(a, "version 2", "version 2\nversion 3", 1),
		"a word":                      strings.Replace(a, "version 2", "version two", 1),
		"a zero in front":             strings.Replace(a, "version 2", "version 02", 1),
		"B's version":                 strings.Replace(a, "version 2", "version 1", 1),
		"after a NUL":                 a + "\x00x",
		"too long to be switched off": strings.Replace(a, "title", "options "+strings.Repeat("x", 345)+"\ntitle", 1),
		"long":                        a + strings.Repeat("#\n", 4000),
	} {
		d := disk(t)
		if err := backend(t, d).Refresh(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		d.Put(folder+"/ratchet-A.conf", []byte(c))
		b := backend(t, d)
		before := dump(d)
		if _, err := b.State(t.Context()); !errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, bootctl.ErrInvalid)
		}
		if err := b.Confirm(t.Context(), "B"); !errors.Is(err, bootctl.ErrInvalid) || !bytes.Equal(dump(d), before) {
			t.Errorf("%s: Confirm: %v", name, err)
		}
		err := b.Refresh(t.Context(), "A")
		if strings.HasPrefix(name, "too long") {
			if err == nil || !strings.Contains(err.Error(), "shorten") {
				t.Errorf("%s: Refresh: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: Refresh: %v", name, err)
		}
		s, err := b.State(t.Context())
		if err != nil || s.Next != "A" || s.Slots["B"].Bootable {
			t.Errorf("%s: after Refresh %+v (%v)", name, s, err)
		}
		if slot, _, err := model(d, nil).Boot(); slot != "A" || err != nil {
			t.Errorf("%s: after Refresh the loader boots %q (%v)", name, slot, err)
		}
	}
}

// TestGone: the slot's own file is not there; it is made again from the shadow copy.
func TestGone(t *testing.T) {
	d := disk(t)
	b := backend(t, d)
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"A", "B"} {
		if err := d.Remove(folder + "/ratchet-" + n + ".conf"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Refresh(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	if slot, args, err := model(d, nil).Boot(); slot != "B" ||
		!strings.Contains(args, "root=PARTLABEL=rootfs-B") || err != nil {
		t.Errorf("the loader boots %q with %q (%v)", slot, args, err)
	}
	if err := b.Try(t.Context(), "A", 2); err != nil {
		t.Error(err)
	}
	bare := &boottest.Disk{}
	if err := backend(t, bare).Refresh(t.Context(), "A"); !errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("restored from nothing: %v", err)
	}
}

// unmounted has no such folder.
type unmounted struct{ *boottest.Disk }

func (unmounted) List(string) ([]string, error) { return nil, fs.ErrNotExist }

// TestNotMounted: a partition that is not mounted is not taken for lost metadata, and nothing is made there.
func TestNotMounted(t *testing.T) {
	d := unmounted{disk(t)}
	b, err := sdboot.New(d, sdboot.Options{Folder: folder, Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		t.Fatal(err)
	}
	before := d.Writes()
	if _, err := b.State(t.Context()); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("State: %v", err)
	}
	if err := b.Refresh(t.Context(), "A"); err == nil || d.Writes() != before {
		t.Errorf("Refresh: %v", err)
	}
}

// TestOtherWriter: systemd-bless-boot and bootctl take no lock and may write at any time.
func TestOtherWriter(t *testing.T) {
	own := folder + "/ratchet-B.conf"
	for _, c := range []struct {
		reads int // before it writes
		want  error
	}{{1, bootctl.ErrChanged}, {3, bootctl.ErrNotVerified}} {
		d := disk(t)
		n := 0
		d.Opened = func(path string, a hal.Access) {
			if path != own || a != hal.ReadOnly {
				return
			}
			if n++; n == c.reads+1 {
				raw := d.Get(own)
				raw[len(raw)-1]++
				d.Put(own, raw)
			}
		}
		before := d.Writes()
		if err := backend(t, d).Disable(t.Context(), "B"); !errors.Is(err, c.want) {
			t.Errorf("Disable: %v, want %v", err, c.want)
		}
		if c.want == bootctl.ErrChanged && d.Writes() != before {
			t.Error("it wrote")
		}
	}
}

// TestOrder: of two entries of a slot the one that the loader takes is switched off last, so that the
// choice does not change half way.
func TestOrder(t *testing.T) {
	d := disk(t)
	d.Put(folder+"/ratchet-B-5+2-1.conf", entry(t, "B", 5, true))
	writes := 0
	d.Before = func(int) error {
		if writes++; writes > 2 { // a write and its sync
			return errors.New("no more")
		}
		return nil
	}
	b := backend(t, d)
	if err := b.Disable(t.Context(), "B"); err == nil {
		t.Fatal("it needs one write only")
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "B" || s.Slots["B"].Tries != 2 ||
		s.Slots["B"].Confirmed {
		t.Errorf("half way it is %+v (%v)", s, err)
	}
	d.Before = nil
	if err := b.Disable(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "A" || s.Slots["B"].Bootable {
		t.Errorf("in the end it is %+v (%v)", s, err)
	}
}

func TestLocks(t *testing.T) {
	d := disk(t)
	release, err := d.Lock(t.Context(), "/run/lock")
	if err != nil {
		t.Fatal(err)
	}
	before := d.Writes()
	if err := backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, context.DeadlineExceeded) ||
		d.Writes() != before {
		t.Errorf("Try while the lock is held: %v", err)
	}
	release()
	if err := backend(t, d).Try(t.Context(), "B", 1); err != nil {
		t.Error(err)
	}
}

// TestFull: an entry must fit into a sector also when it is off.
func TestFull(t *testing.T) {
	if _, err := sdboot.Encode(append(lines("A"), "options "+strings.Repeat("x", 330)), 1, true); err == nil {
		t.Error("an entry that cannot be switched off is taken")
	}
	if _, err := sdboot.Encode([]string{"title nothing to start"}, 1, true); err == nil {
		t.Error("an entry that starts nothing is taken")
	}
}

func TestOptions(t *testing.T) {
	ab := []bootctl.Slot{"A", "B"}
	for _, o := range []sdboot.Options{
		{Folder: "entries", Slots: ab},
		{Folder: folder},
		{Folder: folder, Slots: []bootctl.Slot{"A", "a"}},
		{Folder: folder, Slots: []bootctl.Slot{"A-B"}},
		{Folder: folder, Slots: ab, Prefix: "../"},
		{Folder: folder, Slots: ab, Prefix: "auto-"},
		{Folder: folder, Slots: ab, Prefix: "a+b"},
	} {
		if _, err := sdboot.New(&boottest.Disk{}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestFaults: an error of the file system is told, and the verb can be called again.
func TestFaults(t *testing.T) {
	conf := func(slot string) string { return folder + "/ratchet-" + slot + ".conf" }
	for name, damage := range map[string]func(d *boottest.Disk){
		"all are empty": func(d *boottest.Disk) {
			names, _ := d.List(folder)
			for _, n := range names {
				if strings.HasPrefix(n, "ratchet-") {
					d.Put(folder+"/"+n, make([]byte, sdboot.Size))
				}
			}
		},
		"A has no version": func(d *boottest.Disk) {
			d.Put(conf("A"), bytes.Replace(d.Get(conf("A")), []byte("version "), []byte("versio1 "), 1))
		},
		"B's own entry is nonsense": func(d *boottest.Disk) {
			d.Put(conf("B"), entry(t, "B", 99, true)[:40])
		},
		"both have one version": func(d *boottest.Disk) {
			d.Put(conf("A"), entry(t, "A", 50, true))
			d.Put(conf("B"), entry(t, "B", 50, true))
		},
	} {
		t.Run(name, func(t *testing.T) {
			boottest.Faults(t, boottest.Board{
				Slots: [2]bootctl.Slot{"A", "B"}, Factory: disk(t), Halves: true,
				Backend: func(d *boottest.Disk) bootctl.Backend { return backend(t, d) },
			}, damage)
		})
	}
}
