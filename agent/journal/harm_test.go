package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// other is a bucket that the agent does not have: a journal takes any.
const other = "signed"

// Some tests need a process that may die. It is this test binary, which then plays a role.
const roleEnv = "RATCHET_JOURNAL_ROLE"

func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{
		"commit": roleCommit, "quota": roleQuota, "create": roleCreate, "unplug": roleUnplug, "flip": roleFlip,
		"readonly": roleReadOnly,
	}
	if role, ok := roles[os.Getenv(roleEnv)]; ok {
		if err := role(os.Args[1:]); err != nil {
			fmt.Println("FAIL:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(role string, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), roleEnv+"="+role)
	return c
}

// runChild runs a role to its end and shows what it said when it failed.
func runChild(t *testing.T, role string, args ...string) {
	t.Helper()
	c := child(role, args...)
	timer := time.AfterFunc(60*time.Second, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", role, args, err, out[max(0, len(out)-3000):])
	}
}

// commit writes transaction n: the record, a large value, evidence and a signature, which all
// must be of the same transaction afterwards. Old evidence is pruned.
func commit(s journal.Store, n int) error {
	return s.Update(func(tx journal.Tx) error {
		key := func(n int) string { return fmt.Sprintf("%08d", n) }
		text := fmt.Append(nil, n)
		return errors.Join(
			tx.Put(journal.State, "record", text),
			tx.Put(journal.State, "envelope", bytes.Repeat(text, 1+n*37%3000)),
			tx.Put(journal.Evidence, key(n), bytes.Repeat(text, 60)),
			tx.Put(other, key(n), text),
			tx.Delete(journal.Evidence, key(n-40)),
			tx.Delete(other, key(n-40)))
	})
}

// content reads everything and returns the number of the transaction that it is the state of, -1
// for an empty journal. Anything that is not exactly one transaction's state is an error.
func content(s journal.Store) (n int, err error) {
	n = -1
	err = s.View(func(tx journal.Tx) error {
		record := tx.Get(journal.State, "record")
		if record != nil {
			if n, err = strconv.Atoi(string(record)); err != nil {
				return fmt.Errorf("wrong content: record %q", record)
			}
		}
		if n >= 0 && !bytes.Equal(tx.Get(journal.State, "envelope"), bytes.Repeat(record, 1+n*37%3000)) {
			return fmt.Errorf("wrong content: envelope of transaction %d", n)
		}
		for _, b := range []string{journal.Evidence, other} {
			next := max(0, n-39)
			if err := tx.Scan(b, "", func(k string, v []byte) bool {
				text := fmt.Append(nil, next)
				if b == journal.Evidence {
					text = bytes.Repeat(text, 60)
				}
				if k != fmt.Sprintf("%08d", next) || !bytes.Equal(v, text) {
					next = -2
					return false
				}
				next++
				return true
			}); err != nil {
				return err
			}
			if next != n+1 {
				return fmt.Errorf("wrong content: %s ends at %d, record is %d", b, next-1, n)
			}
		}
		return nil
	})
	return n, err
}

// scratch is a directory in memory where there is one: what these tests look for does not depend
// on the medium, and a slow one would only make them slow.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestDamaged hands damaged files to a child: neither a crash nor a hang nor wrong content.
func TestDamaged(t *testing.T) {
	path := filepath.Join(scratch(t), "journal.db")
	s := open(t, path, journal.MinSize)
	for n := range 50 {
		if err := commit(s, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	runChild(t, "flip", path, strconv.FormatUint(seed, 10))
}

func roleFlip(args []string) error {
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	good, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(seed, 1))
	used := len(bytes.TrimRight(good, "\x00"))
	found, fine := 0, 0
	for round := range 400 {
		bad := damage(r, good, used)
		path := args[0] + ".bad"
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			return err
		}
		probed := journal.Probe(path)
		if probed != nil && !errors.Is(probed, journal.ErrCorrupt) {
			return fmt.Errorf("round %d: probe: %w", round, probed)
		}
		s, err := journal.OpenBolt(path, journal.Options{Size: journal.MinSize})
		if (err != nil) != (probed != nil) || err != nil && !errors.Is(err, journal.ErrCorrupt) {
			return fmt.Errorf("round %d: probe says %v, open says %w", round, probed, err)
		}
		if err != nil {
			found++
			continue
		}
		// The newest meta page may be the damaged one: then the transaction before counts.
		if n, err := content(s); err != nil || n != 49 && n != 48 {
			return fmt.Errorf("round %d: believed transaction %d, %w", round, n, err)
		}
		if err := errors.Join(commit(s, 50), s.Close()); err != nil {
			return fmt.Errorf("round %d: going on: %w", round, err)
		}
		fine++
	}
	if found < 60 || fine < 10 {
		return fmt.Errorf("%d damaged files were found and %d were harmless: the test does not test", found, fine)
	}
	return nil
}

// damage returns a copy that was harmed in one of several ways, mostly where data is.
func damage(r *rand.Rand, good []byte, used int) []byte {
	bad := bytes.Clone(good)
	at := func() int {
		switch r.IntN(4) {
		case 0: // meta pages and page headers
			return min(r.IntN(used)/4096*4096+r.IntN(80), len(bad)-1)
		default:
			return r.IntN(used)
		}
	}
	switch r.IntN(6) {
	case 0, 1:
		bad[at()] ^= 1 << r.IntN(8)
	case 2:
		for range 1 + r.IntN(8) {
			bad[at()] = byte(r.Uint32())
		}
	case 3: // a block of something else
		p := at() / 512 * 512
		for i := p; i < min(p+512<<r.IntN(4), len(bad)); i++ {
			bad[i] = byte(r.Uint32())
		}
	case 4: // a block that was never written, or a stray older one
		p, q := at()/4096*4096, at()/4096*4096
		copy(bad[p:p+4096], good[q:])
	default:
		bad = bad[:r.IntN(len(bad))]
	}
	return bad
}

// TestUsedPageIsFree: a page that is used and on the free list would be overwritten by the next
// commit. Only the walk sees that: every count and sum is right.
func TestUsedPageIsFree(t *testing.T) {
	path := filepath.Join(scratch(t), "journal.db")
	s := open(t, path, journal.MinSize)
	for n := range 50 {
		if err := commit(s, n); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	b, ne := read(t, path), binary.NativeEndian
	m := b[16:]
	if ne.Uint64(b[4096+16+48:]) > ne.Uint64(m[48:]) {
		m = b[4096+16:]
	}
	root, list := ne.Uint64(m[16:]), b[ne.Uint64(m[32:])*4096:]
	n := ne.Uint16(list[10:])
	ne.PutUint16(list[10:], n+1)
	ne.PutUint64(list[16+8*int(n):], root)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := journal.Probe(path); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("probe: %v", err)
	}
	if _, err := journal.OpenBolt(path, journal.Options{}); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// worn fails to read one page, some times.
type worn struct {
	b     []byte
	page  int64
	times int
	err   error
}

func (w *worn) ReadAt(p []byte, off int64) (int, error) {
	if off/4096 == w.page && w.times > 0 {
		w.times--
		return 0, &os.PathError{Op: "read", Path: "journal.db", Err: w.err}
	}
	return copy(p, w.b[off:]), nil
}

func TestWornMedium(t *testing.T) {
	path := filepath.Join(scratch(t), "journal.db")
	s := open(t, path, journal.MinSize)
	for n := range 50 {
		if err := commit(s, n); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	b := read(t, path)
	for _, c := range []struct {
		page    int64
		times   int
		err     error
		corrupt bool
		fine    bool
	}{
		{0, 2, syscall.EIO, false, true},
		{0, 1000, syscall.EIO, true, false},
		{2, 0, nil, false, true},
		{1, 1, syscall.EACCES, false, false},
	} {
		err := journal.WalkForTest(&worn{b, c.page, c.times, c.err}, int64(len(b)))
		if (err == nil) != c.fine || errors.Is(err, journal.ErrCorrupt) != c.corrupt ||
			!c.fine && !errors.Is(err, c.err) {
			t.Errorf("page %d fails %d times with %v: %v", c.page, c.times, c.err, err)
		}
	}
}

// TestUnplugged: the file shrinks under the map, so that reading it is a SIGBUS.
func TestUnplugged(t *testing.T) {
	runChild(t, "unplug", filepath.Join(scratch(t), "journal.db"))
}

func roleUnplug(args []string) error {
	s, err := journal.OpenBolt(args[0], journal.Options{Size: journal.MinSize})
	for n := 0; err == nil && n < 40; n++ {
		err = commit(s, n)
	}
	if err != nil {
		return err
	}
	if err := os.Truncate(args[0], 8192); err != nil {
		return err
	}
	if _, err := content(s); !errors.Is(err, journal.ErrCorrupt) {
		return fmt.Errorf("reading: %v", err)
	}
	if err := commit(s, 40); !errors.Is(err, journal.ErrCorrupt) {
		return fmt.Errorf("writing: %v", err)
	}
	if _, err := s.Free(); !errors.Is(err, journal.ErrCorrupt) {
		return fmt.Errorf("free: %v", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	// The way on: aside, and a new one.
	if _, err := journal.SetAside(args[0]); err != nil {
		return err
	}
	s, err = journal.OpenBolt(args[0], journal.Options{Size: journal.MinSize})
	if err != nil {
		return err
	}
	return errors.Join(commit(s, 0), s.Close())
}

// limit makes every write beyond n bytes of a file fail with EFBIG, as a full disk would.
func limit(n uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
		return err
	}
	now.Cur = min(n, now.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now)
}

func TestNoSpaceToCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	runChild(t, "create", path)
	if names, _ := filepath.Glob(path + "*"); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func roleCreate(args []string) error {
	if err := limit(300_000); err != nil {
		return err
	}
	_, err := journal.OpenBolt(args[0], journal.Options{})
	if !errors.Is(err, journal.ErrFull) || !strings.Contains(err.Error(), args[0]) {
		return fmt.Errorf("create: %v", err)
	}
	return nil
}

// TestWriteFails: a commit that fails on the way changes nothing, and the next one may succeed.
func TestWriteFails(t *testing.T) {
	runChild(t, "quota", filepath.Join(scratch(t), "journal.db"))
}

func roleQuota(args []string) error {
	s, err := journal.OpenBolt(args[0], journal.Options{Size: journal.MinSize})
	if err != nil {
		return err
	}
	for n := range 60 {
		if n%3 != 0 {
			if err := commit(s, n); err != nil {
				return err
			}
			continue
		}
		if err := limit(uint64(n) * 3000); err != nil {
			return err
		}
		err := commit(s, n)
		if err := limit(^uint64(0)); err != nil {
			return err
		}
		if err == nil {
			continue // the pages were below the limit
		}
		if !errors.Is(err, journal.ErrFull) {
			return fmt.Errorf("commit %d: %v", n, err)
		}
		if got, err := content(s); err != nil || got != n-1 {
			return fmt.Errorf("commit %d failed and left %d, %v", n, got, err)
		}
		if err := commit(s, n); err != nil {
			return fmt.Errorf("commit %d, tried again: %v", n, err)
		}
	}
	return errors.Join(s.Close(), journal.Probe(args[0]))
}

func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	runChild(t, "readonly", filepath.Join(dir, "journal.db"))
}

func roleReadOnly(args []string) error {
	if os.Getuid() == 0 { // root writes everywhere
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	_, err := journal.OpenBolt(args[0], journal.Options{})
	if !errors.Is(err, journal.ErrReadOnly) && !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("open: %v", err)
	}
	if !errors.Is(err, journal.ErrReadOnly) {
		return fmt.Errorf("not said as such: %v", err)
	}
	return nil
}
