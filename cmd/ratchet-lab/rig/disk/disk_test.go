package disk_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// logOf makes a write log as blklogwrites does. Each entry is sector, sectors, flags; its data are the
// entry's number, counted from 1.
func logOf(entries ...[3]uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, image.Sector)
	le.PutUint64(b, 0x6a736677736872)
	le.PutUint64(b[8:], 1)
	le.PutUint64(b[16:], uint64(len(entries)))
	le.PutUint32(b[24:], image.Sector)
	for i, e := range entries {
		head := make([]byte, image.Sector)
		for k, v := range e {
			le.PutUint64(head[8*k:], v)
		}
		b = append(b, head...)
		if e[2]&disk.FlagSkip == 0 {
			b = append(b, bytes.Repeat([]byte{byte(i + 1)}, int(e[1])*image.Sector)...)
		}
	}
	return b
}

type memDisk []byte

func (m memDisk) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }

// TestLogCuts: what is on the disk after a cut, with a flush between the second and the third write.
func TestLogCuts(t *testing.T) {
	raw := logOf([3]uint64{0, 2, 0}, [3]uint64{2, 1, 0}, [3]uint64{0, 0, disk.FlagFlush}, [3]uint64{1, 1, 0},
		[3]uint64{3, 1, 0})
	l, err := disk.ReadLog(bytes.NewReader(raw), int64(len(raw)), 4*image.Sector)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cut  disk.Cut
		want string // first byte of each sector
	}{
		{disk.Cut{Point: 0, Variant: disk.Whole, Seed: 1}, "0000"},
		{disk.Cut{Point: 1, Variant: disk.Whole, Seed: 1}, "1100"},
		{disk.Cut{Point: 1, Variant: disk.Lost, Seed: 1}, "0000"},
		{disk.Cut{Point: 2, Variant: disk.Lost, Seed: 1}, "0000"},
		{disk.Cut{Point: 3, Variant: disk.Lost, Seed: 1}, "1120"},
		{disk.Cut{Point: 4, Variant: disk.Whole, Seed: 1}, "1420"},
		{disk.Cut{Point: 4, Variant: disk.Lost, Seed: 1}, "1120"},
		{disk.Cut{Point: 5, Variant: disk.Whole, Seed: 1}, "1425"},
		{disk.Cut{Point: 5, Variant: disk.Lost, Seed: 1}, "1120"},
	} {
		if got := sectorsAfter(t, l, c.cut); got != c.want {
			t.Errorf("%+v: %s, want %s", c.cut, got, c.want)
		}
	}
	// Torn: what is stable stays, and over many seeds each part of the rest comes and is missing.
	seen := map[string]bool{}
	for seed := range int64(64) {
		got := sectorsAfter(t, l, disk.Cut{Point: 5, Variant: disk.Torn, Seed: seed})
		if got[0] != '1' || got[2] != '2' || !strings.ContainsRune("14", rune(got[1])) ||
			!strings.ContainsRune("05", rune(got[3])) {
			t.Errorf("seed %d: %s", seed, got)
		}
		seen[got] = true
		if again := sectorsAfter(t, l, disk.Cut{Point: 5, Variant: disk.Torn, Seed: seed}); again != got {
			t.Errorf("seed %d: %s, then %s", seed, got, again)
		}
	}
	if len(seen) != 4 {
		t.Errorf("64 seeds made only %v", seen)
	}
	// A write that is itself flushed stays, and so does all before it.
	raw = logOf([3]uint64{0, 1, 0}, [3]uint64{1, 1, disk.FlagFUA}, [3]uint64{2, 1, 0})
	fua, err := disk.ReadLog(bytes.NewReader(raw), int64(len(raw)), 4*image.Sector)
	if err != nil {
		t.Fatal(err)
	}
	if got := sectorsAfter(t, fua, disk.Cut{Point: 3, Variant: disk.Lost}); got != "1200" {
		t.Errorf("a write with FUA: %s", got)
	}
	// A write of two sectors can be torn within.
	within := false
	for seed := range int64(64) {
		within = within || sectorsAfter(t, l, disk.Cut{Point: 1, Variant: disk.Torn, Seed: seed}) == "1000"
	}
	if !within {
		t.Error("no seed of 64 tears a write of two sectors")
	}
}

// applied does to a disk what is on it after the cut, entry by entry.
func applied(t *testing.T, l *disk.Log, c disk.Cut, d memDisk) {
	t.Helper()
	from, sectors := l.Unflushed(c)
	for i, w := range l.Writes[:c.Point] {
		n := w.N
		if i >= from {
			n = sectors[i-from]
		}
		if err := l.Apply(d, i, n); err != nil {
			t.Fatal(err)
		}
	}
}

