package hal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"unsafe"
)

// ErrLimit is returned for a file that is larger than its reader allows.
var ErrLimit = errors.New("file is larger than allowed")

// Unreadable tells whether err says that stored bytes cannot be read: a sector that gives an I/O error, data that its
// error correction or its checksum gives up on. What is written there anew can be read.
func Unreadable(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EBADMSG)
}

// tail is the unit, in bytes, of the part of a medium behind its last multiple of Align.
const tail = 512

// AlignedBuffer returns n bytes whose address is a multiple of Align, as direct I/O wants.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n+Align)
	skip := 0
	if rest := int(uintptr(unsafe.Pointer(&b[0])) % Align); rest != 0 {
		skip = Align - rest
	}
	return b[skip : skip+n : skip+n]
}

// CheckAccess tells whether p at off is an access that every slot medium of the given size takes:
// inside the medium, and offset, length and address in multiples of Align; or, wholly behind the
// medium's last multiple of Align, offset and length in multiples of 512 bytes.
func CheckAccess(size, off int64, p []byte) error {
	n := int64(len(p))
	if off < 0 || n > size || off > size-n {
		return fmt.Errorf("access of %d bytes at %d is outside of the medium's %d bytes", n, off, size)
	}
	unit, body := int64(Align), size-size%Align
	if off >= body {
		unit = tail
	}
	if off%unit != 0 || n%unit != 0 || (off < body && off+n > body) {
		return fmt.Errorf("access of %d bytes at %d is not aligned to %d bytes", n, off, unit)
	}
	if n > 0 && uintptr(unsafe.Pointer(&p[0]))%tail != 0 {
		return fmt.Errorf("buffer for %d bytes at %d is not aligned in memory", n, off)
	}
	return nil
}

// ReadFile returns the content of the file at path. A file of more than limit bytes is ErrLimit and
// is not read; a file that is not there is io/fs.ErrNotExist.
func ReadFile(fsys FS, path string, limit int64) ([]byte, error) {
	m, err := fsys.Open(path, ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer m.Close()
	if m.Size() > limit {
		return nil, fmt.Errorf("cannot read %s: %w: %d bytes, limit %d", path, ErrLimit, m.Size(), limit)
	}
	b := make([]byte, m.Size())
	if n, err := m.ReadAt(b, 0); err != nil && (err != io.EOF || n < len(b)) {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return b, nil
}

// ReplaceFile puts data in place of the file at path, in one step that a power cut cannot divide: write
// beside it, flush, rename, flush the folder. It uses path + ".new"; only one writer at a time, so take
// the file's lock where there may be others. Not for block devices. On an error the old content is
// there, or the new.
//
// It is the one way in which a device replaces a file of its own, and the one place that states the
// order; whoever must rename by itself cites it, and a test lists who does. What is written in place
// is so by design, in two copies or within one sector.
func ReplaceFile(fsys FS, path string, data []byte) error {
	temp := path + ".new"
	// Crash: before Rename -> path holds the old content, a stray temp is truncated by the next
	// call; Sync comes first, else the name could be durable before the bytes it names.
	// After Rename, before SyncDir -> old or new, both complete; after SyncDir -> new.
	if err := writeFile(fsys, temp, data); err != nil {
		return err
	}
	if err := fsys.Rename(temp, path); err != nil {
		return fmt.Errorf("cannot replace %s: %w", path, err)
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot make the new %s durable: %w", path, err)
	}
	return nil
}

func writeFile(fsys FS, path string, data []byte) error {
	m, err := fsys.Open(path, Create)
	if err != nil {
		return fmt.Errorf("cannot create %s: %w", path, err)
	}
	if _, err = m.WriteAt(data, 0); err == nil {
		err = m.Sync()
	}
	if e := m.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
