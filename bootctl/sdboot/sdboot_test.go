package sdboot_test

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
)

const (
	folder = "/efi/loader/entries"
	config = "/efi/loader/loader.conf"
)

func lines(slot string) []string {
	return []string{"title Ratchet " + slot, "linux /ratchet/" + slot + "/vmlinuz",
		"initrd /ratchet/" + slot + "/initrd.img", "options root=PARTLABEL=rootfs-" + slot + " ro panic=10",
		"options ratchet.slot=" + slot}
}

func entry(t testing.TB, slot string, version int64, on bool) []byte {
	t.Helper()
	raw, err := sdboot.Encode(lines(slot), version, on)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// disk is a machine as it leaves the factory, with both slots good, and others' files.
func disk(t testing.TB) *boottest.Disk {
	d := &boottest.Disk{FAT: folder, Sectors: true}
	d.Put(config, []byte(sdboot.LoaderConf()))
	d.Put(folder+"/ratchet-A.conf", entry(t, "A", 2, true))
	d.Put(folder+"/ratchet-B.conf", entry(t, "B", 1, true))
	d.Put(folder+"/debian.conf", []byte("title Debian\nsort-key debian\nversion 99\nlinux /debian\noptions other\n"))
	return d
}

func backend(t testing.TB, d *boottest.Disk) *sdboot.Backend {
	b, err := sdboot.New(d, sdboot.Options{Folder: folder, Locks: []string{"/run/lock"}, Shadow: "/var/shadow",
		Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func model(d *boottest.Disk, loads func(string) bool) bootmodel.SystemdBoot {
	return bootmodel.SystemdBoot{FS: d, Folder: folder, Config: config, Loads: loads}
}

// dump is all that is in the folder.
func dump(d *boottest.Disk) []byte {
	names, _ := d.List(folder)
	var b bytes.Buffer
	for _, n := range names {
		fmt.Fprintf(&b, "%s\n%s\n", n, d.Get(folder+"/"+n))
	}
	return b.Bytes()
}

func TestConformance(t *testing.T) {
	boottest.Run(t, func(t *testing.T) boottest.Rig {
		d := disk(t)
		return boottest.Rig{
			Backend: backend(t, d),
			Slots:   [2]bootctl.Slot{"A", "B"},
			Stays:   true,
			Model:   func(loads func(string) bool) boottest.Model { return model(d, loads) },
			Raw:     func() []byte { return dump(d) },
			Foreign: func() string { return string(d.Get(folder+"/debian.conf")) + string(d.Get(config)) },
			Damage: func() {
				names, _ := d.List(folder)
				for _, n := range names {
					if strings.HasPrefix(n, "ratchet-") {
						d.Put(folder+"/"+n, make([]byte, sdboot.Size))
					}
				}
			},
		}
	})
}

var depth = flag.Int("depth", 3, "how many operations deep TestExplore goes")

// TestExplore cuts the power everywhere, with all names in one sector of the folder.
func TestExplore(t *testing.T) {
	d := disk(t)
	if err := backend(t, d).Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	counts := boottest.Explore(t, boottest.Board{
		Slots:   [2]bootctl.Slot{"A", "B"},
		Factory: d.PowerOn(),
		Backend: func(d *boottest.Disk) bootctl.Backend { return backend(t, d) },
		Model: func(d *boottest.Disk, loads func(string) bool) boottest.Model {
			m := model(d, loads)
			m.Once = true
			return m
		},
		Key: func(d *boottest.Disk) string {
			s, err := backend(t, d.Clone()).State(t.Context())
			ids, _ := model(d, nil).Entries()
			return fmt.Sprint(s, err, len(ids))
		},
		Atomic: true,
		First:  true,
		Tries:  []int{1, 3},
		Depth:  *depth,
	})
	t.Logf("%+v", counts)
	if counts.Cuts < 100 {
		t.Errorf("only %+v", counts)
	}
}

// TestTwoNames is the weakness that Caps names: a rename that was cut between two sectors of the folder
// leaves both names of the trial. systemd-boot cannot count it any more; a system that comes up can be
// confirmed or disabled all the same, and the two names, which may share clusters, are not deleted.
func TestTwoNames(t *testing.T) {
	for _, up := range []bool{true, false} {
		d := disk(t)
		b := backend(t, d)
		if err := b.Try(t.Context(), "B", 3); err != nil {
			t.Fatal(err)
		}
		names, _ := d.List(folder)
		i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, "+3-0") })
		one := strings.Replace(names[i], "+3-0", "+2-1", 1)
		d.Put(folder+"/"+one, d.Get(folder+"/"+names[i]))
		for range 5 {
			if slot, _, err := model(d, nil).Boot(); slot != "B" || err != nil {
				t.Fatalf("the loader boots %q (%v)", slot, err)
			}
		}
		want, end := bootctl.Slot("B"), b.Confirm
		if !up {
			want, end = "A", b.Disable
		}
		for range 2 {
			if err := end(t.Context(), "B"); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Refresh(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if s, err := b.State(t.Context()); err != nil || s.Next != want || s.Slots["B"].Confirmed != up ||
			s.Slots["B"].Bootable != up {
			t.Errorf("%+v, %v", s, err)
		}
		if d.Get(folder+"/"+one) == nil || d.Get(folder+"/"+names[i]) == nil {
			t.Error("a name that may share its clusters was deleted")
		}
		if s, err := b.State(t.Context()); err != nil || !strings.Contains(s.Caps.Layout, "several sectors") ||
			s.Caps.PowerSafe {
			t.Errorf("%+v, %v", s.Caps, err)
		}
	}
}

// TestOneWrite: each operation changes the choice with one write of one sector, and what a trial leaves
// behind does not pile up.
func TestOneWrite(t *testing.T) {
	d := disk(t)
	b := backend(t, d)
	for range 20 {
		for _, op := range []error{b.Disable(t.Context(), "B"), b.Try(t.Context(), "B", 2)} {
			if op != nil {
				t.Fatal(op)
			}
		}
		if _, _, err := model(d, nil).Boot(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := model(d, nil).Boot(); err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := d.List(folder); len(names) > 4 {
		t.Errorf("the folder has %q", names)
	}
	before := d.Writes()
	if err := b.Confirm(t.Context(), "A"); err != nil || d.Writes() != before {
		t.Errorf("confirming what is confirmed made %d operations (%v)", d.Writes()-before, err)
	}
	d.Put(folder+"/ratchet-B.conf", entry(t, "B", 77, true))
	d.Put(folder+"/ratchet-A.conf", entry(t, "A", 78, true))
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	before = d.Writes()
	// on trial and its own: a write and a sync each
	if err := b.Disable(t.Context(), "B"); err != nil || d.Writes() != before+2+2 {
		t.Errorf("Disable made %d operations (%v)", d.Writes()-before, err)
	}
}

// TestPadding: an entry that was written by hand is padded in a healthy boot, and Caps says so before.
func TestPadding(t *testing.T) {
	d := disk(t)
	raw := bytes.TrimRight(entry(t, "A", 2, true), "\n")
	d.Put(folder+"/ratchet-A.conf", raw)
	b := backend(t, d)
	s, err := b.State(t.Context())
	if err != nil || !strings.Contains(s.Caps.Layout, "not padded") || s.Caps.PowerSafe {
		t.Errorf("%+v, %v", s.Caps, err)
	}
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if got := d.Get(folder + "/ratchet-A.conf"); len(got) != sdboot.Size || !bytes.HasPrefix(got, raw) {
		t.Errorf("%q", got)
	}
	if s, err := b.State(t.Context()); err != nil || strings.Contains(s.Caps.Layout, "not padded") {
		t.Errorf("%+v, %v", s.Caps, err)
	}
}

// TestReference: the files that ship beside the package are what New, State and the loader take.
func TestReference(t *testing.T) {
	d := &boottest.Disk{}
	d.Put(config, []byte(sdboot.LoaderConf()))
	for _, slot := range []string{"A", "B"} {
		d.Put(folder+"/ratchet-"+slot+".conf", sdboot.Reference(slot))
	}
	s, err := backend(t, d).State(t.Context())
	if err != nil || s.Next != "A" || !s.Slots["A"].Confirmed || s.Slots["B"].Bootable ||
		!strings.Contains(s.Caps.Layout, "one sector") || !s.Caps.PowerSafe {
		t.Errorf("%+v, %v", s, err)
	}
	if slot, args, err := model(d, nil).Boot(); slot != "A" || !strings.Contains(args, "panic=10") || err != nil {
		t.Errorf("the loader boots %q with %q (%v)", slot, args, err)
	}
}
