package slots

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// Unpacker decodes elsewhere: what is written to it is for Unpack to read, and what is read from it Unpack wrote.
type Unpacker interface {
	io.Reader
	io.Writer
	// CloseWrite tells it that no more comes.
	CloseWrite() error
	// Close ends it, at once; a Read or Write in progress returns. The error says how it ended, if it
	// had ended by itself. It may be called again, from any goroutine.
	Close() error
}

// The two sides are one program (the same file, even), so that what they say to each other has no
// versions. Numbers are little endian. To Unpack goes a request, and behind it the payload to its end:
//
//	image position, payload position, image size (8 bytes each), buffer size (4)
//
// From it come pieces of the image, as long as each buffer of the writer and pieceSize let them be, and
// after the last one, or where it cannot go on, an end:
//
//	length (4), cut (4; all ones for none), payload position of the cut (8), kind (1), length of text (1), bytes, text
const (
	requestSize = 8 + 8 + 8 + 4
	pieceHead   = 4 + 4 + 8 + 1 + 1
	// pieceSize is how much of an image is under way at once.
	pieceSize = 128 << 10
	maxText   = math.MaxUint8
	// underWay is what was fetched and is not in a buffer yet: read ahead, on its way there and back.
	underWay = readAhead + feedSize + 2*pipeSize + pieceSize
	feedSize = 64 << 10
	pipeSize = 64 << 10 // of the system
)

// kinds of a piece.
const (
	kindMore  = iota // more follows
	kindWhole        // the image and its payload are complete; the position is the payload's length
	kindShort        // the payload ended
	kindEncoding
	kindTooLarge
	kindOther
)

// patience is how long a piece may take, what the source takes for its payload not counted.
const patience = time.Minute

// Unpack decodes a Zstd payload: the other side of an Unpacker. It returns when it has told its end, or
// cannot tell it. What it holds is independent of the payload's size, and what it is asked to decode is
// bounded by MaxFrame. A panic of the decoder is an error that it tells.
func Unpack(in io.Reader, out io.Writer) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = tell(out, piece{cut: -1}, errorf("internal error: %v", fault), make([]byte, pieceHead))
		}
	}()
	var req [requestSize]byte
	if _, err := io.ReadFull(in, req[:]); err != nil {
		return errorf("cannot read what to unpack: %w", err)
	}
	off, at := int64(binary.LittleEndian.Uint64(req[:])), int64(binary.LittleEndian.Uint64(req[8:]))
	size, buffer := int64(binary.LittleEndian.Uint64(req[16:])), int64(binary.LittleEndian.Uint32(req[24:]))
	if off < 0 || at < 0 || size <= off || buffer <= 0 {
		return errors.New("cannot unpack: not a request")
	}
	b := &body{ctx: context.Background(), r: in, pos: at, limit: math.MaxInt64 - 1, fetched: new(atomic.Int64)}
	z, err := newZstdDecoder(b, at, readAhead)
	if err != nil {
		return err
	}
	defer z.close()
	buf := make([]byte, pieceHead+pieceSize)
	for from := off; off < size; {
		got, err := z.fill(buf[pieceHead:pieceHead+nextPiece(off-from, buffer, size-off)], off)
		off += int64(got.n)
		if told := tell(out, got, err, buf); err != nil || told != nil {
			return told
		}
	}
	payload, err := z.end()
	if err == nil {
		err = errWhole
	}
	return tell(out, piece{cut: -1, payload: payload}, err, buf)
}

// errWhole stands for the end of an image that is complete.
var errWhole = errors.New("complete")

// nextPiece is the length of the piece that begins done bytes behind the first, with left bytes of image to come.
func nextPiece(done, buffer, left int64) int64 { return min(pieceSize, buffer-done%buffer, left) }

