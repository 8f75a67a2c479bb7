package ubootenv_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// pair makes two copies that differ in the slot they name.
func pair(t *testing.T, flagsA, flagsB int) (a, b []byte) {
	t.Helper()
	var err error
	if a, err = ubootenv.Encode([]string{"bootcmd=x", "BOOT_ORDER=A"}, size, flagsA); err != nil {
		t.Fatal(err)
	}
	if b, err = ubootenv.Encode([]string{"bootcmd=x", "BOOT_ORDER=B"}, size, flagsB); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// TestChoose: boot-formats 1.2, U-Boot's env_import_redund; and the model agrees.
func TestChoose(t *testing.T) {
	l := layouts[0]
	for _, c := range []struct {
		a, b       int
		badA, badB bool
		want       bootctl.Slot
		serial     byte // of the next write
		copy       int  // that it goes to
	}{
		{a: 1, b: 0, want: "A", serial: 2, copy: 1},
		{a: 1, b: 2, want: "B", serial: 3, copy: 0},
		{a: 7, b: 7, want: "A", serial: 8, copy: 1},
		{a: 0, b: 0, want: "A", serial: 1, copy: 1},
		{a: 0, b: 1, want: "B", serial: 2, copy: 0},
		{a: 255, b: 255, want: "A", serial: 0, copy: 1},
		{a: 255, b: 0, want: "B", serial: 1, copy: 0},
		{a: 0, b: 255, want: "A", serial: 1, copy: 1},
		{a: 254, b: 255, want: "B", serial: 0, copy: 0},
		{a: 255, b: 254, want: "A", serial: 0, copy: 1},
		{a: 255, b: 1, want: "A", serial: 0, copy: 1},
		{a: 1, b: 200, badB: true, want: "A", serial: 2, copy: 1},
		{a: 200, b: 1, badA: true, want: "B", serial: 2, copy: 0},
	} {
		a, b := pair(t, c.a, c.b)
		if c.badA {
			a[100] ^= 1
		}
		if c.badB {
			b[100] ^= 1
		}
		d := &boottest.Disk{}
		d.Put(l.copies[0].Path, a)
		d.Put(l.copies[1].Path, b)
		backend := l.backend(t, d)
		s, err := backend.State(t.Context())
		if err != nil || s.Next != c.want {
			t.Errorf("%+v: next is %q (%v)", c, s.Next, err)
		}
		if slot, _, _ := l.model(d.Clone(), nil).Boot(); slot != string(c.want) {
			t.Errorf("%+v: the loader boots %q", c, slot)
		}
		if err := backend.Refresh(t.Context(), c.want); err != nil {
			t.Fatal(err)
		}
		raw := l.raw(d)
		if raw[c.copy][4] != c.serial || !bytes.Equal(raw[1-c.copy], [][]byte{a, b}[1-c.copy]) {
			t.Errorf("%+v: serials %d, %d after a write", c, raw[0][4], raw[1][4])
		}
		if s, err := backend.State(t.Context()); err != nil || s.Next != c.want {
			t.Errorf("%+v: after a write next is %q (%v)", c, s.Next, err)
		}
	}
}

// TestForeign: entries of others stay byte for byte where they are.
func TestForeign(t *testing.T) {
	l := layouts[0]
	d := l.disk(t, "bootcmd=x")
	data := "# comment\x00bootcmd=a\\\\b\x00 BOOT_B_LEFT=1\x00novalue\x00empty=\x00BOOT_ORDER=A " +
		"B\x00dup=1\x00BOOT_B_LEFT=2\x00dup=2\x00caf\xc3\xa9=\xff\x00"
	for i, c := range l.copies {
		raw, err := ubootenv.Encode([]string{"x=" + strings.Repeat("y", 300)}, size, 1-i)
		if err != nil {
			t.Fatal(err)
		}
		copy(raw[5:], data+"\x00garbage after the end")
		fix(raw)
		d.Put(c.Path, raw)
	}
	if err := l.backend(t, d).Try(t.Context(), "B", 9); err != nil {
		t.Fatal(err)
	}
	want := "# comment\x00bootcmd=a\\\\b\x00BOOT_B_LEFT=9\x00novalue\x00empty=\x00BOOT_ORDER=B " +
		"A\x00dup=1\x00dup=2\x00caf\xc3\xa9=\xff\x00BOOT_A_LEFT=3\x00BOOT_A_GOOD=1\x00BOOT_B_GOOD=0\x00"
	got := l.raw(d)[1][5:]
	if !bytes.HasPrefix(got, []byte(want)) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
		t.Errorf("got  %q\nwant %q", bytes.TrimRight(got, "\x00"), want)
	}
}

