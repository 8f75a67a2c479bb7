package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// keptAside is the number of set-aside journals that are kept for whoever looks for the cause.
const keptAside = 2

// lock takes a flock within lockWait.
func lock(f *os.File, how int) error {
	for end := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if err == nil || err != syscall.EWOULDBLOCK && err != syscall.EINTR || time.Now().After(end) {
			return err
		}
	}
}

// verify reads the whole file and checks structure and content.
func verify(f *os.File, size int64) error {
	a := newAudit()
	if err := walk(f, size, a.add); err != nil {
		return err
	}
	return a.end()
}

// create makes an empty journal of full size under another name and renames it, in the order of
// hal.ReplaceFile, which cannot do it: bbolt makes the file.
//
// Crash: before the rename -> no journal, and path.new is made anew; after -> a whole one.
func create(path string, size int64) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	// Two daemons that start at once must not make one file.
	if err := lock(dir, syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	fresh := path + ".new"
	err = fill(fresh, size)
	for errors.Is(err, syscall.ENOSPC) && dropOldest(path) {
		// Working again is worth more than a damaged file that nobody has fetched yet.
		err = fill(fresh, size)
	}
	if err != nil {
		_ = os.Remove(fresh) // it is only space, and the next start removes it too
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return dir.Sync()
}

func fill(path string, size int64) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize, Timeout: lockWait})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = allocate(f, info.Size(), size)
	}
	return errors.Join(err, f.Close())
}

// allocate extends a file with zeros that are really written: neither a sparse hole nor an extent
// that the file system still has to convert can then fail or delay a commit.
//
// Crash: before the sync -> the old length, or any up to the new one, and the next start goes on from
// there; after -> the new length. On an error the file is as long as it was.
func allocate(f *os.File, from, to int64) error {
	err := extend(f, from, to)
	if err != nil {
		// What was reserved goes back to a disk that may be full. The zeros may have been lost on their
		// way to the medium: the next start is not to count them as written.
		_ = f.Truncate(from)
	}
	return err
}

func extend(f *os.File, from, to int64) error {
	if err := reserve(f, from, to-from); err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for from < to {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return f.Sync()
}

// renew puts the newest meta page where it is once more. It may stand in the page cache only, when a
// process was killed or a write failed; the next commit, which takes it for durable, would overwrite
// pages that the one before still uses, and that one is what the medium then has.
//
// Crash: before the sync -> the transaction read, or the one before, both with their pages
// untouched; after -> the transaction read. What a meta page means fits into one sector.
func renew(f *os.File, size int64) error {
	w := &walker{r: f, size: size}
	if err := w.pickMeta(); err != nil {
		return err
	}
	b := make([]byte, pageSize)
	if err := w.read(b, w.m.at); err != nil {
		return err
	}
	if _, err := f.WriteAt(b, w.m.at); err != nil {
		return err
	}
	return syncData(f)
}

// SetAside renames a journal that cannot be used to path.corrupt-N and returns that name. The two
// newest are kept.
//
// Crash: before -> the journal is where it was and is found corrupt again; after -> it is aside.
func SetAside(path string) (newPath string, err error) {
	n := 0
	old := setAside(path)
	if len(old) > 0 {
		n = old[len(old)-1]
	}
	newPath = asideName(path, n+1)
	err = os.Rename(path, newPath)
	for err == nil && len(setAside(path)) > keptAside && dropOldest(path) {
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return "", errorf("cannot set journal %s aside: %w", path, classify(err))
	}
	return newPath, nil
}

func asideName(path string, n int) string { return path + ".corrupt-" + strconv.Itoa(n) }

// setAside returns the numbers of the set-aside journals, rising.
func setAside(path string) []int {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var found []int
	for _, e := range entries {
		tail, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".corrupt-")
		if n, err := strconv.Atoi(tail); ok && err == nil && n > 0 && strconv.Itoa(n) == tail {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found
}

// dropOldest removes the oldest set-aside journal and tells whether there was one.
func dropOldest(path string) bool {
	old := setAside(path)
	return len(old) > 0 && os.Remove(asideName(path, old[0])) == nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
