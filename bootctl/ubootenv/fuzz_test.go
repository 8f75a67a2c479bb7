package ubootenv_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		"/dev/mmcblk0 0x100000 0x4000\n/dev/mmcblk0 0x110000 0x4000\n", "# c\n/boot/uboot.env 0 4000",
		"/dev/sda -0x8000 4000 200 1 # end\n", "uboot:\n  size : 0x4000\n", "/dev/mtd0 0 4000", "\x00 \x00 \x00",
		"/a 0o7 10", "/a 0 100000000000000000",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		locs, err := ubootenv.ParseConfig(b)
		if err != nil {
			return
		}
		if _, err := ubootenv.New(&boottest.Disk{}, ubootenv.Options{Copies: locs, Slots: slotAB}); err != nil {
			t.Errorf("parsed, but refused: %v", err)
		}
	})
}

// FuzzEnvironment puts any bytes into both copies, with a CRC that fits where the fuzzer says so.
// Whatever they are: no panic, no write to what does not validate, and the backend and U-Boot's model
// read the same choice.
func FuzzEnvironment(f *testing.F) {
	l := layouts[0]
	f.Add([]byte("bootcmd=x\x00BOOT_ORDER=B A\x00BOOT_A_LEFT=3\x00\x00"),
		[]byte("bootcmd=x\x00BOOT_B_GOOD=1\x00 BOOT_ORDER=A\x00\x00"), byte(1), byte(0), byte(3))
	f.Add([]byte("\x00x=1\x00"), []byte("=1\x00"), byte(255), byte(0), byte(3))
	f.Add([]byte("bootcmd=x\x00# c\x00BOOT_ORDER\x00BOOT_ORDER=A\\ B\x00\x00junk"), []byte{}, byte(0),
		byte(255), byte(3))
	f.Add([]byte("bootcmd=x\x00BOOT_A_LEFT=\x00BOOT_B_LEFT=0x3\x00\x00"), []byte{}, byte(7), byte(7), byte(1))
	f.Add([]byte("bootcmd=x\x00\tBOOT_ORDER=B B\t A\x00BOOT_A_GOOD=\\1\x00"), []byte{0xff}, byte(7), byte(7), byte(0))
	f.Fuzz(func(t *testing.T, a, b []byte, flagsA, flagsB, sums byte) {
		d := &boottest.Disk{}
		for i, data := range [][]byte{a, b} {
			raw := make([]byte, size)
			raw[4] = []byte{flagsA, flagsB}[i]
			copy(raw[5:], data)
			if sums>>i&1 == 1 {
				binary.LittleEndian.PutUint32(raw, crc32.ChecksumIEEE(raw[5:]))
			}
			d.Put(l.copies[i].Path, raw)
		}
		before := string(slices.Concat(l.raw(d)...))
		backend := l.backend(t, d)
		s, err := backend.State(t.Context())
		m := l.model(d.Clone(), nil)
		vars, merr := m.Environment()
		if merr != nil {
			t.Fatal(merr)
		}
		if err != nil {
			if !errors.Is(err, bootctl.ErrInvalid) {
				t.Fatalf("State: %v", err)
			}
			if backend.Try(t.Context(), "B", 1) == nil || backend.Confirm(t.Context(), "B") == nil ||
				backend.Refresh(t.Context(), "A") == nil {
				t.Error("invalid metadata is changed without a shadow copy")
			}
			if string(slices.Concat(l.raw(d)...)) != before {
				t.Error("invalid metadata is written")
			}
			return
		}
		if vars["bootcmd"] == "" {
			return // U-Boot stops at its prompt, with these metadata and with any
		}
		want, _, merr := m.Boot()
		if merr != nil && !strings.Contains(merr.Error(), "too large") {
			t.Fatal(merr)
		}
		if next := string(s.Next); merr == nil && (next == "A" || next == "B") && next != want {
			t.Errorf("the backend says %q is next, the loader boots %q", next, want)
		}
		if err := backend.Confirm(t.Context(), "B"); err != nil {
			return // no room
		}
		if slot, _, err := l.model(d, nil).Boot(); slot != "B" || err != nil {
			t.Errorf("after Confirm(B) the loader boots %q (%v)", slot, err)
		}
		after, err := l.model(d, nil).Environment()
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range vars {
			if !strings.HasPrefix(name, "BOOT_") && after[name] != value {
				t.Errorf("%q changed from %q to %q", name, value, after[name])
			}
		}
	})
}
