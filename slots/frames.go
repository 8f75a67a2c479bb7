package slots

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/ratchet-ota/ratchet/hal"
)

const (
	frameMagic = 0xFD2FB528 // RFC 8878 section 3.1.1
	// frameSlack is how much longer than its content a frame may be: headers, and three bytes for
	// each block, of which there may be small ones. It bounds frames made of empty blocks.
	frameSlack = 64 << 10
	// readAhead spares a system call for each block header. The bytes of a cut count it.
	readAhead = 64 << 10
)

// zstdDecoder is a payload of zstd frames. Each frame stands alone, so that decoding resumes at any
// frame's start; each is checked before it is decoded: no dictionary, window and content at most
// MaxFrame, not empty, nothing but frames.
type zstdDecoder struct {
	f    frame
	dec  *zstd.Decoder
	open bool // inside a frame
}

func newZstdDecoder(b *body, at, ahead int64) (*zstdDecoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxFrame), zstd.WithDecoderMaxWindow(MaxFrame))
	if err != nil {
		return nil, errorf("internal error: zstd: %w", err)
	}
	return &zstdDecoder{f: frame{src: bufio.NewReaderSize(b, int(ahead)), body: b, pos: at}, dec: dec}, nil
}

func (d *zstdDecoder) close() { d.dec.Close() }

func (d *zstdDecoder) fill(p []byte, off int64) (piece, error) {
	got := piece{cut: -1}
	note := func() {
		if (off+int64(got.n))%hal.Align == 0 {
			got.cut, got.payload = got.n, d.f.pos
		}
	}
	for got.n < len(p) {
		if !d.open {
			note()
			if err := d.next(); err != nil {
				return got, err
			}
		}
		n, err := d.read(p[got.n:])
		got.n += n
		if err != nil {
			return got, err
		}
	}
	if !d.open { // the frame ended with p
		note()
	}
	return got, nil
}

// next starts the next frame; io.EOF when there is none.
func (d *zstdDecoder) next() error {
	if err := d.f.begin(); d.f.short {
		return io.EOF
	} else if err != nil {
		return err
	}
	if err := d.dec.Reset(&d.f); err != nil {
		return d.bad(err)
	}
	d.open = true
	return nil
}

// read reads from the open frame and closes it at its end.
func (d *zstdDecoder) read(p []byte) (int, error) {
	n, err := d.dec.Read(p)
	d.f.content += int64(n)
	switch {
	case d.f.content > MaxFrame:
		return 0, d.bad(errors.New("more content than a frame may have"))
	case err == nil && d.f.content == d.f.announced:
		// Known to be the last byte: the end is taken at once, so that this is a place to resume.
		var more [1]byte
		var extra int
		if extra, err = d.dec.Read(more[:]); extra > 0 {
			return 0, d.bad(errors.New("more content than announced"))
		}
	}
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, d.bad(err)
	case !d.f.done:
		return n, d.bad(io.ErrUnexpectedEOF)
	case d.f.content == 0:
		return n, d.bad(errors.New("frame without content"))
	}
	d.open = false
	return n, nil
}

func (d *zstdDecoder) end() (int64, error) {
	if d.open {
		var more [1]byte
		if n, err := d.read(more[:]); err != nil {
			return 0, err
		} else if n > 0 || d.open {
			return 0, errorf("payload decodes to more bytes than the image has: %w", ErrTooLarge)
		}
	}
	_, err := d.f.src.Peek(1)
	switch {
	case d.f.body.err != nil:
		return 0, d.f.body.err
	case err == nil:
		return 0, d.bad(errors.New("more behind the image's last frame"))
	case err != io.EOF:
		return 0, err
	}
	return d.f.pos, nil
}

