package slots

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

const (
	// buffers in the ring, of at most maxBuffer bytes each: all of a Write's memory but the decoder's.
	buffers   = 2
	maxBuffer = 1 << 20
	// share is how many buffers make up Every. A checkpoint stands every three quarters of it, and
	// the ring, which is what fetching can be ahead of writing, is the last quarter.
	share = 4 * buffers
	// minEvery keeps a buffer at one hal.Align at least.
	minEvery = share * hal.Align
	// progressEvery is the pause between two calls of Progress.
	progressEvery = 250 * time.Millisecond
)

// Write writes img into dev, which is opened for writing and at least as large, and proves the
// digest of what it fetched. It returns when all of it is durable. The slot is not proven by that:
// Check reads it back.
//
// Errors: ErrDigest, ErrTooLarge, ErrShort, ErrEncoding, ErrCheckpoint (From does not fit, nothing
// was done), *MediumError, the error of Save, and what src returned, wrapped. When ctx ends or the
// source fails, the newest position is saved first, so that the next call goes on from there; an
// end of ctx never divides a Sync and its Save. src's body must return from Read when it is closed.
func Write(ctx context.Context, dev hal.Medium, img Image, src Source, o Options) (Result, error) {
	if o.Every == 0 {
		o.Every = DefaultCheckpoint
	}
	if o.Every < 0 || o.Every%hal.Align != 0 {
		return Result{}, errorf("cannot write image: %d bytes between checkpoints is no multiple of %d",
			o.Every, hal.Align)
	}
	o.Every = max(o.Every, minEvery)
	if err := img.fits(dev.Size()); err != nil {
		return Result{}, errorf("cannot write image: %w", err)
	}
	w := &writer{dev: dev, slot: dev.Size(), img: img, o: o}
	w.track = tracker{img: img, latest: Checkpoint{Alg: img.Alg, Version: CheckpointVersion, Image: img.Digest}}
	if o.From == nil {
		w.track.h, _ = newHash(img.Alg) // fits has tried it
	} else {
		var err error
		if w.track.h, err = o.From.restore(img); err != nil {
			return Result{}, err
		}
		w.from, w.fromPayload, w.track.latest.Validator = o.From.Written, o.From.Payload, o.From.Validator
	}
	res := Result{Written: w.from, Resumed: w.from}
	if w.from == img.Size {
		return res, digest(w.track.h, img)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rc, validator, err := src.Open(ctx, w.fromPayload, w.track.latest.Validator)
	if err != nil {
		return res, errorf("cannot open payload at byte %d: %w", w.fromPayload, err)
	}
	// A body in the middle of a Read is set free by closing it.
	closeBody := sync.OnceFunc(func() { rc.Close() })
	defer closeBody()
	defer context.AfterFunc(ctx, closeBody)()
	w.track.latest.Validator = validator
	err = w.run(ctx, cancel, rc)
	res.Written, res.Fetched = w.written.Load(), w.fetched.Load()
	return res, err
}

// digest compares the running hash, over the whole image, with the manifest's digest.
func digest(h hash.Hash, img Image) error {
	if got := h.Sum(nil); !bytes.Equal(got, img.Digest) {
		return errorf("%w: it is %x, not %x", ErrDigest, got, img.Digest)
	}
	return nil
}

// writer is one Write. Buffers go round between fetch, which also hashes, and store; marked ones
// leave a checkpoint with the committer on their way. More stages measured no faster.
type writer struct {
	dev  hal.Medium
	slot int64
	img  Image
	o    Options
	from int64 // image bytes that were there; fromPayload likewise

	fromPayload int64
	track       tracker // of fetch; last and lastAt are those of its newest mark
	last        int64
	lastAt      time.Time
	fetched     atomic.Int64
	written     atomic.Int64
	marked      atomic.Int64 // position of the newest checkpoint that was made
	saved       atomic.Int64 // position of the newest one that is durable
	moved       chan struct{}
	size, ahead int64 // of a buffer; of what the decoder reads ahead
}

// block is a buffer on its way, in image order.
type block struct {
	buf []byte // nil in a last block without content
	off int64
	piece
	mark *Checkpoint // to be made durable once everything up to this block is written
	end  *end        // in the last block
}

// end is why nothing follows: err nil when the image is complete.
type end struct {
	err     error
	payload int64 // length of the payload of a complete image
}

// run runs fetch, store and committer until all have stopped.
func (w *writer) run(ctx context.Context, cancel func(), rc io.Reader) error {
	w.written.Store(w.from)
	w.saved.Store(w.from)
	w.marked.Store(w.from)
	w.moved = make(chan struct{}, 1)
	w.size = min(w.o.Every/share/hal.Align*hal.Align, maxBuffer, (w.img.Size-w.from+hal.Align-1)/hal.Align*hal.Align)

	b := &body{ctx: ctx, r: rc, pos: w.fromPayload, limit: w.img.maxPayload(), fetched: &w.fetched}
	var dec decoder = rawDecoder{b}
	switch {
	case w.img.Encoding != Zstd:
	case w.o.Unpack != nil:
		w.ahead = underWay
		z, err := newRemoteDecoder(ctx, b, w.o.Unpack, w.from, w.img.Size, w.size)
		if err != nil {
			return err
		}
		defer z.shut()
		dec = z
	default:
		w.ahead = min(readAhead, w.size)
		z, err := newZstdDecoder(b, w.fromPayload, w.ahead)
		if err != nil {
			return err
		}
		defer z.close()
		dec = z
	}
	// Fetching never waits to hand a block on: there is room for all of them and the end.
	free, ready := make(chan []byte, buffers), make(chan block, buffers+1)
	for range buffers {
		free <- hal.AlignedBuffer(int(w.size))
	}
	w.last, w.lastAt = w.from, time.Now()
	go func() {
		defer close(ready)
		w.fetch(ctx, dec, free, ready)
	}()
	com := &committer{w: w, serial: w.o.Serial, stop: cancel}
	com.start()
	err := w.store(com, free, ready)
	cancel()
	for range ready { // until fetch has returned
	}
	return err
}

// fetch fills and hashes buffers, and hands the last one on with its end.
func (w *writer) fetch(ctx context.Context, dec decoder, free chan []byte, ready chan block) {
	stop := func(bl block, err error) {
		if ctx.Err() != nil {
			err = errorf("interrupted at image byte %d: %w", bl.off+int64(bl.n), ctx.Err())
		} else if err == io.EOF {
			err = errorf("%w: %d of %d bytes", ErrShort, bl.off+int64(bl.n), w.img.Size)
		}
		// Only what ends at a place to resume from is worth writing.
		bl.n = max(bl.cut, 0)
		bl.end = &end{err: err}
		ready <- w.hash(bl)
	}
	for off := w.from; ; {
		if err := w.room(ctx, off); err != nil {
			stop(block{off: off, piece: piece{cut: -1}}, err)
			return
		}
		var buf []byte
		select {
		case buf = <-free:
		case <-ctx.Done():
			stop(block{off: off, piece: piece{cut: -1}}, ctx.Err())
			return
		}
		got, err := dec.fill(buf[:min(int64(len(buf)), w.img.Size-off)], off)
		bl := block{buf: buf, off: off, piece: got}
		if err != nil {
			stop(bl, err)
			return
		}
		if off += int64(got.n); off == w.img.Size {
			payload, err := dec.end()
			if err != nil {
				// Everything was fetched and yet it is not the image: there is nothing to resume.
				bl.n, bl.cut = 0, -1
			}
			bl.end = &end{err: err, payload: payload}
			ready <- w.hash(bl)
			return
		}
		ready <- w.hash(bl)
	}
}

// room waits while the next buffer would go further than a power cut may cost. Without a
// checkpoint under way there is nothing to wait for.
func (w *writer) room(ctx context.Context, off int64) error {
	for {
		saved := w.saved.Load()
		if w.marked.Load() == saved || off+w.size+w.ahead <= saved+w.o.Every {
			return ctx.Err()
		}
		select {
		case <-w.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hash hashes a block, and makes a checkpoint of a position in it when one is due.
func (w *writer) hash(bl block) block {
	done := 0
	if bl.cut >= 0 && bl.off+int64(bl.cut) > w.from {
		w.track.h.Write(bl.buf[:bl.cut])
		done = bl.cut
		if err := w.track.at(bl.off+int64(bl.cut), bl.payload); err != nil {
			bl.end = &end{err: err}
		}
	}
	w.track.h.Write(bl.buf[done:bl.n])
	switch {
	case bl.end == nil:
		if w.o.Save != nil && w.track.latest.Written-w.last >= w.o.Every/4*3 &&
			time.Since(w.lastAt) >= w.o.MinInterval {
			bl.mark = w.track.take()
			w.last, w.lastAt = bl.mark.Written, time.Now()
			w.marked.Store(w.last)
		}
	case bl.end.err == nil:
		if bl.end.err = digest(w.track.h, w.img); bl.end.err == nil {
			bl.end.err = w.track.at(w.img.Size, bl.end.payload)
		}
		if bl.end.err == nil {
			bl.mark = w.track.take()
		}
	case !errors.Is(bl.end.err, ErrTooLarge):
		bl.mark = w.track.take() // whatever there is
	}
	return bl
}

// store writes blocks and hands their checkpoints to the committer.
func (w *writer) store(com *committer, free chan []byte, ready chan block) error {
	var tick <-chan time.Time // on a slow link a block takes long: progress does not wait for it
	if w.o.Progress != nil {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		tick = t.C
	}
	for {
		var bl block
		select {
		case <-tick:
			w.tell()
			continue
		case bl = <-ready:
		}
		if err := w.put(bl); err != nil {
			com.wait()
			return err
		}
		if bl.n > 0 {
			w.written.Store(bl.off + int64(bl.n))
		}
		if bl.mark != nil {
			com.commit(*bl.mark)
		}
		if bl.end == nil {
			free <- bl.buf
			continue
		}
		// A failed commit has ended the fetching: it is the cause, the end is not.
		if err := com.wait(); err != nil {
			return err
		}
		w.tell()
		return bl.end.err
	}
}

// put writes one block, with zeros behind the image's end up to the access unit.
func (w *writer) put(bl block) error {
	if bl.n == 0 {
		return nil
	}
	for _, s := range spans(w.slot, bl.off, bl.n) {
		from := int(s.off - bl.off)
		if end := from + s.n; end > bl.n {
			clear(bl.buf[bl.n:end])
		}
		if _, err := w.dev.WriteAt(bl.buf[from:from+s.n], s.off); err != nil {
			return &MediumError{Op: "write", Off: s.off, Err: err}
		}
	}
	return nil
}

func (w *writer) tell() {
	if w.o.Progress != nil {
		w.o.Progress(Progress{Written: w.written.Load(), Size: w.img.Size,
			Fetched: w.fromPayload + w.fetched.Load(), Payload: w.img.payload()})
	}
}
