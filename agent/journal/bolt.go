package journal

import (
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Options of a journal on disk.
type Options struct {
	// Size is the size of the file in bytes, allocated as a whole when it is created. Default
	// 4 MiB, at least MinSize. A file that is smaller is enlarged, a larger one stays.
	Size int64
	// Reserve is the number of bytes that only transactions which change State may use, so that a
	// phase can still be recorded when evidence has filled the rest. Default a quarter of Size.
	Reserve int64
}

const (
	defaultSize = 4 << 20
	// MinSize is the smallest size of a journal in bytes.
	MinSize = 256 << 10
	maxSize = 1 << 30
	// floor is kept for transactions that free more than they put: without room for the copies
	// that a commit makes, a full journal could not even be pruned.
	floor = 16 * pageSize
	// commitPages bounds what a commit copies besides the values put: paths to three leaves, the
	// root, the free list.
	commitPages = 12
	lockWait    = time.Second
)

// Validate checks the options and fills in the defaults.
func (o Options) Validate() (Options, error) {
	if o.Size == 0 {
		o.Size = defaultSize
	}
	if o.Reserve == 0 {
		o.Reserve = o.Size / 4
	}
	if o.Size < MinSize || o.Size > maxSize {
		return o, errorf("cannot use a journal of %d bytes: %d to %d are allowed", o.Size, MinSize, maxSize)
	}
	if o.Reserve < floor || o.Reserve > o.Size/2 {
		return o, errorf("cannot use a reserve of %d bytes: %d to %d (half of the journal) are allowed",
			o.Reserve, floor, o.Size/2)
	}
	o.Size = (o.Size + pageSize - 1) / pageSize * pageSize
	return o, nil
}

type bolt struct {
	path    string
	size    int64 // of the file
	reserve int64

	mu     sync.Mutex // one Update at a time, and Close
	file   *os.File
	db     *bbolt.DB
	broken atomic.Pointer[error] // why the store can no longer be used
}

// OpenBolt opens the journal at path, and creates it when it is not there. The file is checked as
// a whole before bbolt sees it, under the lock that is then kept and with plain reads: bbolt panics on
// damage, and maps the file, so that a medium that fails would be the end of the process. One that is smaller than
// Options.Size grows, where the disk has room. Errors wrap ErrLocked, ErrCorrupt, ErrFull (no room for a new file),
// ErrReadOnly, and fs.ErrNotExist when the directory is missing.
//
// Crash: creating -> no journal or a whole, empty one. Opening -> the meta page that was read is
// written again, then one empty commit: what was read is durable afterwards. Without it a killed or
// failed process may have left a transaction in the page cache only; acting on that phase would
// break I5. The commit takes the place of the other meta page: were that one unreadable only now,
// a later start would see what this one did not.
func OpenBolt(path string, o Options) (Store, error) {
	o, err := o.Validate()
	if err != nil {
		return nil, err
	}
	b, err := openBolt(path, o)
	if err != nil {
		return nil, errorf("cannot open journal %s: %w", path, classify(err))
	}
	return b, nil
}

func openBolt(path string, o Options) (*bolt, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path, o.Size); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	b := &bolt{path: path, reserve: o.Reserve, file: f}
	if err := b.start(o.Size); err != nil {
		_ = f.Close() // bbolt may have closed it already
		return nil, err
	}
	return b, nil
}

func (b *bolt) start(size int64) error {
	if err := lock(b.file, syscall.LOCK_EX); err != nil {
		return err
	}
	info, err := b.file.Stat()
	if err != nil {
		return err
	}
	if err := verify(b.file, info.Size()); err != nil {
		return err
	}
	if err := renew(b.file, info.Size()); err != nil {
		return err
	}
	if b.size = info.Size(); b.size < size {
		// A configuration that asks for more than the disk has is no reason to do without what is there.
		switch err := allocate(b.file, b.size, size); {
		case err == nil:
			b.size = size
		case !errors.Is(classify(err), ErrFull):
			return err
		}
	}
	err = guard(func() error {
		b.db, err = bbolt.Open(b.path, 0o600, &bbolt.Options{
			Timeout:         lockWait,
			PageSize:        pageSize, // the same file on a kernel with other pages
			FreelistType:    bbolt.FreelistArrayType,
			InitialMmapSize: int(b.size),
			// One page less than the map, which therefore is never made anew under a reader.
			MaxSize:  int(b.size) - pageSize,
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return b.file, nil },
		})
		if err != nil {
			return err
		}
		// Otherwise bbolt counts its growth step of 16 MiB against MaxSize.
		b.db.AllocSize = 0
		return b.db.Update(func(*bbolt.Tx) error { return nil })
	})
	if err != nil && b.db != nil && !errors.Is(err, ErrCorrupt) {
		_ = b.db.Close()
	}
	return err
}

// guard runs a call into bbolt, which panics on what it does not expect in the file, and which
// reads a map: a medium that fails makes that a SIGBUS, a pointer out of the file a SIGSEGV. Both
// mean that this file is not to be used further, and are no defect of the agent; so this is the
// one place of the house that turns a panic into an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return fn()
}

// fail makes the store unusable: bbolt may hold its locks for ever, or show what is not on disk.
func (b *bolt) fail(err error) error {
	b.broken.CompareAndSwap(nil, &err)
	return err
}

func (b *bolt) usable() error {
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *bolt) View(fn func(Tx) error) error {
	if err := b.usable(); err != nil {
		return err
	}
	var inner *bbolt.Tx
	err := guard(func() (err error) { inner, err = b.db.Begin(false); return })
	if err != nil {
		return b.stop("read", err)
	}
	t := &tx{inner: inner}
	// fn is the caller's: its panic is the caller's defect and goes on, with the lock released.
	defer func() {
		t.done = true
		if err := guard(inner.Rollback); err != nil {
			_ = b.fail(err)
		}
	}()
	defer func() {
		if t.scanned { // while the transaction is open: Close waits, and the map is where it was
			forget(b.db.Info().Data, b.size)
		}
	}()
	err = fn(t)
	if t.err != nil {
		return b.stop("read", t.err)
	}
	return err
}

