package slots_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/slots"
)

// another is an Unpacker without a process: other decodes in a goroutine, honestly or not.
func another(other func(in io.Reader, out io.Writer) error) func() (slots.Unpacker, error) {
	return func() (slots.Unpacker, error) {
		inR, inW := io.Pipe()
		outR, outW := io.Pipe()
		done := make(chan error, 1)
		go func() {
			err := other(inR, outW)
			done <- err
			inR.Close()
			outW.Close()
		}()
		return &pipes{in: inW, out: outR, done: done}, nil
	}
}

type pipes struct {
	in   *io.PipeWriter
	out  *io.PipeReader
	done chan error
	once sync.Once
	err  error
}

func (p *pipes) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p *pipes) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p *pipes) CloseWrite() error           { return p.in.Close() }
func (p *pipes) Close() error {
	p.once.Do(func() {
		select {
		case p.err = <-p.done:
		default:
		}
		p.in.CloseWithError(io.ErrClosedPipe)
		p.out.Close()
	})
	return p.err
}

// places are where a payload is decoded.
var places = map[string]func() (slots.Unpacker, error){"here": nil, "elsewhere": another(slots.Unpack)}

// both writes a payload decoded here and elsewhere, and fails where the two do not end alike.
func both(t *testing.T, img slots.Image, payload []byte, o slots.Options) (rig, error) {
	t.Helper()
	r := newRig(t, 1, 128*kib)
	_, here := slots.Write(context.Background(), r.open(), img, &source{data: payload}, o)
	o.Unpack = places["elsewhere"]
	there := newRig(t, 1, 128*kib)
	_, err := slots.Write(context.Background(), there.open(), img, &source{data: payload}, o)
	if (here == nil) != (err == nil) || here != nil && here.Error() != err.Error() {
		t.Fatalf("here: %v\nelsewhere: %v", here, err)
	}
	for _, kind := range []error{slots.ErrDigest, slots.ErrEncoding, slots.ErrShort, slots.ErrTooLarge} {
		if errors.Is(here, kind) != errors.Is(err, kind) {
			t.Fatalf("here: %v\nelsewhere: %v", here, err)
		}
	}
	if errors.Is(here, slots.ErrDigest) && !bytes.Equal(r.Disk("b", 0, img.Size), there.Disk("b", 0, img.Size)) {
		t.Fatal("it wrote other bytes elsewhere")
	}
	return r, here
}

// head is the beginning of a piece, as Unpack tells it.
func head(n, cut uint32, payload uint64, kind byte, text string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, n)
	b = binary.LittleEndian.AppendUint32(b, cut)
	b = binary.LittleEndian.AppendUint64(b, payload)
	return append(append(b, kind, byte(len(text))), text...)
}

