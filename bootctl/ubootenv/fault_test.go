package ubootenv_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal"
)

// fix makes the CRC of a redundant copy right.
func fix(raw []byte) { binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[5:])) }

// TestChanged: a writer that takes no lock writes between our reading and our writing.
func TestChanged(t *testing.T) {
	l := layouts[0]
	d := l.provisioned(t)
	reads := 0
	d.Opened = func(path string, a hal.Access) {
		if a == hal.ReadOnly && path == l.copies[0].Path {
			if reads++; reads == 2 {
				raw := d.Get(path)
				copy(raw[200:], "other=1")
				fix(raw)
				d.Put(path, raw)
			}
		}
	}
	before := d.Writes()
	if err := l.backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, bootctl.ErrChanged) {
		t.Errorf("Try: %v, want %v", err, bootctl.ErrChanged)
	}
	if d.Writes() != before {
		t.Error("it wrote")
	}
}

// TestNotVerified: what is read back is not what was written.
func TestNotVerified(t *testing.T) {
	for _, l := range []layout{layouts[0], layouts[3]} {
		d := l.provisioned(t)
		target := l.copies[len(l.copies)-1].Path
		if l.raw(d)[0][4] == 0 {
			target = l.copies[0].Path
		}
		wrote := false
		d.Before = func(int) error { wrote = true; return nil }
		d.Opened = func(path string, a hal.Access) {
			if wrote && a == hal.ReadOnly {
				for _, c := range l.copies {
					raw := d.Get(c.Path)
					raw[len(raw)-1] ^= 1 // a tail that never arrived
					d.Put(c.Path, raw)
				}
				wrote = false
			}
		}
		if err := l.backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, bootctl.ErrNotVerified) {
			t.Errorf("%s: Try: %v, want %v (%s)", l.name, err, bootctl.ErrNotVerified, target)
		}
	}
}

// TestEveryOperationFails: an I/O error at each operation is reported, and leaves the old or the new.
func TestEveryOperationFails(t *testing.T) {
	broken := errors.New("input/output error")
	for _, l := range layouts {
		seen := 0
		for i := 1; ; i++ {
			d := l.provisioned(t)
			hit := false
			d.Before = func(op int) error {
				if op == i {
					hit = true
					return broken
				}
				return nil
			}
			err := l.backend(t, d).Try(t.Context(), "B", 1)
			if !hit {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			seen++
			if !errors.Is(err, broken) {
				t.Errorf("%s, operation %d: %v", l.name, i, err)
			}
			d.Before = nil
			if s, err := l.backend(t, d).State(t.Context()); err != nil || s.Next != "A" && s.Next != "B" {
				t.Errorf("%s, operation %d: %+v, %v", l.name, i, s, err)
			}
		}
		if seen < 2 {
			t.Errorf("%s: %d operations", l.name, seen)
		}
	}
}

// flaky fails to read one path.
type flaky struct {
	*boottest.Disk
	bad map[string]bool
}

func (f flaky) Open(path string, a hal.Access) (hal.Medium, error) {
	m, err := f.Disk.Open(path, a)
	if f.bad[path] && a == hal.ReadOnly && err == nil {
		return badSector{m}, nil
	}
	return m, err
}

type badSector struct{ hal.Medium }

func (badSector) ReadAt([]byte, int64) (int, error) { return 0, errors.New("bad sector") }

// TestBadSector: a copy that cannot be read does not count; where none can, nothing is restored.
func TestBadSector(t *testing.T) {
	l := layouts[0]
	d := l.provisioned(t)
	f := flaky{d, map[string]bool{l.copies[0].Path: true}}
	b, err := ubootenv.New(f, l.options())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "A" {
		t.Errorf("one bad copy: %+v, %v", s, err)
	}
	f.bad[l.copies[1].Path] = true
	before := d.Writes()
	if _, err := b.State(t.Context()); err == nil || errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("two bad copies: %v", err)
	}
	if err := b.Refresh(t.Context(), "A"); err == nil || d.Writes() != before {
		t.Errorf("Refresh over bad sectors: %v", err)
	}
}

