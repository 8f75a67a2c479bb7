package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// logOf makes a write log as blklogwrites does. Each entry is sector, sectors, flags; its data are the
// entry's number, counted from 1.
func logOf(entries ...[3]uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, image.Sector)
	le.PutUint64(b, logMagic)
	le.PutUint64(b[8:], logVersion)
	le.PutUint64(b[16:], uint64(len(entries)))
	le.PutUint32(b[24:], image.Sector)
	for i, e := range entries {
		head := make([]byte, image.Sector)
		for k, v := range e {
			le.PutUint64(head[8*k:], v)
		}
		b = append(b, head...)
		if e[2]&flagSkip == 0 {
			b = append(b, bytes.Repeat([]byte{byte(i + 1)}, int(e[1])*image.Sector)...)
		}
	}
	return b
}

type memDisk []byte

func (m memDisk) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// TestLogCuts: what is on the disk after a cut, with a flush between the second and the third write.
func TestLogCuts(t *testing.T) {
	raw := logOf([3]uint64{0, 2, 0}, [3]uint64{2, 1, 0}, [3]uint64{0, 0, flagFlush}, [3]uint64{1, 1, 0}, [3]uint64{3, 1, 0})
	l, err := readLog(bytes.NewReader(raw), int64(len(raw)), 4*image.Sector)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cut  cut
		want string // first byte of each sector
	}{
		{cut{0, whole, 1}, "0000"},
		{cut{1, whole, 1}, "1100"},
		{cut{1, lost, 1}, "0000"},
		{cut{2, lost, 1}, "0000"},
		{cut{3, lost, 1}, "1120"},
		{cut{4, whole, 1}, "1420"},
		{cut{4, lost, 1}, "1120"},
		{cut{5, whole, 1}, "1425"},
		{cut{5, lost, 1}, "1120"},
	} {
		if got := sectorsAfter(t, l, c.cut); got != c.want {
			t.Errorf("%+v: %s, want %s", c.cut, got, c.want)
		}
	}
	// Torn: what is stable stays, and over many seeds each part of the rest comes and is missing.
	seen := map[string]bool{}
	for seed := range int64(64) {
		got := sectorsAfter(t, l, cut{5, torn, seed})
		if got[0] != '1' || got[2] != '2' || !strings.ContainsRune("14", rune(got[1])) || !strings.ContainsRune("05", rune(got[3])) {
			t.Errorf("seed %d: %s", seed, got)
		}
		seen[got] = true
		if again := sectorsAfter(t, l, cut{5, torn, seed}); again != got {
			t.Errorf("seed %d: %s, then %s", seed, got, again)
		}
	}
	if len(seen) != 4 {
		t.Errorf("64 seeds made only %v", seen)
	}
	// A write of two sectors can be torn within.
	within := false
	for seed := range int64(64) {
		within = within || sectorsAfter(t, l, cut{1, torn, seed}) == "1000"
	}
	if !within {
		t.Error("no seed of 64 tears a write of two sectors")
	}
}

func sectorsAfter(t *testing.T, l *writeLog, c cut) string {
	t.Helper()
	d := make(memDisk, 4*image.Sector)
	steps, _ := l.steps(c)
	for _, s := range steps {
		if err := l.apply(d, s.write, s.sectors); err != nil {
			t.Fatal(err)
		}
	}
	out := ""
	for i := 0; i < len(d); i += image.Sector {
		out += string('0' + rune(d[i]))
	}
	return out
}