// TestTakenOverUnpacker: whatever it says, the error is one that may pass, nothing hangs, and no byte is taken
// that the digest does not cover.
func TestTakenOverUnpacker(t *testing.T) {
	const none = 1<<32 - 1
	content := pattern(31, 100*kib)
	img, payload := zstdImage(t, content, 16*kib)
	say := func(bs ...[]byte) func(io.Reader, io.Writer) error {
		return func(in io.Reader, out io.Writer) error {
			go io.Copy(io.Discard, in)
			for _, b := range bs {
				if _, err := out.Write(b); err != nil {
					return nil
				}
			}
			return nil
		}
	}
	died := errors.New("ended by signal 31")
	first := make([]byte, 8*kib) // a piece is as long as the writer's buffers
	for name, tt := range map[string]struct {
		does func(io.Reader, io.Writer) error
		says string
	}{
		"ends at once":        {say(), "ended early"},
		"dies":                {func(io.Reader, io.Writer) error { return died }, "ended by signal 31"},
		"dies in a head":      {say([]byte{1, 2, 3}), "ended early"},
		"dies in a piece":     {say(head(8*kib, none, 0, 0, ""), first[:99]), "ended early"},
		"too long a piece":    {say(head(8*kib+1, none, 0, 0, ""), make([]byte, 9*kib)), "nobody asked for"},
		"a huge piece":        {say(head(1<<31, none, 0, 0, "")), "nobody asked for"},
		"too short a piece":   {say(head(4*kib, none, 0, 0, ""), first), "nobody asked for"},
		"an empty piece":      {say(head(0, none, 0, 0, "")), "nobody asked for"},
		"a cut behind":        {say(head(8*kib, 8*kib+1, 0, 0, ""), first), "nobody asked for"},
		"a cut between":       {say(head(8*kib, 5, 0, 0, ""), first), "nobody asked for"},
		"a cut before":        {say(head(8*kib, none-1, 0, 0, ""), first), "nobody asked for"},
		"what was not sent":   {say(head(8*kib, 0, 1<<40, 0, ""), first), "nobody asked for"},
		"a negative position": {say(head(8*kib, 0, 1<<63, 0, ""), first), "nobody asked for"},
		"whole, too early":    {say(head(0, none, uint64(len(payload)), 1, "")), "an end"},
		"short, too early": {func(in io.Reader, out io.Writer) error {
			if _, err := io.ReadFull(in, make([]byte, 28)); err != nil { // the request, and no payload
				return err
			}
			_, err := out.Write(head(0, none, 0, 2, ""))
			return err
		}, "an end before the payload's"},
		"whole, at another place": {func(in io.Reader, out io.Writer) error {
			return slots.Unpack(in, changes{out, func(piece []byte) {
				if piece[16] == 1 {
					piece[8]-- // payload that was not used
				}
			}})
		}, "an end that is none"},
		"an unknown kind": {say(head(0, none, 0, 200, "text\x1b[31m\n")), "text?[31m?"},
		"other bytes": {say(head(8*kib, none, 0, 0, ""), first, head(0, none, 0, 3, "damaged"), first),
			"damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, 128*kib)
			m := r.open()
			var s saves
			_, err := slots.Write(t.Context(), m, img, &source{data: payload},
				slots.Options{Every: 64 * kib, Save: s.save, Unpack: another(tt.does)})
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			for _, final := range []error{slots.ErrDigest, slots.ErrShort, slots.ErrTooLarge} {
				if errors.Is(err, final) {
					t.Errorf("%v is %v", err, final)
				}
			}
			// The next one is honest.
			if _, err := slots.Write(t.Context(), m, img, &source{data: payload},
				slots.Options{From: s.last(), Unpack: places["elsewhere"]}); err != nil {
				t.Fatal(err)
			}
			r.holds(content)
		})
	}
}

// changes changes each piece that an honest process tells.
type changes struct {
	io.Writer
	do func(piece []byte)
}

func (c changes) Write(b []byte) (int, error) {
	c.do(b)
	return c.Writer.Write(b)
}

// TestUnpackerThatCannotBeStarted: the payload is not decoded here instead, where a fault in the decoder would
// be root's.
func TestUnpackerThatCannotBeStarted(t *testing.T) {
	img, payload := zstdImage(t, pattern(32, 20*kib), 16*kib)
	no := errors.New("no memory")
	_, err := slots.Write(t.Context(), newRig(t, 1, 64*kib).open(), img, &source{data: payload},
		slots.Options{Unpack: func() (slots.Unpacker, error) { return nil, no }})
	if !errors.Is(err, no) {
		t.Fatal(err)
	}
}

