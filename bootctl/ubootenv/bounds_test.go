package ubootenv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// TestTries: our script takes one digit, RAUC's the hexadecimal digits that a value begins with. No value is the
// loader's default.
func TestTries(t *testing.T) {
	for left, want := range map[string][2]int{ // our script, RAUC's
		"": {3, 3}, "0": {0, 0}, "1": {1, 1}, "9": {9, 9}, "a": {0, 9}, "F": {0, 9}, ":": {0, 0}, "/": {0, 0}, "10": {0,
			9},
		"05": {0, 5}, "5x": {0, 5}, "-1": {0, 0}, "0x5": {0, 0}, " 5": {0, 0}, "fffffffff": {0, 9},
		"00000000000000000005": {0, 5},
	} {
		for i, l := range []layout{layouts[0], layouts[2]} {
			d := l.disk(t, "bootcmd=x", "BOOT_A_GOOD=1", "BOOT_B_GOOD=0", "x=y")
			raw := l.raw(d)[0]
			at := bytes.Index(raw, []byte("x=y\x00")) + 4
			copy(raw[at:], "BOOT_B_LEFT=7\x00BOOT_B_LEFT="+left+"\x00") // the last one counts
			fix(raw)
			d.Put(l.copies[0].Path, raw)
			s, err := l.backend(t, d).State(t.Context())
			if b := s.Slots["B"]; err != nil || b.Tries != want[i] || b.Bootable != (want[i] > 0) ||
				b.Exhausted != (want[i] == 0) {
				t.Errorf("%s, %q: %+v, %v; want %d tries", l.name, left, b, err, want[i])
			}
		}
	}
}

// TestCaps: what is said of each layout to whoever operates it.
func TestCaps(t *testing.T) {
	for _, c := range []struct {
		copies []ubootenv.Location
		layout string
		weak   string // "": safe
	}{
		{[]ubootenv.Location{{Path: "/boot/e", Size: size}, {Path: "/boot/f", Size: size}},
			"redundant environment in files", ""},
		{[]ubootenv.Location{{Path: "/dev/e", Size: size}, {Path: "/dev/f", Size: size}}, "redundant environment", ""},
		{[]ubootenv.Location{{Path: "/boot/e", Size: size, Kind: ubootenv.Block}, {Path: "/boot/f", Size: size}},
			"redundant environment", ""},
		{[]ubootenv.Location{{Path: "/boot/e", Size: size}}, "single environment file", "FAT"},
		{[]ubootenv.Location{{Path: "/dev/shm/e", Size: size, Kind: ubootenv.File}}, "single environment file", "FAT"},
		{[]ubootenv.Location{{Path: "/dev/e", Size: size}}, "single environment", "inside a write"},
	} {
		l := layout{copies: c.copies}
		d := &boottest.Disk{}
		for i, loc := range c.copies {
			raw, err := ubootenv.Encode(nil, size, i+len(c.copies)-2)
			if err != nil {
				t.Fatal(err)
			}
			d.Put(loc.Path, raw)
		}
		for _, watchdog := range []bool{true, false} {
			o := l.options()
			o.Watchdog, o.CountsConfirmed = watchdog, !watchdog
			b, err := ubootenv.New(d, o)
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.State(t.Context())
			got := s.Caps
			if !strings.Contains(got.Weakness, c.weak) || (got.Weakness == "") != (c.weak == "") {
				t.Errorf("%+v: weakness %q", c.copies, got.Weakness)
			}
			got.Weakness = ""
			want := bootctl.Caps{Backend: "u-boot", Layout: c.layout, PowerSafe: c.weak == "", MaxTries: 9,
				CountsConfirmed: !watchdog, Watchdog: watchdog}
			if err != nil || got != want {
				t.Errorf("%+v: %+v, %v; want %+v", c.copies, got, err, want)
			}
		}
	}
}

