package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// WalkForTest checks a journal behind any reader.
func WalkForTest(r io.ReaderAt, size int64) error {
	a := newAudit()
	if err := walk(r, size, a.add); err != nil {
		return err
	}
	return a.end()
}

// SettleForTest shows what a failed commit makes of a store: the error, and whether it is usable.
func SettleForTest(txid, now uint64, err error) (error, bool) {
	b := &bolt{}
	err = b.settle(txid, now, err)
	return err, b.usable() == nil
}

// Probe checks the journal at path as OpenBolt does before bbolt sees it, and changes nothing, so that
// a test can look at what a cut left.
// Errors wrap ErrCorrupt, ErrLocked, fs.ErrNotExist, or are those of reading the medium.
func Probe(path string) error {
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(probe(f), f.Close())
	}
	if err != nil {
		return fmt.Errorf("cannot use journal %s: %w", path, classify(err))
	}
	return nil
}

func probe(f *os.File) error {
	if err := lock(f, syscall.LOCK_SH); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return verify(f, info.Size())
}