// bad says that the payload is damaged at the present frame, unless it was the source that failed.
func (d *zstdDecoder) bad(err error) error {
	if d.f.body.err != nil {
		return d.f.body.err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && d.f.short {
		return io.EOF
	}
	return errorf("cannot decode the zstd frame at payload byte %d: %w: %w", d.f.start, ErrEncoding, err)
}

// frame hands one frame's bytes to the decoder, and io.EOF behind its last byte. It reads block
// headers (RFC 8878 section 3.1.1.2) to know where that is, and decodes nothing.
type frame struct {
	src  *bufio.Reader
	body *body
	pos  int64 // payload bytes consumed

	start     int64 // payload position of the frame
	announced int64 // content size from the header, -1 when it does not say
	content   int64 // decoded so far, counted by the decoder
	small     []byte
	buf       [18]byte // backs small
	block     int64    // bytes left of the present block
	last      bool     // the present block is the last one
	sum       bool     // a checksum follows
	done      bool     // everything was handed over
	short     bool     // the payload ended inside of the frame
}

// begin reads and checks a frame header; io.EOF at the payload's end.
func (f *frame) begin() error {
	*f = frame{src: f.src, body: f.body, pos: f.pos, start: f.pos}
	refuse := func(why string) error {
		return errorf("cannot decode the zstd frame at payload byte %d: %w: %s", f.start, ErrEncoding, why)
	}
	if _, err := f.src.Peek(1); err != nil {
		return f.source(err)
	}
	b := f.buf[:5]
	if err := f.full(b); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != frameMagic {
		return refuse("not a zstd frame")
	}
	desc := b[4]
	n := [4]int{0, 1, 2, 4}[desc&3] + [4]int{0, 2, 4, 8}[desc>>6]
	if single := desc&(1<<5) != 0; !single || desc>>6 == 0 {
		n++ // the window, or the one-byte content size of a single segment
	}
	b = f.buf[:5+n]
	if err := f.full(b[5:]); err != nil {
		return err
	}
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return refuse(err.Error())
	}
	switch {
	case desc&3 != 0:
		return refuse("it wants a dictionary")
	case h.WindowSize > MaxFrame:
		return refuse(fmt.Sprintf("window of %d bytes, limit %d", h.WindowSize, MaxFrame))
	case h.HasFCS && h.FrameContentSize > MaxFrame:
		return refuse(fmt.Sprintf("content of %d bytes, limit %d", h.FrameContentSize, MaxFrame))
	}
	f.announced = -1
	if h.HasFCS {
		f.announced = int64(h.FrameContentSize)
	}
	f.sum, f.small = h.HasCheckSum, b
	return nil
}

func (f *frame) Read(p []byte) (int, error) {
	if len(f.small) > 0 {
		n := copy(p, f.small)
		f.small = f.small[n:]
		return n, nil
	}
	if f.block == 0 {
		if err := f.advance(); err != nil {
			return 0, err
		}
		return f.Read(p)
	}
	if int64(len(p)) > f.block {
		p = p[:f.block]
	}
	n, err := f.src.Read(p)
	f.pos += int64(n)
	f.block -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, f.inside(err)
}

// advance goes to the next block header, the checksum, or the end.
func (f *frame) advance() error {
	switch {
	case f.done || f.last && !f.sum:
		f.done = true
		return io.EOF
	case f.last:
		f.sum = false
		f.small = f.buf[:4]
		return f.full(f.small)
	case f.pos-f.start > MaxFrame+frameSlack:
		return errors.New("frame is longer than its content can be")
	}
	b := f.buf[:3]
	if err := f.full(b); err != nil {
		return err
	}
	v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	f.last, f.block, f.small = v&1 != 0, int64(v>>3), b
	if kind := v >> 1 & 3; kind == 1 {
		f.block = 1 // a run: one byte, repeated
	}
	return nil
}

// full reads all of b from inside of the frame.
func (f *frame) full(b []byte) error {
	n, err := io.ReadFull(f.src, b)
	f.pos += int64(n)
	if err != nil {
		return f.inside(err)
	}
	return nil
}

func (f *frame) inside(err error) error {
	if err = f.source(err); err == io.EOF || err == io.ErrUnexpectedEOF {
		f.short = true
		return io.ErrUnexpectedEOF
	}
	return err
}

// source prefers what the body said over what came of it.
func (f *frame) source(err error) error {
	if f.body.err != nil {
		return f.body.err
	}
	return err
}