// stop classifies an error; after a panic, nothing is asked of bbolt any more.
func (b *bolt) stop(what string, err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	err = errorf("cannot %s journal: %w", what, classify(err))
	if errors.Is(err, ErrCorrupt) {
		return b.fail(err)
	}
	return err
}

// Update commits what fn changed, unless fn returns an error or changed nothing.
//
// Crash: before the second sync -> as before (or, from when the meta page is on its way to the
// medium, perhaps as after); after -> all of it. bbolt writes pages that are free in the last
// transaction, syncs, then one of two meta pages, and syncs.
func (b *bolt) Update(fn func(Tx) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return err
	}
	free, err := b.reclaim()
	if err != nil {
		return b.stop("read", err)
	}
	var inner *bbolt.Tx
	if err := guard(func() (err error) { inner, err = b.db.Begin(true); return }); err != nil {
		return b.stop("write", err)
	}
	t := &tx{inner: inner, writable: true}
	defer func() {
		if !t.done { // fn failed or panicked
			t.done = true
			if err := guard(inner.Rollback); err != nil {
				_ = b.fail(err)
			}
		}
	}()
	if err := fn(t); err != nil && t.err == nil {
		return err
	}
	if t.err != nil {
		return b.stop("write", t.err)
	}
	if !t.changed {
		return nil
	}
	if err := t.room(free, b.reserve); err != nil {
		return err
	}
	txid := uint64(inner.ID())
	err = guard(func() error {
		if err := t.writeTallies(); err != nil {
			return errors.Join(err, inner.Rollback())
		}
		return inner.Commit()
	})
	t.done = true
	if err != nil {
		return b.failed(txid, err)
	}
	forget(b.db.Info().Data, b.size)
	return nil
}

// failed says what a commit that failed has left behind.
func (b *bolt) failed(txid uint64, err error) error {
	if errors.Is(err, ErrCorrupt) {
		return b.stop("write", err)
	}
	var now uint64
	look := guard(func() error {
		return b.db.View(func(r *bbolt.Tx) error { now = uint64(r.ID()); return nil })
	})
	if look != nil {
		return b.stop("read", look)
	}
	return b.settle(txid, now, err)
}

// settle: a commit that failed before its meta page was written changed nothing, and the next may
// succeed. When the page was written and could not be synced, this process sees a transaction that
// the medium may not hold: the store is of no use until it is opened again.
func (b *bolt) settle(txid, now uint64, err error) error {
	err = errorf("cannot write journal: %w", classify(err))
	if now >= txid {
		return b.fail(errorf("%w; its content is unknown until it is opened again", err))
	}
	return err
}

// free counts the bytes that can still be allocated, and how many of them were released by the
// last transactions and may still be in use by a View. The caller holds mu.
func (b *bolt) free() (n, pending int64, err error) {
	err = guard(func() error {
		return b.db.View(func(t *bbolt.Tx) error {
			s := b.db.Stats()
			pending = int64(s.PendingPageN) * pageSize
			n = int64(s.FreePageN)*pageSize + pending + max(0, b.size-2*pageSize-t.Size())
			return nil
		})
	})
	return n, pending, err
}

// reclaim is free, and waits a little for Views that hold back the pages that a commit needs: a
// slow reader is to cost time, not a phase, and only where there is no other room.
func (b *bolt) reclaim() (free int64, err error) {
	for end := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		free, pending, err := b.free()
		if err != nil || free-pending >= floor || pending == 0 || time.Now().After(end) {
			return free, err
		}
		// Beginning to write takes back what no View needs any more.
		err = guard(func() error {
			t, err := b.db.Begin(true)
			if err != nil {
				return err
			}
			return t.Rollback()
		})
		if err != nil {
			return 0, err
		}
		if free, pending, err = b.free(); err != nil || free-pending >= floor || pending == 0 {
			return free, err
		}
	}
}

func (b *bolt) Free() (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(); err != nil {
		return 0, err
	}
	n, _, err := b.free()
	if err != nil {
		return 0, b.stop("read", err)
	}
	return n, nil
}

// Close waits for open transactions and gives the lock back.
func (b *bolt) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	if cause := b.usable(); errors.Is(cause, ErrClosed) {
		return nil
	} else if errors.Is(cause, ErrCorrupt) {
		// After a panic bbolt may hold its own lock, and its Close would wait for ever. The map
		// stays behind: address space, until the process ends.
		err = b.file.Close()
	} else {
		err = guard(b.db.Close)
	}
	closed := error(ErrClosed)
	b.broken.Store(&closed)
	if err != nil {
		return errorf("cannot close journal: %w", classify(err))
	}
	return nil
}

// classify joins the sentinel of this package to an error that it stands for.
func classify(err error) error {
	for _, c := range []struct {
		sentinel error
		causes   []error
	}{
		{ErrFull, []error{bolterrors.ErrMaxSizeReached, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}},
		{ErrReadOnly, []error{bolterrors.ErrDatabaseReadOnly, syscall.EROFS, syscall.EACCES, syscall.EPERM}},
		{ErrLocked, []error{bolterrors.ErrTimeout, syscall.EWOULDBLOCK}},
		{ErrCorrupt, []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum}},
	} {
		if errors.Is(err, c.sentinel) {
			return err
		}
		for _, cause := range c.causes {
			if errors.Is(err, cause) {
				return errorf("%w: %w", c.sentinel, err)
			}
		}
	}
	return err
}
