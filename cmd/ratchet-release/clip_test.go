package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// stream is a connection that only brings bytes.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// message encodes a PUBLISH at QoS 1 with a body of n bytes.
func message(n int) []byte {
	rest := append([]byte{0, 1, 't', 0, 7}, bytes.Repeat([]byte{'x'}, n)...)
	out := []byte{0x32}
	for l := len(rest); ; {
		b := byte(l & 0x7f)
		if l >>= 7; l == 0 {
			return append(append(out, b), rest...)
		}
		out = append(out, b|0x80)
	}
}

func TestClip(t *testing.T) {
	long := message(3 << 20)
	for _, c := range []struct {
		name string
		in   []byte
		want []byte
		err  error
	}{
		{"whole", append(message(10), message(0)...), append(message(10), message(0)...), io.EOF},
		{"largest", message(maxBody), message(maxBody), io.EOF},
		{"too long", append(long, message(3)...), append(message(maxBody), message(3)...), io.EOF},
		{"answers", []byte{0x20, 2, 0, 0, 0x40, 2, 0, 7, 0x90, 4, 0, 1, 1, 1, 0xb0, 2, 0, 1, 0xd0, 0}, nil, io.EOF},
		{"huge length", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, []byte{}, errPacket},
		{"announced, not sent", []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1}, append([]byte{0x30}, 0x85, 0xa0, 0x04, 0, 1), io.ErrUnexpectedEOF},
		{"quality 2", []byte{0x34, 3, 0, 1, 't'}, []byte{}, errPacket},
		{"wrong suback", []byte{0x90, 3, 0, 1, 1}, []byte{}, errPacket},
		{"wrong connack", []byte{0x20, 3, 0, 1, 1}, []byte{}, errPacket},
		{"pingresp", []byte{0xd0, 1, 0}, []byte{}, errPacket},
		{"not a broker's", []byte{0x10, 0}, []byte{}, errPacket},
		{"cut header", []byte{0x30}, []byte{}, io.ErrUnexpectedEOF},
		{"cut topic", []byte{0x30, 5, 0}, []byte{}, io.ErrUnexpectedEOF},
	} {
		if c.want == nil {
			c.want = c.in
		}
		k := newClip(stream{Reader: bytes.NewReader(c.in)})
		k.suback.Store(2)
		got, err := io.ReadAll(struct{ io.Reader }{k})
		if err == nil {
			err = io.EOF
		}
		if !bytes.Equal(got, c.want) && c.name != "announced, not sent" {
			t.Errorf("%s: %d bytes pass, want %d", c.name, len(got), len(c.want))
		}
		if !errors.Is(err, c.err) && c.name != "announced, not sent" {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if len(got) > len(c.want) {
			t.Errorf("%s: %d bytes pass", c.name, len(got))
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add(message(5))
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 1, 0x30, 0x80, 0x80, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		k := newClip(stream{Reader: bytes.NewReader(b)})
		k.suback.Store(1)
		got, _ := io.ReadAll(struct{ io.Reader }{k})
		// What passes announces no more than a message may have, and never more than came.
		for i := 0; i+2 < len(got); {
			length, n := 0, 1
			for ; n < 5 && i+n < len(got); n++ {
				length |= int(got[i+n]&0x7f) << (7 * (n - 1))
				if got[i+n]&0x80 == 0 {
					n++
					break
				}
			}
			if length > maxBody+4+1<<16 {
				t.Fatalf("a packet of %d bytes passes", length)
			}
			i += n + length
		}
	})
}
