package journal_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

func open(t *testing.T, path string, size int64) journal.Store {
	t.Helper()
	s, err := journal.OpenBolt(path, journal.Options{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(s journal.Store, bucket, key, value string) error {
	return s.Update(func(tx journal.Tx) error { return tx.Put(bucket, key, []byte(value)) })
}

func get(t *testing.T, s journal.Store, bucket, key string) string {
	t.Helper()
	var v []byte
	if err := s.View(func(tx journal.Tx) error { v = tx.Get(bucket, key); return nil }); err != nil {
		t.Fatal(err)
	}
	return string(v)
}

func stat(t *testing.T, path string) (size, blocks int64) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Size, st.Blocks * 512
}

// TestFileKeepsItsSize: the file is allocated as a whole when it is created, and neither opening
// nor filling it changes that.
func TestFileKeepsItsSize(t *testing.T) {
	const size = 1 << 20
	path := filepath.Join(t.TempDir(), "journal.db")
	s := open(t, path, size)
	full := false
	for i := 0; i < 3000; i++ {
		if i == 300 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, size)
		}
		if n, blocks := stat(t, path); n != size || blocks < size {
			t.Fatalf("after %d commits: size %d, allocated %d, want %d", i, n, blocks, size)
		}
		err := put(s, journal.State, fmt.Sprint("key ", i), strings.Repeat("v", 900))
		if full = errors.Is(err, journal.ErrFull); full {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !full {
		t.Error("the journal never became full")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := journal.Probe(path); err != nil {
		t.Errorf("a full journal: %v", err)
	}

	// A smaller one grows to the configured size, a larger one stays.
	s = open(t, path, 2*size)
	if n, blocks := stat(t, path); n != 2*size || blocks < 2*size {
		t.Errorf("not enlarged: size %d, allocated %d", n, blocks)
	}
	if err := put(s, journal.State, "record", "there is room now"); err != nil {
		t.Error(err)
	}
	s.Close()
	s = open(t, path, size)
	defer s.Close()
	if n, _ := stat(t, path); n != 2*size {
		t.Errorf("a larger journal was cut to %d", n)
	}
	if got := get(t, s, journal.State, "record"); got != "there is room now" {
		t.Errorf("lost: %q", got)
	}
}

// TestReserve: evidence and signatures stop before the reserve, a transition may use it.
func TestReserve(t *testing.T) {
	s := open(t, filepath.Join(scratch(t), "j"), 1<<20)
	defer s.Close()
	err := error(nil)
	for i := 0; err == nil && i < 5000; i++ {
		err = put(s, journal.Evidence, fmt.Sprint("key ", i), strings.Repeat("e", 800))
	}
	if !errors.Is(err, journal.ErrFull) {
		t.Fatalf("evidence alone: %v, want ErrFull", err)
	}
	free, err := s.Free()
	if err != nil || free < 1<<18 || free > 1<<18+128<<10 {
		t.Errorf("evidence left %d bytes, want the reserve of %d and little more; %v", free, 1<<18, err)
	}
	for range 100 {
		if err := put(s, journal.State, "record", strings.Repeat("r", 700)); err != nil {
			t.Fatalf("a transition cannot use the reserve: %v", err)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []journal.Options{
		{Size: 1}, {Size: -1}, {Size: 1 << 40}, {Size: 1 << 20, Reserve: 1}, {Size: 1 << 20, Reserve: 1 << 20},
	} {
		if _, err := journal.OpenBolt(filepath.Join(t.TempDir(), "j"), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestOneDaemonOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	s := open(t, path, journal.MinSize)
	defer s.Close()
	_, err := journal.OpenBolt(path, journal.Options{})
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), "another ratchet daemon") {
		t.Errorf("second daemon: %v", err)
	}
	if err := journal.Probe(path); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("probe beside a daemon: %v", err)
	}
	if err := put(s, journal.State, "k", "v"); err != nil {
		t.Errorf("the first daemon was disturbed: %v", err)
	}
}

func TestNoJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	if err := journal.Probe(path); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("probe of no journal: %v", err)
	}
	if _, err := journal.OpenBolt(filepath.Join(dir, "no", "j"), journal.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := journal.SetAside(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set aside nothing: %v", err)
	}
	for name, content := range map[string]string{
		"empty": "", "short": "x", "text": strings.Repeat("not a journal\n", 10_000),
		"zero": strings.Repeat("\x00", 1<<20),
	} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := journal.Probe(p); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("probe of %s: %v", name, err)
		}
		if _, err := journal.OpenBolt(p, journal.Options{}); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("open of %s: %v", name, err)
		}
		if b, err := os.ReadFile(p); err != nil || string(b) != content {
			t.Errorf("%s was changed", name)
		}
	}
	if _, err := journal.OpenBolt(dir, journal.Options{}); err == nil {
		t.Error("a directory was opened")
	}
}