// TestRestore: what is needed to restore, and what is not restored.
func TestRestore(t *testing.T) {
	l := layouts[0]
	damage := func(d *boottest.Disk) {
		for _, c := range l.copies {
			raw := d.Get(c.Path)
			raw[size-1] ^= 1
			d.Put(c.Path, raw)
		}
	}
	for _, c := range []struct {
		name   string
		change func(o *ubootenv.Options, d *boottest.Disk)
		ok     bool
	}{
		{"a shadow copy", func(*ubootenv.Options, *boottest.Disk) {}, true},
		{"no shadow copy", func(o *ubootenv.Options, _ *boottest.Disk) { o.Shadow = "" }, false},
		{"a damaged shadow copy", func(_ *ubootenv.Options, d *boottest.Disk) {
			raw := d.Get("/var/shadow")
			raw[30] ^= 1
			d.Put("/var/shadow", raw)
		}, false},
		{"the configured size is wrong", func(o *ubootenv.Options, _ *boottest.Disk) {
			o.Copies = slices.Clone(o.Copies)
			for i := range o.Copies {
				o.Copies[i].Size = size / 2
			}
		}, false},
		{"defaults", func(o *ubootenv.Options, _ *boottest.Disk) {
			o.Shadow, o.Defaults = "", []string{"bootcmd=y", "BOOT_ORDER=B"}
		}, true},
	} {
		d := l.provisioned(t)
		damage(d)
		o := l.options()
		c.change(&o, d)
		b, err := ubootenv.New(d, o)
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Concat(l.raw(d)...)
		err = b.Refresh(t.Context(), "B")
		if !c.ok {
			if !errors.Is(err, bootctl.ErrInvalid) || !slices.Equal(slices.Concat(l.raw(d)...), before) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if slot, _, berr := l.model(d, nil).Boot(); err != nil || slot != "B" || berr != nil {
			t.Errorf("%s: %v; the loader boots %q (%v)", c.name, err, slot, berr)
		}
	}
}

// TestShadowIsKept: it follows the variables of others, and is not written for ours.
func TestShadowIsKept(t *testing.T) {
	l := layouts[0]
	d := l.provisioned(t)
	b := l.backend(t, d)
	first := string(d.Get("/var/shadow"))
	for range 2 {
		if err := b.Try(t.Context(), "B", 1); err != nil {
			t.Fatal(err)
		}
		if err := b.Refresh(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
	}
	if string(d.Get("/var/shadow")) != first {
		t.Error("the shadow copy is written for our own variables")
	}
	raw := l.raw(d)
	newer := 0
	if raw[1][4] > raw[0][4] {
		newer = 1
	}
	i := strings.Index(string(raw[newer]), "zz_last=1")
	raw[newer][i+8] = '2'
	fix(raw[newer])
	d.Put(l.copies[newer].Path, raw[newer])
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(d.Get("/var/shadow")), "zz_last=2") {
		t.Error("the shadow copy does not follow the variables of others")
	}
}

// TestFull: an environment without room is not changed.
func TestFull(t *testing.T) {
	l := layouts[0]
	d := l.disk(t, "bootcmd=x", "fill="+strings.Repeat("x", size-5-10-6-2))
	before := slices.Concat(l.raw(d)...)
	if err := l.backend(t, d).Try(t.Context(), "B", 1); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("Try: %v", err)
	}
	if !slices.Equal(slices.Concat(l.raw(d)...), before) {
		t.Error("it wrote")
	}
}

// TestMissingCopy: the second file is not there yet, as when U-Boot has never saved.
func TestMissingCopy(t *testing.T) {
	l := layouts[0]
	d := &boottest.Disk{}
	raw, err := ubootenv.Encode(factory, size, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.Put(l.copies[0].Path, raw)
	if err := l.backend(t, d).Try(t.Context(), "B", 1); err != nil {
		t.Fatal(err)
	}
	if slot, _, err := l.model(d, nil).Boot(); slot != "B" || err != nil {
		t.Errorf("the loader boots %q (%v)", slot, err)
	}
	dev := layouts[1]
	if _, err := dev.backend(t, &boottest.Disk{}).State(t.Context()); !errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("a device that is not there: %v", err)
	}
}