// TestSilentUnpacker: one that has payload and says nothing is ended; a source that is slow is not its fault.
func TestSilentUnpacker(t *testing.T) {
	content := pattern(33, 100*kib)
	img, payload := zstdImage(t, content, 16*kib)
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			quiet := func(in io.Reader, out io.Writer) error {
				io.Copy(io.Discard, in)
				time.Sleep(time.Hour)
				return nil
			}
			_, err := slots.Write(context.Background(), newRig(t, 1, 128*kib).open(), img, &source{data: payload},
				slots.Options{Unpack: another(quiet)})
			if err == nil || !strings.Contains(err.Error(), "silent for 1m0s") {
				t.Errorf("got %v", err)
			}
			time.Sleep(2 * time.Hour)
		})
	})
	t.Run("takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			deaf := func(io.Reader, io.Writer) error { time.Sleep(time.Hour); return nil }
			_, err := slots.Write(context.Background(), newRig(t, 1, 128*kib).open(), img, &source{data: payload},
				slots.Options{Unpack: another(deaf)})
			if err == nil || !strings.Contains(err.Error(), "silent for 1m0s") {
				t.Errorf("got %v", err)
			}
			time.Sleep(2 * time.Hour)
		})
	})
	t.Run("slow source", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, slow := newRig(t, 1, 128*kib), &source{data: payload}
			slow.onRead = func(int64) { time.Sleep(10 * time.Minute) }
			if _, err := slots.Write(context.Background(), r.open(), img, slow,
				slots.Options{Unpack: places["elsewhere"]}); err != nil {
				t.Error(err)
			}
			r.holds(content)
		})
	})
	t.Run("ended from outside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			deaf := func(io.Reader, io.Writer) error { time.Sleep(time.Hour); return nil }
			begin := time.Now()
			_, err := slots.Write(ctx, newRig(t, 1, 128*kib).open(), img, &source{data: payload},
				slots.Options{Unpack: another(deaf)})
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
				t.Errorf("got %v after %v", err, took)
			}
			time.Sleep(2 * time.Hour)
		})
	})
}

// FuzzUnpacker: the answers of a process that was taken over.
func FuzzUnpacker(f *testing.F) {
	img, payload := zstdImage(f, pattern(34, 20*kib), 16*kib)
	f.Add(append(head(8*kib, 0, 0, 0, ""), make([]byte, 8*kib)...))
	f.Add(head(0, 1<<32-1, uint64(len(payload)), 1, ""))
	f.Add(head(0, 1<<32-1, 0, 3, "damaged"))
	f.Fuzz(func(t *testing.T, says []byte) {
		_, err := slots.Write(context.Background(), newRig(t, 1, 64*kib).open(), img, &source{data: payload},
			slots.Options{Every: 64 * kib, Unpack: another(func(in io.Reader, out io.Writer) error {
				go io.Copy(io.Discard, in)
				out.Write(says)
				return nil
			})})
		if err == nil {
			t.Fatal("it was taken")
		}
	})
}

// FuzzUnpack: what the root process may ask and hand over. It never panics.
func FuzzUnpack(f *testing.F) {
	_, payload := zstdImage(f, pattern(35, 20*kib), 16*kib)
	request := func(off, at, size uint64, buffer uint32) []byte {
		b := binary.LittleEndian.AppendUint64(nil, off)
		b = binary.LittleEndian.AppendUint64(b, at)
		b = binary.LittleEndian.AppendUint64(b, size)
		return binary.LittleEndian.AppendUint32(b, buffer)
	}
	f.Add(append(request(0, 0, 20*kib, 4096), payload...))
	f.Add(append(request(16*kib, 1<<62, 1<<62, 1), payload...))
	f.Fuzz(func(t *testing.T, in []byte) {
		slots.Unpack(bytes.NewReader(in), &limited{n: 1 << 20})
	})
}

// TestPanicWhileUnpacking: a fault in the decoder is told, and is an error that may pass.
func TestPanicWhileUnpacking(t *testing.T) {
	img, payload := zstdImage(t, pattern(36, 20*kib), 16*kib)
	_, err := slots.Write(t.Context(), newRig(t, 1, 64*kib).open(), img, &source{data: payload},
		slots.Options{Unpack: another(func(in io.Reader, out io.Writer) error {
			return slots.Unpack(&panics{in, 2}, out)
		})})
	if err == nil || !strings.Contains(err.Error(), "says: internal error: out of range") {
		t.Fatal(err)
	}
}

// panics reads some times.
type panics struct {
	io.Reader
	times int
}

func (p *panics) Read(b []byte) (int, error) {
	if p.times--; p.times < 0 {
		panic("out of range")
	}
	return p.Reader.Read(b)
}

// limited takes so many bytes.
type limited struct{ n int }

func (l *limited) Write(b []byte) (int, error) {
	if l.n -= len(b); l.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}