// tell writes one piece in one go, with its bytes from buf, which has room for a head before them; and why it is the
// last one.
func tell(out io.Writer, got piece, err error, buf []byte) error {
	kind, text := byte(kindMore), ""
	switch {
	case err == nil:
	case err == errWhole:
		kind = kindWhole
	case err == io.EOF:
		kind = kindShort
	case errors.Is(err, ErrEncoding):
		kind, text = kindEncoding, err.Error()
	case errors.Is(err, ErrTooLarge):
		kind, text = kindTooLarge, err.Error()
	default:
		kind, text = kindOther, err.Error()
	}
	text = text[:min(len(text), maxText)]
	binary.LittleEndian.PutUint32(buf, uint32(got.n))
	binary.LittleEndian.PutUint32(buf[4:], uint32(int32(got.cut)))
	binary.LittleEndian.PutUint64(buf[8:], uint64(got.payload))
	buf[16], buf[17] = kind, byte(len(text))
	if _, err := out.Write(append(buf[:pieceHead+got.n], text...)); err != nil {
		return errorf("cannot tell what was unpacked: %w", err)
	}
	return nil
}

// remoteDecoder is a payload that an Unpacker decodes. It believes nothing of what comes back: the bytes are
// hashed like a server's, and a position where writing could go on is one of what was fetched, or the image
// is written from zero after a digest that does not match.
type remoteDecoder struct {
	b      *body // feed's, until fed is closed
	from   int64 // image position of the first piece
	base   int64 // payload position of the first byte
	size   int64 // of the image
	buffer int64
	last   int64 // payload position of the newest cut

	conn  Unpacker
	close func() error // ends it, once
	fed   chan struct{}
	all   bool // everything was read, or the source has failed; feed's, until fed is closed
	mu    sync.Mutex
	// waited is how long feed has waited for the source, without the present time, which began at since.
	waited time.Duration
	since  time.Time
	silent bool
	head   [pieceHead + maxText]byte
}

// newRemoteDecoder sends the request and begins to feed it. b is closed before end is called.
func newRemoteDecoder(ctx context.Context, b *body, start func() (Unpacker, error), off, size, buffer int64) (
	*remoteDecoder, error) {
	conn, err := start()
	if err != nil {
		return nil, errorf("cannot start the process that decodes zstd: %w", err)
	}
	d := &remoteDecoder{b: b, from: off, base: b.pos, last: b.pos, size: size, buffer: buffer, conn: conn,
		close: sync.OnceValue(conn.Close), fed: make(chan struct{})}
	req := binary.LittleEndian.AppendUint64(nil, uint64(off))
	req = binary.LittleEndian.AppendUint64(req, uint64(b.pos))
	req = binary.LittleEndian.AppendUint64(req, uint64(size))
	req = binary.LittleEndian.AppendUint32(req, uint32(buffer))
	stop := context.AfterFunc(ctx, func() { d.close() })
	go func() {
		defer stop()
		d.feed(req)
	}()
	return d, nil
}

// feed hands the payload on until either side is at its end.
func (d *remoteDecoder) feed(req []byte) {
	end := sync.OnceFunc(func() { close(d.fed) })
	defer end()
	if _, err := d.conn.Write(req); err != nil {
		return
	}
	buf := make([]byte, feedSize)
	for {
		d.mark(true)
		n, err := d.b.Read(buf)
		d.mark(false)
		if n > 0 {
			if _, err := d.conn.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			d.all = true
			end() // first: who answers to the end finds here why it is one
			d.conn.CloseWrite()
			return
		}
	}
}

// mark notes when waiting for the source begins and ends.
func (d *remoteDecoder) mark(begin bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if begin {
		d.since = time.Now()
		return
	}
	d.waited += time.Since(d.since)
	d.since = time.Time{}
}

// sourceTook is how long the source was waited for in all.
func (d *remoteDecoder) sourceTook() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		return d.waited
	}
	return d.waited + time.Since(d.since)
}

// guard ends the other side when the pieces of one call take too long, and returns what stops that.
func (d *remoteDecoder) guard() (stop func()) {
	begin, took := time.Now(), d.sourceTook()
	var mu sync.Mutex
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if left := patience - (time.Since(begin) - (d.sourceTook() - took)); left > 0 {
			timer.Reset(left)
			return
		}
		d.mu.Lock()
		d.silent = true
		d.mu.Unlock()
		d.close()
	})
	return func() { timer.Stop() }
}

