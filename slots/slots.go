// Package slots writes images into slots and checks them. It writes an opened medium that it is
// handed; which slot that is, and whether it may be written, is decided above.
//
// One pass: fetch -> decompress -> hash -> aligned write, in bounded memory, without temporary
// storage. Fetching and hashing, writing, and flushing run at the same time on a few buffers.
//
// A power cut costs at most Options.Every bytes, counted in image bytes that were fetched. To keep
// that while the flush of one checkpoint overlaps the fetching of what follows, checkpoints stand
// three quarters of Every apart, and fetching waits when it is Every ahead of the last one saved. With
// zstd a checkpoint can only stand at a frame's start, so that a cut may cost a frame more. What is in
// the slot behind the last checkpoint is written again; nothing of it is trusted.
//
// Zstd can be decoded in a process that has no rights (Options.Unpack). What is under way to it and
// back, 384 KiB at most, is counted as fetched.
package slots

import (
	"context"
	"errors"
	"io"
	"time"
)

// Encoding is how the payload carries the image.
type Encoding int

const (
	// Raw: the payload is the image.
	Raw Encoding = 0
	// Zstd: concatenated zstd frames (RFC 8878), none of which decodes to more than a checkpoint,
	// so that decoding resumes at a frame's start.
	Zstd Encoding = 1
)

// DefaultCheckpoint is the number of image bytes between two checkpoints.
const DefaultCheckpoint = 8 << 20

// Digest algorithms by their COSE identifiers (IANA "COSE Algorithms").
const (
	SHA256 = -16
	SHA384 = -43
	SHA512 = -44
)

// Image is what a slot must hold in the end.
type Image struct {
	Alg         int    // digest algorithm: SHA256, SHA384, SHA512
	Digest      []byte // of the image, Size bytes, without padding
	Size        int64  // bytes of image, > 0
	Encoding    Encoding
	PayloadSize int64 // bytes to fetch, 0 when unknown (Raw: equals Size)
}

// Checkpoint says what is durable in the slot. It is valid only for the same image and source.
// It is handed out only after the bytes it covers are durable.
type Checkpoint struct {
	Written   int64  `cbor:"1,keyasint"` // image bytes, a multiple of hal.Align unless the image is complete
	Payload   int64  `cbor:"2,keyasint"` // payload bytes consumed; Zstd: a frame's start
	Hash      []byte `cbor:"3,keyasint"` // versioned state of the running hash over Written bytes
	Alg       int    `cbor:"4,keyasint"`
	Validator string `cbor:"5,keyasint,omitempty"` // of the source (HTTP ETag ...)
	Version   int    `cbor:"6,keyasint"`           // CheckpointVersion; another version is discarded
	Image     []byte `cbor:"7,keyasint"`           // digest of the image
}

// Source is where the payload comes from; see transport.Source for the contract of Open.
type Source interface {
	Open(ctx context.Context, off int64, validator string) (body io.ReadCloser, newValidator string, err error)
}

// Progress is told at most a few times a second, and once at the end.
type Progress struct {
	Written, Size    int64 // image bytes in the slot, those of earlier calls included; Check: bytes read back
	Fetched, Payload int64 // payload position, and size; Payload 0 when unknown. Check leaves both 0
}

// Options of Write.
type Options struct {
	// Every is the number of image bytes that a power cut may cost; 0 is DefaultCheckpoint, less than
	// 64 KiB counts as that. A multiple of hal.Align.
	Every int64
	// From resumes; nil starts at zero. A checkpoint that does not fit image or version is an error (ErrCheckpoint).
	From *Checkpoint
	// Save is called after each checkpoint's bytes are durable; it must make the checkpoint durable
	// before it returns. It may run while later bytes are being written, never concurrently with itself.
	// The last call is for the complete image, with the digest proven. nil saves nothing.
	Save func(Checkpoint) error
	// Progress may be nil. It is called by the goroutine that called Write.
	Progress func(Progress)
	// MinInterval spaces checkpoints in time too, so that a fast medium does not wear the journal; a
	// power cut then costs what was written in that time. 0 is none.
	MinInterval time.Duration
	// Serial flushes and saves each checkpoint before anything more is written. The order of
	// operations on medium and journal is then the same in every run, as the simulator needs it.
	Serial bool
	// Unpack starts what decodes a Zstd payload in place of this process, which then only hashes and
	// writes what comes of it. nil decodes here. An Unpacker that dies, is silent, or says what cannot be is
	// an error like a source's: it may pass.
	Unpack func() (Unpacker, error)
}

// Result of a complete Write.
type Result struct {
	Written int64 // image bytes in the slot
	Fetched int64 // payload bytes fetched by this call
	Resumed int64 // image bytes that were there already
}

var (
	// ErrDigest: the image's bytes do not have the digest of the manifest.
	ErrDigest = errors.New("image digest does not match the manifest")
	// ErrTooLarge: the image does not fit the slot, or the source sends more than the manifest says.
	ErrTooLarge = errors.New("image is larger than allowed")
	// ErrShort: the payload ended early.
	ErrShort = errors.New("payload ended before the image was complete")
	// ErrEncoding: the payload cannot be decoded.
	ErrEncoding = errors.New("payload encoding is damaged or not within the limits")
	// ErrCheckpoint: the checkpoint does not belong to this image; start from zero.
	ErrCheckpoint = errors.New("checkpoint does not fit this image")
)

// MediumError is a failed operation on the slot itself (bad sector, device gone).
type MediumError struct {
	Op  string // "write", "sync", "read"
	Off int64
	Err error
}

func (e *MediumError) Error() string { return "cannot " + e.Op + " slot: " + e.Err.Error() }

// Unwrap returns the operating system's error.
func (e *MediumError) Unwrap() error { return e.Err }