// FuzzLog: any bytes are a log within the disk, or an error.
func FuzzLog(f *testing.F) {
	good := logOf([3]uint64{0, 2, 0}, [3]uint64{0, 0, flagFlush}, [3]uint64{3, 1, flagSkip})
	f.Add(good)
	f.Add(good[:len(good)-image.Sector])
	f.Add(logOf([3]uint64{1 << 62, 1 << 62, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := readLog(bytes.NewReader(b), int64(len(b)), 4*image.Sector)
		if err != nil {
			return
		}
		d := make(memDisk, 4*image.Sector)
		for _, w := range l.writes {
			if w.at+w.n > 4 {
				t.Errorf("%+v is outside of the disk", w)
			}
			if err := l.apply(d, w, w.n); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAdapt: the reference scripts are those that the rig adapts, in every line marked BOARD and
// wherever a board's own saveenv is meant.
func TestAdapt(t *testing.T) {
	for _, x := range targets {
		script, err := x.script(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []string{"mmc", "/dev/sda", "panic=10"} {
			if strings.Contains(script, old) {
				t.Errorf("%s: %q is still in the script", x.name, old)
			}
		}
		for _, l := range strings.Split(script, "\n") {
			if x.name == "arm64-uboot" && !strings.HasPrefix(l, "#") && strings.Contains(l, "saveenv") {
				t.Errorf("%s: %q", x.name, l)
			}
		}
	}
	if _, err := adapt(ubootenv.Script(), [][2]string{{"no such line", ""}}); err == nil {
		t.Error("a change of a line that is not there is no error")
	}
	if strings.Count(ubootenv.Script(), "BOARD") < 5 || strings.Count(grubenv.Script(), "BOARD") < 4 {
		t.Error("the reference scripts do not mark the lines to adapt")
	}
}

// TestDiskLayout: partitions follow each other, aligned, within the disk.
func TestDiskLayout(t *testing.T) {
	for _, x := range targets {
		next := x.parts[0].start // an EFI system partition may stand last, and none first
		if next != bootStart && next != slotAt {
			t.Errorf("%s: the first partition is at %d", x.name, next)
		}
		for _, p := range x.parts {
			if p.start != next || p.start%8 != 0 || p.size%8 != 0 {
				t.Errorf("%s: partition %s at %d, want %d", x.name, p.name, p.start, next)
			}
			next = p.start + p.size
		}
		if (next+34)*image.Sector > diskSize {
			t.Errorf("%s: the disk is too small", x.name)
		}
	}
}

// TestFlashEnvironment: what rt_save writes is what the constants in rt_load read.
func TestFlashEnvironment(t *testing.T) {
	x := arm64UBoot
	env := strings.Join(flashEnvironment(x), "\n")
	for _, hex := range []string{"3ffb", "3fff"} { // envCopy without CRC and serial; with CRC
		if !strings.Contains(env, hex) {
			t.Errorf("%s is not in the environment", hex)
		}
	}
	if envCopy != 0x3ffb+5 {
		t.Error("the copies have another size than rt_load and rt_save think")
	}
	if _, err := ubootenv.Encode(flashEnvironment(x), flashEnv, -1); err != nil {
		t.Error(err)
	}
}

// TestOwnUBoot: the U-Boot that is built looks for its environment where the disk has it, and the script
// that it runs is the reference script but for lines marked BOARD.
func TestOwnUBoot(t *testing.T) {
	config, err := os.ReadFile("../../scripts/rig/uboot/config")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("CONFIG_ENV_SIZE=%#x\n", envCopy), fmt.Sprintf("CONFIG_ENV_OFFSET=%#x\n", envAt*image.Sector),
		fmt.Sprintf("CONFIG_ENV_OFFSET_REDUND=%#x\n", envAt*image.Sector+envCopy)} {
		if !strings.Contains(string(config), want) {
			t.Errorf("scripts/rig/uboot/config has no %q", want)
		}
	}
	script, err := arm64UBootOwn.script(arm64UBootOwn)
	if err != nil {
		t.Fatal(err)
	}
	ours, reference := strings.Split(script, "\n"), strings.Split(ubootenv.Script(), "\n")
	if len(ours) != len(reference) {
		t.Fatalf("%d lines, the reference has %d", len(ours), len(reference))
	}
	for i, l := range reference {
		if ours[i] != l && !strings.Contains(l, "BOARD") {
			t.Errorf("%q was %q", ours[i], l)
		}
	}
}