func (d *remoteDecoder) fill(p []byte, off int64) (piece, error) {
	defer d.guard()()
	got := piece{cut: -1}
	for got.n < len(p) {
		at := off + int64(got.n)
		next, err := d.next(p[got.n:], at)
		if next.cut >= 0 {
			got.cut, got.payload = got.n+next.cut, next.payload
		}
		got.n += next.n
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

func (d *remoteDecoder) end() (int64, error) {
	defer d.guard()()
	got, err := d.next(nil, d.size)
	if err != errWhole {
		return 0, err
	}
	return got.payload, nil
}

// next reads one piece into p. errWhole comes behind the last one.
func (d *remoteDecoder) next(p []byte, off int64) (piece, error) {
	none := piece{cut: -1}
	head := d.head[:pieceHead]
	if _, err := io.ReadFull(d.conn, head); err != nil {
		return none, d.ended(err)
	}
	got := piece{n: int(binary.LittleEndian.Uint32(head)), cut: int(int32(binary.LittleEndian.Uint32(head[4:]))),
		payload: int64(binary.LittleEndian.Uint64(head[8:]))}
	kind, text := head[16], d.head[pieceHead:pieceHead+int(head[17])]
	want := 0
	if off < d.size {
		want = int(nextPiece(off-d.from, d.buffer, d.size-off))
	}
	if kind == kindWhole {
		return d.whole(got, off)
	}
	if got.n < 0 || got.n > min(want, len(p)) || kind == kindMore && (got.n < want || want == 0) || !d.place(got, off) {
		return none, d.lies("a piece that nobody asked for")
	}
	for _, b := range [][]byte{p[:got.n], text} {
		if _, err := io.ReadFull(d.conn, b); err != nil {
			return none, d.ended(err)
		}
	}
	if got.cut >= 0 {
		d.last = got.payload
	}
	return got, d.why(kind, text)
}

// place tells whether a cut is one: at a place where writing could begin, of payload that was handed over.
func (d *remoteDecoder) place(got piece, off int64) bool {
	return got.cut == -1 || got.cut >= 0 && got.cut <= got.n && (off+int64(got.cut))%hal.Align == 0 &&
		got.payload >= d.last && got.payload <= d.base+d.b.fetched.Load()
}

// atEnd tells whether the other side can know of the payload's end, and how the source failed, if it has.
func (d *remoteDecoder) atEnd() (bool, error) {
	select {
	case <-d.fed:
		return d.all, d.b.err
	default:
		return false, nil
	}
}

// whole holds the end of the image against what was fetched: all of it, and nothing more.
func (d *remoteDecoder) whole(got piece, off int64) (piece, error) {
	end, err := d.atEnd()
	switch {
	case err != nil:
		return piece{cut: -1}, err
	case !end || off != d.size || got.n != 0 || got.payload != d.b.pos:
		return piece{cut: -1}, d.lies("an end that is none")
	}
	return piece{cut: -1, payload: got.payload}, errWhole
}

// why is the error of a kind. Where the source failed, that is the cause of what came of it.
func (d *remoteDecoder) why(kind byte, text []byte) error {
	if kind == kindMore {
		return nil
	}
	end, err := d.atEnd()
	switch {
	case err != nil:
		return err
	case kind == kindShort && !end:
		return d.lies("an end before the payload's")
	}
	for i, c := range text {
		if c < ' ' || c > '~' {
			text[i] = '?'
		}
	}
	switch kind {
	case kindShort:
		return io.EOF
	case kindEncoding:
		return &remoteError{string(text), ErrEncoding}
	case kindTooLarge:
		return &remoteError{string(text), ErrTooLarge}
	}
	return errorf("the process that decodes zstd says: %s", text)
}

// remoteError is an error as the other side told it, of a kind that is known here.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// ended is the error for a stream that ended or broke, with what is known of why.
func (d *remoteDecoder) ended(err error) error {
	how := d.close()
	d.mu.Lock()
	silent := d.silent
	d.mu.Unlock()
	switch {
	case silent:
		return errorf("the process that decodes zstd was silent for %v, though it had payload", patience)
	case how != nil:
		return errorf("the process that decodes zstd has %w", how)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return errors.New("the process that decodes zstd has ended early") // io.EOF is the payload's end
	}
	return errorf("cannot read from the process that decodes zstd: %w", err)
}

// lies is the error for what an honest one would not say.
func (d *remoteDecoder) lies(what string) error {
	d.close()
	return errorf("the process that decodes zstd answered with %s", what)
}

// shut ends the other side and returns when nothing reads the body any more; the body is closed by then.
func (d *remoteDecoder) shut() {
	d.close()
	<-d.fed
}