// TestEncode: the bytes of a new environment, and what none is made of.
func TestEncode(t *testing.T) {
	raw, err := ubootenv.Encode([]string{"a=b", "c=d=e"}, 64, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := append(make([]byte, 5), "a=b\x00c=d=e\x00"...)
	want = append(want, make([]byte, 64-len(want))...)
	want[4] = 7
	binary.LittleEndian.PutUint32(want, crc32.ChecksumIEEE(want[5:])) // the serial is not covered
	if !bytes.Equal(raw, want) {
		t.Errorf("redundant: %x, want %x", raw, want)
	}
	raw, err = ubootenv.Encode([]string{"a=b"}, 64, -1)
	single := append(make([]byte, 4), "a=b\x00"...)
	single = append(single, make([]byte, 64-len(single))...)
	binary.LittleEndian.PutUint32(single, crc32.ChecksumIEEE(single[4:]))
	if err != nil || !bytes.Equal(raw, single) {
		t.Errorf("single: %x, %v, want %x", raw, err, single)
	}
	fill := func(n int) []string { return []string{"a=" + strings.Repeat("x", n-2)} }
	for _, c := range []struct {
		vars  []string
		size  int64
		flags int
		ok    bool
	}{
		{nil, 63, -1, false}, {nil, 64, -1, true}, {nil, 1 << 20, 0, true}, {nil, 1<<20 + 1, 0, false},
		{nil, 64, 255, true}, {nil, 64, 256, false},
		{[]string{"a"}, 64, -1, false}, {[]string{"=b"}, 64, -1, false}, {[]string{"a="}, 64, -1, false},
		{[]string{"a=b\x00c"}, 64, -1, false}, {[]string{"a=b\x01c"}, 64, -1, true},
		{fill(64 - 4 - 2), 64, -1, true}, {fill(64 - 4 - 1), 64, -1, false}, // a NUL of its own, and one of the list
		{fill(64 - 5 - 2), 64, 0, true}, {fill(64 - 5 - 1), 64, 0, false},
	} {
		if raw, err := ubootenv.Encode(c.vars, c.size, c.flags); (err == nil) != c.ok || c.ok &&
			int64(len(raw)) != c.size {
			t.Errorf("%.20q, %d bytes, flags %d: %d bytes, %v", c.vars, c.size, c.flags, len(raw), err)
		}
	}
}

// TestListBounds: empty entries at the beginning, in the middle of what U-Boot reads, and without a name.
func TestListBounds(t *testing.T) {
	for data, ok := range map[string]bool{
		"\x00x=y\x00": false, "\x00x\x00": false, "\x00\x00x=y\x00": true, "=\x00": true, "=x\x00": false,
		" \t=x\x00":         false,
		"a=b\x00\x00=x\x00": true, "#=x\x00": true,
	} {
		raw := make([]byte, 64)
		copy(raw[4:], data)
		binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[4:]))
		if vars, err := ubootenv.Decode(raw, false); (err == nil) != ok {
			t.Errorf("%q: %q, %v", data, vars, err)
		}
	}
}

// TestLastByte: an entry of one letter in the last byte is somebody's, and is kept.
func TestLastByte(t *testing.T) {
	raw := make([]byte, 64)
	copy(raw[4:], "a="+strings.Repeat("x", 56)+"\x00q")
	binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[4:]))
	vars, err := ubootenv.Decode(raw, false)
	if err != nil || len(vars) != 2 || !strings.HasPrefix(vars[1], "q") {
		t.Errorf("%q, %v: want two entries", vars, err)
	}
}

// TestConfigBounds: sizes, offsets and neighbours just so, and one beyond.
func TestConfigBounds(t *testing.T) {
	for text, says := range map[string]string{
		"/e 0 40":                  "",
		"/e 0 3f":                  "cannot be 63 bytes",
		"/e 0 100000":              "",
		"/e 0 100001":              "cannot be 1048577 bytes",
		"/e 0 100000000":           "is not a hexadecimal number",
		"/e 0 0X40":                "",
		"/e 0x4000000000000 40":    "",
		"/e 0x4000000000001 40":    "is outside of any device",
		"/e -0x4000000000000 40":   "",
		"/e -0x4000000000001 40":   "is outside of any device",
		"/e 0B1 40":                "the offset \"0B1\" is not a number",
		"/e -0b1 40":               "the offset",
		"/e 0o1 40":                "the offset",
		"/e 1_0 40":                "the offset",
		"/e -0x40 40":              "",
		"/e -0x3f 40":              "64 bytes do not fit 63 bytes before the end",
		"/e 0 40\n/e 0x40 40":      "",
		"/e 0 40\n/e 0x3f 40":      "overlap",
		"/e 0x40 40\n/e 0 40":      "",
		"/e 0x3f 40\n/e 0 40":      "overlap",
		"/e 0 40\n/e 0 40":         "overlap",
		"/e 0 40\n/f 0 40":         "",
		"/e 0 40\n/e -0x40 40":     "",
		"/e -0x40 40\n/e 0 40":     "",
		"/e -0x80 40\n/e -0x40 40": "",
		"/e -0x7f 40\n/e -0x40 40": "overlap",
		"/e 0 40\n/f 0 40\n/g": "line 3 of the environment's configuration: want device, offset " +
			"and size",
		"/e 0 40\n/f 0 40\n/g 0 40":              "line 3 of the environment's configuration: a third copy",
		"/e 0 40 #" + strings.Repeat("x", 65527): "",
		"/e 0 40 #" + strings.Repeat("x", 65528): "65537 bytes are more than 65536",
	} {
		_, err := ubootenv.ParseConfig([]byte(text))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %q", text, err, says)
		}
	}
}

