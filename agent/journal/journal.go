// Package journal is the durable memory of the agent: one transaction holds a phase and the
// evidence of entering it (invariant I6). Two implementations pass one suite (journaltest): bbolt,
// and memory (for the simulator, which models a transaction as old-or-new).
//
// Format: a bbolt file (version 2, pages of 4096 bytes) that has its full size from the first day.
// bbolt does not check what it reads back, so every value carries a CRC-32C over bucket, key and
// value, and every bucket a count and a sum of those; values that are larger than a quarter of a
// page stand apart, so that they are not written again with every small change beside them.
//
// After a power loss: the file holds the last transaction whose Update returned nil, or the one
// that was being committed, whole. A power cut between the two syncs of a commit, or rot of the
// newest of the two meta pages, leaves the transaction before it, which then is what Open makes
// durable and goes on from. A file whose content does not add up is ErrCorrupt, never a panic.
package journal

import (
	"errors"
)

// Buckets. A bucket that is not there reads as empty.
const (
	State    = "state"    // record, floor, bindings, offers: keys are names
	Evidence = "evidence" // big-endian uint64 sequence number -> encoded record
)

// Limits of what is stored.
const (
	MaxBucket = 32        // bytes of a bucket's name, which does not start with a zero byte
	MaxKey    = 255       // bytes of a key, at least 1
	MaxValue  = 256 << 10 // bytes of a value
)

var (
	// ErrCorrupt: the file is not a journal that can be read. It is to be set aside, not written.
	ErrCorrupt = errors.New("journal is corrupt")
	// ErrFull: the reserve is used up, or the disk is full. Nothing was changed.
	ErrFull = errors.New("journal is full")
	// ErrReadOnly: the state directory cannot be written.
	ErrReadOnly = errors.New("journal cannot be written")
	// ErrLocked: another process holds the journal.
	ErrLocked = errors.New("journal is in use: another ratchet daemon runs")
	// ErrClosed: the store was closed, or the transaction has ended.
	ErrClosed = errors.New("journal is closed")
)

// Tx is one transaction. Returned slices are valid only inside it, and are not to be changed.
type Tx interface {
	// Get returns nil when there is no such key, and a slice that is not nil for an empty value.
	// A value that cannot be read back as it was put makes the whole transaction fail with ErrCorrupt.
	Get(bucket, key string) []byte
	// Put sets a value. The same value again is no change and costs no write.
	Put(bucket, key string, value []byte) error
	// Delete removes a key; a key that is not there is no error.
	Delete(bucket, key string) error
	// Scan calls fn with keys >= from in byte order until fn returns false. fn may not change the
	// bucket; it may read.
	Scan(bucket, from string, fn func(key string, value []byte) bool) error
}

// Store is a journal. Update is atomic and durable when it returns nil: after a cut, all of it or
// nothing of it is there. Errors wrap ErrFull or ErrReadOnly where those are the cause.
//
// A View sees one state and holds nobody up, yet what is written meanwhile cannot reuse the pages it
// sees: keep it short, and talk to nobody in it. An Update or View inside of an Update of the same
// goroutine is a deadlock.
type Store interface {
	View(fn func(Tx) error) error
	Update(fn func(Tx) error) error
	// Free is the number of bytes that can still be written without growing the file, the reserve
	// included.
	Free() (int64, error)
	Close() error
}

// check tells whether bucket, key and value are within the limits.
func check(bucket, key string, value []byte) error {
	switch {
	case len(bucket) == 0 || len(bucket) > MaxBucket || bucket[0] == 0:
		return errorf("cannot use bucket %q: 1 to %d bytes, the first not zero", bucket, MaxBucket)
	case len(key) == 0 || len(key) > MaxKey:
		return errorf("cannot use a key of %d bytes: 1 to %d are allowed", len(key), MaxKey)
	case len(value) > MaxValue:
		return errorf("cannot store %d bytes under %q: at most %d", len(value), key, MaxValue)
	}
	return nil
}
