package slots

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// checkBuffers are read ahead of the hash, of maxBuffer bytes each.
const checkBuffers = 2

// Check reads img back from dev and compares its digest: ErrDigest when it differs, *MediumError
// when it cannot be read. It proves what is on the medium if dev reads from there, as what
// hal.Blocks opens does. progress may be nil; it is called by the goroutine that called Check.
func Check(ctx context.Context, dev hal.Medium, img Image, progress func(Progress)) error {
	if err := img.fits(dev.Size()); err != nil {
		return errorf("cannot check slot: %w", err)
	}
	h, err := newHash(img.Alg)
	if err != nil {
		return errorf("cannot check slot: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	free, full := make(chan []byte, checkBuffers), make(chan chunk, checkBuffers+1)
	defer func() { // the reader is out of dev before Check returns
		cancel()
		for range full {
		}
	}()
	size := min(maxBuffer, (img.Size+hal.Align-1)/hal.Align*hal.Align)
	for range checkBuffers {
		free <- hal.AlignedBuffer(int(size))
	}
	go readChunks(ctx, dev, img, size, free, full)
	var done int64
	var told time.Time
	for c := range full {
		if c.err != nil {
			return c.err
		}
		h.Write(c.buf[:c.n])
		done += int64(c.n)
		free <- c.buf
		if progress != nil && (done == img.Size || time.Since(told) >= progressEvery) {
			progress(Progress{Written: done, Size: img.Size})
			told = time.Now()
		}
		if err := ctx.Err(); err != nil && done < img.Size {
			return errorf("cannot check slot: interrupted at byte %d: %w", done, err)
		}
	}
	return digest(h, img)
}

// chunk is a part of the image as it stands in the slot.
type chunk struct {
	buf []byte
	n   int // image bytes
	err error
}

// readChunks reads the image in pieces of size bytes into the buffers of free, and closes full behind the last one or
// the first error.
func readChunks(ctx context.Context, dev hal.Medium, img Image, size int64, free <-chan []byte, full chan<- chunk) {
	defer close(full)
	slot := dev.Size()
	for off := int64(0); off < img.Size; off += size {
		var c chunk
		select {
		case c.buf = <-free:
		case <-ctx.Done():
			full <- chunk{err: errorf("cannot check slot: interrupted at byte %d: %w", off, ctx.Err())}
			return
		}
		c.n = int(min(size, img.Size-off))
		for _, s := range spans(slot, off, c.n) {
			from := int(s.off - off)
			if _, err := dev.ReadAt(c.buf[from:from+s.n], s.off); err != nil {
				full <- chunk{err: &MediumError{Op: "read", Off: s.off, Err: err}}
				return
			}
		}
		full <- c
	}
}
