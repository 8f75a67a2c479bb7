package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Whatever a broker sends and however it is cut up: what gets through is a prefix of it, made of
// whole headers within the limits, and the decoder behind neither panics nor sees a long packet.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 5, 0, 1, 1, 1, 0x80, 0x32, 6, 0, 1, 't', 0, 1, 'x', 0xd0, 0}, uint8(3))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, uint8(1))
	f.Add([]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, uint8(2))
	f.Add([]byte{0x30, 3, 0xff, 0xff, 't'}, uint8(255))
	f.Add([]byte{0x90, 2, 0, 1}, uint8(4))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		const limit = 64
		g := newGuard(bytes.NewReader(in), limit, 3)
		var out []byte
		buf := make([]byte, int(step)+1)
		var err error
		for err == nil {
			var n int
			n, err = g.Read(buf)
			out = append(out, buf[:n]...)
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatal("what came out is not what went in")
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, wire.ErrPacket) {
			t.Fatalf("ended with %v", err)
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && len(out) != len(in) {
			t.Fatal("a plain end before the end")
		}
		for r := bytes.NewReader(out); r.Len() > 0; {
			p, err := packets.ReadPacket(r)
			if err != nil {
				return // cut, or a body that the decoder refuses
			}
			switch p := p.(type) {
			case *packets.PublishPacket:
				if p.RemainingLength > limit || p.Qos > 1 {
					t.Fatalf("passed %v", p.FixedHeader)
				}
			case *packets.SubackPacket:
				if len(p.ReturnCodes) != 3 {
					t.Fatalf("passed a SUBACK with %d codes", len(p.ReturnCodes))
				}
			case *packets.ConnackPacket, *packets.PubackPacket, *packets.PingrespPacket:
			default:
				t.Fatalf("passed a %T", p)
			}
		}
	})
}

// An id is one level of a topic and nothing else.
func FuzzCheckID(f *testing.F) {
	for _, s := range []string{"gateway-0001", "", "a/b", "#", "+", "$SYS", "a b", "a\x00", "\u00e9", "..", "A_b.c-9"} {
		f.Add(s)
	}
	want := regexp.MustCompile(`\A[A-Za-z0-9._-]{1,64}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if err := wire.CheckID(s); (err == nil) != want.MatchString(s) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// However long the messages are that a broker sends: what gets through is whole packets within the
// limit, each the beginning of one that came, and no message is lost behind a long one.
func FuzzGuardCuts(f *testing.F) {
	const limit = 65539
	f.Add(message(f, 1, 5))
	f.Add(append(message(f, 1, 70<<10), message(f, 1, 3)...))
	f.Add(message(f, 65535, 10))
	f.Add([]byte{0x20, 2, 0, 0, 0xd0, 0, 0x30, 0x80, 0x80, 8, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		g := wire.NewGuard(bytes.NewReader(in), wire.Options{Limit: limit, Cut: true})
		got, _ := io.ReadAll(struct{ io.Reader }{g})
		// Each packet that came, by the header alone, and what is left of it.
		var want []byte
		for rest := in; len(rest) > 0; {
			length, n := binary.Uvarint(rest[1:])
			if n <= 0 || n > 4 {
				break
			}
			head, pass := rest[:1], min(length, limit)
			rest = rest[1+n:]
			want = append(binary.AppendUvarint(append(want, head...), pass), rest[:min(pass, uint64(len(rest)))]...)
			rest = rest[min(length, uint64(len(rest))):]
		}
		if !bytes.HasPrefix(want, got) {
			t.Fatalf("%d bytes pass that are not the packets that came", len(got))
		}
	})
}