// TestList: what U-Boot takes for a list of variables, and how it reads it (himport_r).
func TestList(t *testing.T) {
	for _, c := range []struct {
		name, data string
		next       bootctl.Slot // "" for invalid
	}{
		{"plain", "bootcmd=x\x00BOOT_ORDER=B A\x00", "B"},
		{"empty", "", "A"},
		{"the last entry counts", "BOOT_ORDER=B\x00BOOT_ORDER=A\x00", "A"},
		{"an empty value deletes", "BOOT_ORDER=B\x00BOOT_ORDER=\x00", "A"},
		{"no value deletes", "BOOT_ORDER=B\x00BOOT_ORDER\x00", "A"},
		{"blanks before the name", "\t BOOT_ORDER=B\x00", "B"},
		{"a comment", "#BOOT_ORDER=B\x00", "A"},
		{"escapes", "BOOT_ORDER=\\B \\\x00", "B"},
		{"to the last byte", "f=" + strings.Repeat("x", size-5-15) + "\x00BOOT_ORDER=B", "B"},
		{"an empty entry first", "\x00BOOT_ORDER=B\x00", ""},
		{"a value without a name", "BOOT_ORDER=B\x00=x\x00", ""},
	} {
		l := layouts[0]
		d := &boottest.Disk{}
		raw := make([]byte, size)
		copy(raw[5:], c.data)
		fix(raw)
		d.Put(l.copies[0].Path, raw)
		s, err := l.backend(t, d).State(t.Context())
		if (err != nil) != (c.next == "") || s.Next != c.next {
			t.Errorf("%s: next is %q (%v)", c.name, s.Next, err)
		}
		vars, err := l.model(d, nil).Environment()
		if err != nil {
			t.Fatal(err)
		}
		if got := vars["BOOT_ORDER"]; c.next != "" && strings.HasPrefix(got, "B") != (c.next == "B") {
			t.Errorf("%s: U-Boot reads %q", c.name, got)
		}
	}
}

func TestParseConfig(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []ubootenv.Location
		says     string
	}{
		{"single file", "/boot/uboot.env 0x0 0x4000\n",
			[]ubootenv.Location{{Path: "/boot/uboot.env", Size: 0x4000}}, ""},
		{"sizes are hexadecimal",
			"/boot/uboot.env 0 4000", []ubootenv.Location{{Path: "/boot/uboot.env", Size: 0x4000}}, ""},
		{"offsets are C literals",
			"/dev/sda 010 0X400 200 1\n/dev/sda 4096 400", []ubootenv.Location{
				{Path: "/dev/sda", Offset: 8, Size: 0x400}, {Path: "/dev/sda", Offset: 4096, Size: 0x400}}, ""},
		{"from the end",
			"# two\n\n\t\n/dev/sda -0x8000 0x4000 # last\n/dev/sda -0x4000 0x4000\r\n",
			[]ubootenv.Location{{Path: "/dev/sda", Offset: -0x8000, Size: 0x4000},
				{Path: "/dev/sda", Offset: -0x4000, Size: 0x4000}}, ""},
		{"nothing", "# only this\n", nil, "0 copies"},
		{"three", strings.Repeat("/boot/a 0 400\n", 3), nil, "third"},
		{"half a line", "/dev/sda 0 400\n/dev/sda\n", nil, "line 2"},
		{"offset", "/dev/sda 1_0 400", nil, "offset"},
		{"binary offset", "/dev/sda 0b1 400", nil, "offset"},
		{"size", "/dev/sda 0 xyz", nil, "size"},
		{"huge", "/dev/sda 0 ffffffff", nil, "size"},
		{"endless", "/dev/sda 0 fffffffffffffffff", nil, "size"},
		{"tiny", "/dev/sda 0 10", nil, "size"},
		{"unequal", "/dev/sda 0 400\n/dev/sda 800 800", nil, "different sizes"},
		{"overlap", "/dev/sda 0 400\n/dev/sda 0x3ff 400", nil, "overlap"},
		{"mtd", "/dev/mtd0 0 4000 1000", nil, "MTD"},
		{"ubi", "/dev/ubi0:env 0 4000", nil, "UBI"},
		{"yaml", "uboot:\n  size : 0x4000\n", nil, "YAML"},
		{"relative", "uboot.env 0 4000", nil, "absolute"},
		{"behind the end", "/dev/sda -0x100 0x400", nil, "before the end"},
		{"long", strings.Repeat("#", 70000), nil, "more than"},
	} {
		got, err := ubootenv.ParseConfig([]byte(c.in))
		if !slices.Equal(got, c.want) || (err == nil) != (c.says == "") ||
			err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestOptions(t *testing.T) {
	good := layouts[0].options()
	for name, change := range map[string]func(o *ubootenv.Options){
		"no slots":     func(o *ubootenv.Options) { o.Slots = nil },
		"twice":        func(o *ubootenv.Options) { o.Slots = []bootctl.Slot{"A", "A"} },
		"slot name":    func(o *ubootenv.Options) { o.Slots = []bootctl.Slot{"A=B"} },
		"no copies":    func(o *ubootenv.Options) { o.Copies = nil },
		"three copies": func(o *ubootenv.Options) { o.Copies = append(o.Copies, o.Copies...) },
		"tries":        func(o *ubootenv.Options) { o.FullTries = 10 },
		"defaults":     func(o *ubootenv.Options) { o.Defaults = []string{"bootcmd"} },
	} {
		o := good
		o.Copies = slices.Clone(good.Copies)
		change(&o)
		if _, err := ubootenv.New(&boottest.Disk{}, o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