// TestOptionBounds: tries of one digit, and defaults that are variables.
func TestOptionBounds(t *testing.T) {
	for _, c := range []struct {
		tries    int
		defaults string
		want     int // tries after a restore; 0: refused
	}{{0, "b=x", 3}, {1, "b=x", 1}, {9, "b=x", 9}, {10, "b=x", 0}, {-1, "b=x", 0}, {3, "=x", 0}, {3, "b=", 0}, {3, "b",
		0}, {3, "b==", 3}} {
		l := layouts[0]
		o := l.options()
		o.FullTries, o.Defaults, o.Shadow = c.tries, []string{c.defaults}, ""
		b, err := ubootenv.New(&boottest.Disk{}, o)
		if err == nil {
			err = b.Refresh(t.Context(), "A")
		}
		if (err == nil) != (c.want > 0) {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil {
			continue
		}
		if s, err := b.State(t.Context()); err != nil || s.Slots["A"].Tries != c.want {
			t.Errorf("%+v: %+v, %v", c, s, err)
		}
	}
}

// TestInvalidSays: why each copy is not taken, and which one is written when none is.
func TestInvalidSays(t *testing.T) {
	l := layouts[0]
	d := l.disk(t, factory...)
	raw := l.raw(d)
	raw[0][9] ^= 1
	copy(raw[1][5:], "=x\x00")
	fix(raw[1])
	d.Put(l.copies[0].Path, raw[0])
	d.Put(l.copies[1].Path, raw[1])
	b := l.backend(t, d)
	says := func(parts ...string) {
		t.Helper()
		_, err := b.State(t.Context())
		if !errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("State: %v", err)
		}
		for _, p := range parts {
			if err != nil && !strings.Contains(err.Error(), p) {
				t.Errorf("%v does not say %q", err, p)
			}
		}
	}
	says("copy 0: bad CRC: torn by a power cut", "copy 1: not a list of variables: a value without a name")
	d.Put(l.copies[0].Path, raw[0][:size-1])
	says("copy 0: " + l.copies[0].Path + " is missing or too short; copy 1: ")
	raw[1][9] ^= 1
	d.Put(l.copies[0].Path, raw[0])
	d.Put(l.copies[1].Path, raw[1])
	o := l.options()
	o.Defaults = factory
	b, err := ubootenv.New(d, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	if now := l.raw(d); now[0][4] != 1 || !bytes.Equal(now[1], raw[1]) {
		t.Errorf("restored with serial %d, the second copy was written: %v", now[0][4], !bytes.Equal(now[1], raw[1]))
	}
	// One good copy needs no other to be told of.
	f := flaky{d, map[string]bool{l.copies[1].Path: true}}
	if b, err = ubootenv.New(f, l.options()); err != nil {
		t.Fatal(err)
	}
	d.Put(l.copies[0].Path, raw[0])
	says("copy 0: bad CRC", "copy 1: cannot read "+l.copies[1].Path+": bad sector")
}

// TestPlaces: where a copy lies, when it is not there, and how it is written then.
func TestPlaces(t *testing.T) {
	const file, dev = "/boot/env", "/dev/env"
	env, err := ubootenv.Encode([]string{"bootcmd=x"}, size, -1)
	if err != nil {
		t.Fatal(err)
	}
	at := func(offset, length int) []byte {
		return append(append(make([]byte, offset), env...), make([]byte, length)...)
	}
	for _, c := range []struct {
		name     string
		loc      ubootenv.Location
		is       []byte // nil: not there
		read     string // "": valid; "invalid"; else what the error says
		restored string // "": by a write of our own; else what the error says
		length   int    // of the file afterwards
	}{
		{"no file", ubootenv.Location{Path: file}, nil, "invalid", "", size},
		{"a file that only looks like a device", ubootenv.Location{Path: dev, Kind: ubootenv.File}, nil, "invalid", "",
			size},
		{"no device", ubootenv.Location{Path: dev}, nil, "not exist", "not exist", 0},
		{"no device, elsewhere", ubootenv.Location{Path: file, Kind: ubootenv.Block}, nil, "not exist", "not exist", 0},
		{"a file that is too short", ubootenv.Location{Path: file}, env[:size-1], "invalid", "", size},
		{"a file of just the size", ubootenv.Location{Path: file}, at(0, 0), "", "", size},
		{"a file that goes on", ubootenv.Location{Path: file}, at(0, 9), "", "", size + 9},
		{"a place in a file", ubootenv.Location{Path: file, Offset: 7}, at(7, 0), "", "", size + 7},
		{"a place in a file that ends before", ubootenv.Location{Path: file, Offset: 7}, at(7, 0)[:size+6], "invalid",
			"1024 bytes at 7 are outside of its 1030 bytes", size + 6},
		{"a place in a file that is not there", ubootenv.Location{Path: file, Offset: 7}, nil, "invalid",
			"1024 bytes at 7 are outside of its -1 bytes", 0},
		{"before the end of a file", ubootenv.Location{Path: file, Offset: -size}, at(5, 0), "", "", size + 5},
		{"before the beginning of a file", ubootenv.Location{Path: file, Offset: -size}, env[:size-1], "invalid",
			"1024 bytes at -1024 are outside of its 1023 bytes", size - 1},
		{"a device of just the size", ubootenv.Location{Path: dev, Offset: 7}, at(7, 0), "", "", size + 7},
		{"a device that ends before", ubootenv.Location{Path: dev, Offset: 7}, at(7, 0)[:size+6],
			"/dev/env has 1030 bytes, the environment of 1024 bytes at 7 is outside", "is outside", size + 6},
		{"a device that is shorter than its end", ubootenv.Location{Path: dev, Offset: -size}, env[:size-1],
			"is outside", "is outside", size - 1},
	} {
		d := &boottest.Disk{}
		if c.is != nil {
			d.Put(c.loc.Path, c.is)
		}
		c.loc.Size = size
		b, err := ubootenv.New(d, ubootenv.Options{Copies: []ubootenv.Location{c.loc}, Locks: []string{}, Slots: slotAB,
			Defaults: []string{"bootcmd=y"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.State(t.Context())
		switch {
		case c.read == "" && err != nil, c.read == "invalid" && !errors.Is(err, bootctl.ErrInvalid),
			c.read != "" && c.read != "invalid" && (errors.Is(err, bootctl.ErrInvalid) ||
				!strings.Contains(fmt.Sprint(err), c.read)):
			t.Errorf("%s: State: %v, want %q", c.name, err, c.read)
		}
		err = b.Refresh(t.Context(), "B")
		if (err == nil) != (c.restored == "") || err != nil && !strings.Contains(err.Error(), c.restored) {
			t.Errorf("%s: Refresh: %v, want %q", c.name, err, c.restored)
		}
		after := d.Get(c.loc.Path)
		if len(after) != c.length {
			t.Errorf("%s: %d bytes afterwards, want %d", c.name, len(after), c.length)
		}
		if c.restored != "" && !bytes.Equal(after, c.is) {
			t.Errorf("%s: it wrote", c.name)
		}
		if s, err := b.State(t.Context()); c.restored == "" && (err != nil || !s.Slots["B"].Confirmed) {
			t.Errorf("%s: afterwards %+v, %v", c.name, s, err)
		}
	}
}

// TestLeastIsWritten: what a verb does not change is not written, in any spelling.
func TestLeastIsWritten(t *testing.T) {
	l := layouts[0]
	d := l.disk(t, "bootcmd=x", "BOOT_ORDER=A  A B ", "BOOT_A_LEFT=1", "BOOT_A_GOOD=1")
	if err := l.backend(t, d).Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	vars, err := ubootenv.Decode(l.raw(d)[1], true)
	if want := "bootcmd=x|BOOT_ORDER=A  A B |BOOT_A_LEFT=3|BOOT_A_GOOD=1"; err != nil || strings.Join(vars,
		"|") != want {
		t.Errorf("%q, %v; want %s", vars, err, want)
	}
	before := d.Writes()
	if err := l.backend(t, d).Refresh(t.Context(), "A"); err != nil || d.Writes() != before {
		t.Errorf("again: %v, %d writes", err, d.Writes()-before)
	}
}
