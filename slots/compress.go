package slots

import (
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/ratchet-ota/ratchet/hal"
)

// DefaultFrame is the number of image bytes in a frame of Compress: a third of the distance between
// two checkpoints, so that a power cut costs no more than with a raw payload, and little memory to
// decode. The larger ones that MaxFrame allows save a few per cent of the payload.
const DefaultFrame = DefaultCheckpoint / 4

// Compress writes src to dst as a Zstd payload: frames of frame image bytes each (0 is
// DefaultFrame; a multiple of hal.Align, at most MaxFrame), with their content size and a checksum,
// so that a device resumes at each and finds damage at the frame where it is. level is that of the
// zstd command, 1..22. A device needs as much memory as a frame has. The same input and the same
// version of this program give the same bytes.
func Compress(dst io.Writer, src io.Reader, frame int64, level int) error {
	if frame == 0 {
		frame = DefaultFrame
	}
	if frame < 0 || frame%hal.Align != 0 || frame > MaxFrame {
		return errorf("cannot compress: frames of %d bytes: must be a multiple of %d and at most %d",
			frame, hal.Align, MaxFrame)
	}
	if level < 1 || level > 22 {
		return errorf("cannot compress: level %d: must be 1 to 22", level)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(MaxFrame), zstd.WithEncoderCRC(true),
		zstd.WithSingleSegment(true))
	if err != nil {
		return errorf("cannot compress: %w", err)
	}
	defer enc.Close()
	in, out := make([]byte, frame), []byte(nil)
	for total := 0; ; {
		n, err := readBlock(src, in)
		if total += n; total == 0 && err == io.EOF {
			return errors.New("cannot compress: the image is empty")
		}
		if err != nil && err != io.EOF {
			return errorf("cannot read image to compress: %w", err)
		}
		if n > 0 {
			out = enc.EncodeAll(in[:n], out[:0])
			if _, err := dst.Write(out); err != nil {
				return errorf("cannot write compressed image: %w", err)
			}
		}
		if err != nil {
			return nil
		}
	}
}

// readBlock fills p; io.EOF only at the true end, which io.ReadFull would not tell from a source
// that says io.ErrUnexpectedEOF itself.
func readBlock(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	return n, err
}
