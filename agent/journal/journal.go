// Package journal is the durable memory of the agent: one transaction holds a phase and the
// evidence of entering it (invariant I6). Two implementations pass one suite: bbolt, and memory
// (for the simulator, which models a transaction as old-or-new).
package journal

import "errors"

// Buckets. A bucket that is not there reads as empty.
const (
	State    = "state"    // record, floor, bindings, offers: keys are names
	Evidence = "evidence" // big-endian uint64 sequence number -> encoded record
	Signed   = "signed"   // big-endian uint64 sequence number -> COSE_Sign1, where it exists
)

var (
	// ErrCorrupt: the file is not a journal that can be read. It is to be set aside, not written.
	ErrCorrupt = errors.New("journal is corrupt")
	// ErrFull: the reserve is used up, or the disk is full. Nothing was changed.
	ErrFull = errors.New("journal is full")
	// ErrReadOnly: the state directory cannot be written.
	ErrReadOnly = errors.New("journal cannot be written")
)

// Tx is one transaction. Returned slices are valid only inside it.
type Tx interface {
	Get(bucket, key string) []byte
	Put(bucket, key string, value []byte) error
	Delete(bucket, key string) error
	// Scan calls fn with keys >= from in byte order until fn returns false.
	Scan(bucket, from string, fn func(key string, value []byte) bool) error
}

// Store is a journal. Update is atomic and durable when it returns nil: after a cut, all of it or
// nothing of it is there. Errors wrap ErrFull or ErrReadOnly where those are the cause.
type Store interface {
	View(fn func(Tx) error) error
	Update(fn func(Tx) error) error
	// Free is the number of bytes that can still be written without growing the file.
	Free() (int64, error)
	Close() error
}