// TestLeftOver: what a power cut while creating leaves is no obstacle.
func TestLeftOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, path, journal.MinSize).Close()
	if _, err := os.Stat(path + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	if err := os.WriteFile(path+".corrupt-x", nil, 0o600); err != nil { // not ours
		t.Fatal(err)
	}
	for i, want := range []string{".corrupt-1", ".corrupt-2", ".corrupt-3", ".corrupt-4"} {
		if err := os.WriteFile(path, []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := journal.SetAside(path)
		if err != nil || got != path+want {
			t.Fatalf("set aside to %s, %v, want %s", got, err, want)
		}
		if b, err := os.ReadFile(got); err != nil || len(b) != 1 || b[0] != byte(i) {
			t.Errorf("%s holds %v, %v", got, b, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("still there: %v", err)
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	want := []string{path + ".corrupt-3", path + ".corrupt-4", path + ".corrupt-x"}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("kept %v, want %v", names, want)
	}
	open(t, path, journal.MinSize).Close()
}

// TestFailedSync: a commit whose meta page was written but not synced leaves a store that says so.
func TestFailedSync(t *testing.T) {
	for _, c := range []struct {
		now      uint64
		cause    error
		sentinel error
		usable   bool
	}{
		{6, syscall.ENOSPC, journal.ErrFull, true},
		{6, syscall.EIO, syscall.EIO, true},
		{6, syscall.EROFS, journal.ErrReadOnly, true},
		{7, syscall.EIO, syscall.EIO, false},
		{7, syscall.EROFS, journal.ErrReadOnly, false},
	} {
		err, usable := journal.SettleForTest(7, c.now, &fs.PathError{Op: "write", Path: "j", Err: c.cause})
		if !errors.Is(err, c.sentinel) || !errors.Is(err, c.cause) || usable != c.usable {
			t.Errorf("transaction 7 failed with %v, %d is seen: %v, usable %t", c.cause, c.now, err, usable)
		}
	}
}

// TestOpeningCommits: what a killed process left in the page cache is made durable before anybody
// acts on it, with a transaction of its own, on the other meta page.
func TestOpeningCommits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	s := open(t, path, journal.MinSize)
	if err := put(s, journal.State, "k", "v"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	before := read(t, path)
	open(t, path, journal.MinSize).Close()
	after := read(t, path)
	first, second := string(before[:4096]) != string(after[:4096]),
		string(before[4096:8192]) != string(after[4096:8192])
	if first == second {
		t.Errorf("meta pages changed: %t, %t, want exactly one", first, second)
	}
}

// TestWritesOnlyChanges: flash wears.
func TestWritesOnlyChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	s := open(t, path, journal.MinSize)
	defer s.Close()
	big := strings.Repeat("b", 60_000)
	if err := errors.Join(put(s, journal.State, "record", "v"), put(s, journal.State, "envelope", big)); err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	for _, same := range []func(tx journal.Tx) error{
		func(tx journal.Tx) error { return tx.Put(journal.State, "record", []byte("v")) },
		func(tx journal.Tx) error { return tx.Delete(journal.State, "nothing") },
		func(tx journal.Tx) error { return nil },
	} {
		if err := s.Update(same); err != nil {
			t.Fatal(err)
		}
	}
	if string(before) != string(read(t, path)) {
		t.Error("a transaction without a change wrote something")
	}
	if err := put(s, journal.State, "record", "w"); err != nil {
		t.Fatal(err)
	}
	pages, after := 0, read(t, path)
	for off := 0; off < len(after); off += 4096 {
		if string(before[off:off+4096]) != string(after[off:off+4096]) {
			pages++
		}
	}
	if pages > 5 {
		t.Errorf("a small change beside a large value wrote %d pages", pages)
	}
}

// TestMapIsNotMemory: what was read of the journal does not stay resident.
func TestMapIsNotMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	s := open(t, path, 4<<20)
	defer s.Close()
	for n := range 10 {
		if err := s.Update(func(tx journal.Tx) error {
			var err error
			for i := range 300 {
				err = errors.Join(err, tx.Put(journal.Evidence, fmt.Sprintf("%02d/%d", n, i), make([]byte, 600)))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	if err := s.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, "", func(string, []byte) bool { n++; return true })
	}); err != nil || n != 3000 {
		t.Fatalf("%d keys, %v", n, err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip("no /proc/self/smaps")
	}
	_, entry, found := strings.Cut(string(maps), path)
	_, entry, _ = strings.Cut(entry, "Rss:")
	kib := 0
	if _, err := fmt.Sscan(entry, &kib); !found || err != nil {
		t.Fatalf("the journal is not mapped: %v", err)
	}
	if kib > 512 {
		t.Errorf("%d KiB of the journal are resident", kib)
	}
}

// A bucket that this agent does not have, kept by another version, is checked like any other, and
// stays as it is.
func TestForeignBucket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	s := open(t, path, journal.MinSize)
	long := strings.Repeat("long", 1000)
	if err := errors.Join(put(s, other, "small", "1"), put(s, other, "large", long),
		put(s, journal.State, "record", "r")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), journal.Probe(path)); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, journal.MinSize)
	defer s.Close()
	if get(t, s, other, "small") != "1" || get(t, s, other, "large") != long ||
		get(t, s, journal.State, "record") != "r" {
		t.Error("the journal does not hold what it held")
	}
}