// noDir is a file system without the directory of one lock.
type noDir struct {
	*boottest.Disk
	missing string
	taken   *[]string
}

func (n noDir) Lock(ctx context.Context, path string) (func(), error) {
	if strings.HasPrefix(path, n.missing) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	*n.taken = append(*n.taken, path)
	return n.Disk.Lock(ctx, path)
}

func TestLocks(t *testing.T) {
	l := layouts[0]
	d := l.provisioned(t)
	release, err := d.Lock(t.Context(), "/run/lock")
	if err != nil {
		t.Fatal(err)
	}
	before := d.Writes()
	if err := l.backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, context.DeadlineExceeded) ||
		d.Writes() != before {
		t.Errorf("Try while the lock is held: %v", err)
	}
	release()

	var taken []string
	o := l.options()
	o.Locks = nil
	b, err := ubootenv.New(noDir{d, "/none", &taken}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Try(t.Context(), "B", 1); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/run/fw_printenv.lock", "/var/lock/fw_printenv.lock"}; !slices.Equal(taken, want) {
		t.Errorf("locks %q, want %q", taken, want)
	}
	if b, err = ubootenv.New(noDir{d, "/var/lock", &taken}, o); err != nil {
		t.Fatal(err)
	}
	if err := b.Try(t.Context(), "B", 2); err != nil {
		t.Errorf("without /var/lock: %v", err)
	}
	o.Locks = []string{"/var/lock/mine"}
	if b, err = ubootenv.New(noDir{d, "/var/lock", &taken}, o); err != nil {
		t.Fatal(err)
	}
	if err := b.Try(t.Context(), "B", 1); err == nil {
		t.Error("a configured lock that cannot be taken is left out")
	}
	if release, err := d.Lock(t.Context(), "/run/fw_printenv.lock"); err != nil {
		t.Errorf("a lock is still held: %v", err)
	} else {
		release()
	}
}

// TestRAUC: a board that was set up for RAUC, whose script counted the running slot down.
func TestRAUC(t *testing.T) {
	l := layouts[2]
	d := l.disk(t, "bootcmd=x", "BOOT_ORDER=A B", "BOOT_A_LEFT=1", "BOOT_B_LEFT=a")
	b := l.backend(t, d)
	s, err := b.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, bb := s.Slots["A"], s.Slots["B"]; !a.Confirmed || a.Tries != 1 || !bb.Bootable || bb.Confirmed ||
		bb.Tries != bootctl.MaxTries {
		t.Errorf("%+v", s)
	}
	if err := b.Try(t.Context(), "B", 2); err != nil {
		t.Fatal(err)
	}
	vars, err := l.model(d, nil).Environment()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"BOOT_ORDER": "B A", "BOOT_A_LEFT": "3", "BOOT_A_GOOD": "1",
		"BOOT_B_LEFT": "2", "BOOT_B_GOOD": "0"} {
		if vars[name] != want {
			t.Errorf("%s is %q, want %q", name, vars[name], want)
		}
	}
}

// TestFaults: an error of the medium is told, and the verb can be called again.
func TestFaults(t *testing.T) {
	for _, l := range layouts {
		boottest.Faults(t, boottest.Board{
			Slots: [2]bootctl.Slot{"A", "B"}, Factory: l.disk(t, factory...),
			Backend: func(d *boottest.Disk) bootctl.Backend { return l.backend(t, d) },
		}, func(d *boottest.Disk) {
			for _, c := range l.copies {
				f := d.Get(c.Path)
				f[c.Offset+int64(len(f))*b2i(c.Offset < 0)+c.Size/2] ^= 1
				d.Put(c.Path, f)
			}
		})
	}
}