func sectorsAfter(t *testing.T, l *disk.Log, c disk.Cut) string {
	t.Helper()
	d := make(memDisk, 4*image.Sector)
	applied(t, l, c, d)
	out := ""
	for i := 0; i < len(d); i += image.Sector {
		out += string('0' + rune(d[i]))
	}
	return out
}

// TestOpenLog: a log is taken whole or its first entries, and one with fewer is an error.
func TestOpenLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, logOf([3]uint64{0, 2, 0}, [3]uint64{0, 0, disk.FlagFlush}, [3]uint64{1, 1, 0}),
		0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := disk.Entries(path); n != 3 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	for _, c := range []struct {
		entries, writes, flushes int
	}{{0, 3, 1}, {3, 3, 1}, {1, 1, 0}} {
		l, err := disk.OpenLog(path, 4*image.Sector, c.entries)
		if err != nil || len(l.Writes) != c.writes || l.Flushes() != c.flushes {
			t.Fatalf("%+v: %+v, %v", c, l, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := disk.OpenLog(path, 4*image.Sector, 4); err == nil ||
		!strings.Contains(err.Error(), "has 3 entries, not 4") {
		t.Errorf("%v", err)
	}
	if _, err := disk.OpenLog(path, image.Sector, 0); err == nil {
		t.Error("a log of a larger disk is taken")
	}
}

// FuzzLog: any bytes are a log within the disk, or an error.
func FuzzLog(f *testing.F) {
	good := logOf([3]uint64{0, 2, 0}, [3]uint64{0, 0, disk.FlagFlush}, [3]uint64{3, 1, disk.FlagSkip})
	f.Add(good)
	f.Add(good[:len(good)-image.Sector])
	f.Add(logOf([3]uint64{1 << 62, 1 << 62, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := disk.ReadLog(bytes.NewReader(b), int64(len(b)), 4*image.Sector)
		if err != nil {
			return
		}
		d := make(memDisk, 4*image.Sector)
		for i, w := range l.Writes {
			if w.At+w.N > 4 {
				t.Errorf("%+v is outside of the disk", w)
			}
			if err := l.Apply(d, i, w.N); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestCutDisk: a disk that goes from cut to cut is the same as one rebuilt from the beginning, and its
// sum tells two disks apart exactly where they differ.
func TestCutDisk(t *testing.T) {
	const sectors = 1024
	rnd := rand.New(rand.NewPCG(7, 7))
	var entries [][3]uint64
	for range 60 {
		if rnd.IntN(4) == 0 {
			entries = append(entries, [3]uint64{0, 0, disk.FlagFlush})
		} else {
			n := 1 + rnd.Uint64N(200)
			entries = append(entries, [3]uint64{rnd.Uint64N(sectors - n), n, 0})
		}
	}
	raw := logOf(entries...)
	l, err := disk.ReadLog(bytes.NewReader(raw), int64(len(raw)), sectors*image.Sector)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "base")
	base := make([]byte, sectors*image.Sector)
	for i := range base {
		base[i] = byte(rnd.Uint32())
	}
	if err := os.WriteFile(path, base, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	bySum := map[[32]byte][]byte{}
	var list []disk.Cut
	for point := range len(l.Writes) + 1 {
		list = append(list, disk.Cut{Point: point, Variant: disk.Whole, Seed: 3},
			disk.Cut{Point: point, Variant: disk.Lost, Seed: 3}, disk.Cut{Point: point, Variant: disk.Torn, Seed: 3})
	}
	list = append(list, list[40], list[3], list[len(list)-1]) // back, too
	for _, x := range list {
		if err := d.Rebuild(l, x); err != nil {
			t.Fatal(err)
		}
		want := memDisk(bytes.Clone(base))
		applied(t, l, x, want)
		if !bytes.Equal(d.At(0, d.Size()), want) {
			t.Fatalf("cut %+v: another disk", x)
		}
		sum := d.Sum(0, int64(len(base)))
		if before := bySum[sum]; before != nil && !bytes.Equal(before, want) {
			t.Errorf("cut %+v: the sum of another disk", x)
		}
		bySum[sum] = bytes.Clone(want)
		if got := d.Unwritten(0, disk.Block); got != bytes.Equal(want[:disk.Block], base[:disk.Block]) {
			t.Errorf("cut %+v: unwritten %v", x, got)
		}
	}
	for a, x := range bySum {
		for b, y := range bySum {
			if a != b && bytes.Equal(x, y) {
				t.Error("equal disks have two sums")
			}
		}
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if err := d.Save(saved); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(saved); err != nil || !bytes.Equal(b, d.At(0, d.Size())) {
		t.Errorf("what was saved is another disk (%v)", err)
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, base) {
		t.Errorf("the file was changed (%v)", err)
	}
}
