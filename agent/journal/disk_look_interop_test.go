//go:build interop

package journal_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// lookAtJournal opens the journal that a cut has left, as the daemon does, with the size that is
// asked for, and goes on with it. The answer: the state, the size of the file, whether all of it was
// written, and the newest journal that was set aside.
func lookAtJournal(at, question string) (string, error) {
	var size int64
	var probe bool
	if _, err := fmt.Sscan(question, &size, &probe); err != nil {
		return "", err
	}
	path := filepath.Join(at, "journal.db")
	var was int64
	written := false
	info, err := os.Stat(path)
	if err == nil {
		was = info.Size()
		if written, err = allWritten(path); err != nil {
			return "", err
		}
	}
	newest := 0
	for n := 1; n < 9; n++ {
		if _, err := os.Stat(path + ".corrupt-" + strconv.Itoa(n)); err == nil {
			newest = n
		}
	}
	var probed error
	if probe {
		probed = journal.Probe(path)
	}
	s, rotten, err := start(path, size)
	if err != nil {
		return "", err
	}
	x, err := stateOf(s, newest)
	if err != nil {
		return "", err
	}
	found := x.String()
	switch {
	case info == nil:
		found = "none"
	case rotten:
		found = "rotten"
	}
	if probe &&
		(errors.Is(probed, os.ErrNotExist) != (info == nil) || errors.Is(probed, journal.ErrCorrupt) != rotten) {
		return "", fmt.Errorf("a probe says %v, the journal is %s", probed, found)
	}
	free, err := s.Free()
	if err != nil || free < size/4 {
		return "", fmt.Errorf("%d bytes are free, the reserve is not there (%v)", free, err)
	}
	x.n++
	if err := errors.Join(x.commit(s), s.Close(), journal.Probe(path)); err != nil {
		return "", fmt.Errorf("going on from %s: %w", found, err)
	}
	if s, err = journal.OpenBolt(path, journal.Options{Size: size}); err != nil {
		return "", err
	}
	y, err := stateOf(s, newest)
	if err = errors.Join(err, s.Close()); err != nil || y != x {
		return "", fmt.Errorf("going on from %s: %v, not %v (%v)", found, y, x, err)
	}
	whole, err := allWritten(path)
	if err != nil || !whole {
		return "", fmt.Errorf("opened from %s, the journal has room that was never written (%v)", found, err)
	}
	if info, err = os.Stat(path); err != nil || info.Size() < size {
		return "", fmt.Errorf("opened from %s, the journal has not its size (%v)", found, err)
	}
	return fmt.Sprint(found, " ", was, " ", written, " ", newest), nil
}

// allWritten asks the file system (FS_IOC_FIEMAP) whether every byte of a file has a place on the
// disk and was written there: no hole, and no extent that a commit has to convert first.
func allWritten(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	const (
		fiemap    = 0xC020660B
		flagSync  = 1
		unwritten = 0x2 | 0x4 | 0x800 // unknown, delayed, unwritten
		extents   = 64
		head      = 32
		each      = 56
	)
	b := make([]byte, head+extents*each)
	ne := binary.NativeEndian
	ne.PutUint64(b[8:], uint64(info.Size()))
	ne.PutUint32(b[16:], flagSync)
	ne.PutUint32(b[24:], extents)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemap, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		return false, fmt.Errorf("cannot map the extents of %s: %w", path, errno)
	}
	n := int(ne.Uint32(b[20:]))
	var to uint64
	for i := range n {
		e := b[head+i*each:]
		if ne.Uint64(e) != to || ne.Uint32(e[40:])&unwritten != 0 {
			return false, nil
		}
		to += ne.Uint64(e[16:])
	}
	return to >= uint64(info.Size()), nil
}
