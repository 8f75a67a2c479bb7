package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport/wire"
)

// newGuard is a guard that waits for a SUBACK with so many codes.
func newGuard(r io.Reader, limit, codes int) io.Reader {
	g := wire.NewGuard(r, wire.Options{Limit: limit})
	g.AwaitSuback(codes)
	return g
}

func TestGuard(t *testing.T) {
	publish := func(n int) []byte { // QoS 0, topic "t", n bytes of remaining length
		var b bytes.Buffer
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Payload = "t", make([]byte, n-3)
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, tc := range map[string]struct {
		in   []byte
		pass int // bytes that get through
		err  error
	}{
		"nothing":               {nil, 0, io.EOF},
		"connack":               {[]byte{0x20, 2, 0, 0}, 4, io.EOF},
		"pingresp":              {[]byte{0xd0, 0}, 2, io.EOF},
		"puback":                {[]byte{0x40, 2, 0, 1}, 4, io.EOF},
		"suback":                {[]byte{0x90, 5, 0, 1, 1, 1, 0x80}, 7, io.EOF},
		"several":               {[]byte{0xd0, 0, 0x20, 2, 0, 0, 0xd0, 0}, 8, io.EOF},
		"publish, one byte":     {publish(127), 129, io.EOF},
		"publish, two bytes":    {publish(128), 131, io.EOF},
		"publish, at the limit": {publish(1000), 1003, io.EOF},
		"publish, over it":      {publish(1001), 0, wire.ErrPacket},
		"publish, 256 MiB":      {[]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 0, wire.ErrPacket},
		"five length bytes":     {[]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, 0, wire.ErrPacket},
		"padded length":         {[]byte{0x30, 0x83, 0x00, 0, 1, 't'}, 0, wire.ErrPacket},
		"QoS 2":                 {[]byte{0x34, 5, 0, 1, 't', 0, 1}, 0, wire.ErrPacket},
		"QoS 3":                 {[]byte{0x36, 5, 0, 1, 't', 0, 1}, 0, wire.ErrPacket},
		"suback, one too many":  {[]byte{0x90, 6, 0, 1, 1, 1, 1, 1}, 0, wire.ErrPacket},
		"suback, one too few":   {[]byte{0x90, 4, 0, 1, 1, 1}, 0, wire.ErrPacket},
		"long connack":          {[]byte{0x20, 3, 0, 0, 0}, 0, wire.ErrPacket},
		"long pingresp":         {[]byte{0xd0, 1, 0}, 0, wire.ErrPacket},
		"flags in puback":       {[]byte{0x42, 2, 0, 1}, 0, wire.ErrPacket},
		"connect":               {[]byte{0x10, 0}, 0, wire.ErrPacket},
		"pubrec":                {[]byte{0x50, 2, 0, 1}, 0, wire.ErrPacket},
		"pubrel":                {[]byte{0x62, 2, 0, 1}, 0, wire.ErrPacket},
		"disconnect":            {[]byte{0xe0, 0}, 0, wire.ErrPacket},
		"type 0":                {[]byte{0x00, 0}, 0, wire.ErrPacket},
		"type 15":               {[]byte{0xf0, 0}, 0, wire.ErrPacket},
		"second is bad":         {[]byte{0xd0, 0, 0x00, 0}, 2, wire.ErrPacket},
		"cut in the header":     {[]byte{0xd0}, 0, io.ErrUnexpectedEOF},
		"cut in the length":     {[]byte{0x30, 0x80}, 0, io.ErrUnexpectedEOF},
		"cut in the body":       {[]byte{0x20, 2, 0}, 3, io.ErrUnexpectedEOF},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"byte by byte": iotest.OneByteReader,
			"data and EOF": iotest.DataErrReader,
		} {
			g := newGuard(wrap(bytes.NewReader(tc.in)), 1000, 3)
			got, err := io.ReadAll(struct{ io.Reader }{g})
			if err == nil {
				err = io.EOF
			}
			if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.in[:tc.pass]) {
				t.Errorf("%s, %s: %d bytes passed, %v; want %d, %v", name, how, len(got), err, tc.pass, tc.err)
			}
			if _, again := g.Read(make([]byte, 1)); !errors.Is(again, tc.err) {
				t.Errorf("%s, %s: %v on the next read", name, how, again)
			}
		}
	}
}

// message encodes a PUBLISH at QoS 1 with a topic and a body of so many bytes.
func message(t testing.TB, topic, body int) []byte {
	t.Helper()
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.Qos, p.MessageID = 1, 7
	p.TopicName, p.Payload = strings.Repeat("t", topic), bytes.Repeat([]byte{'x'}, body)
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A message that is too long is cut short, and what comes after it is seen whole; all else is
// refused as it is without Cut.
func TestGuardCuts(t *testing.T) {
	const most = wire.MaxPacket - 2 - 1 - 2 // of a body, below a topic of one byte
	for name, tc := range map[string]struct {
		in, want []byte
		err      error
	}{
		"whole":         {message(t, 1, 10), message(t, 1, 10), io.EOF},
		"largest":       {message(t, 1, most), message(t, 1, most), io.EOF},
		"one byte more": {message(t, 1, most+1), message(t, 1, most), io.EOF},
		"much too long": {message(t, 1, 3<<20), message(t, 1, most), io.EOF},
		"others after": {append(message(t, 1, 3<<20), message(t, 1, 3)...),
			append(message(t, 1, most), message(t, 1, 3)...), io.EOF},
		"longest topic":  {message(t, 65535, 1<<20), message(t, 65535, wire.MaxPacket-2-65535-2), io.EOF},
		"ends in a drop": {message(t, 1, 3<<20)[:1<<20], message(t, 1, most), io.ErrUnexpectedEOF},
		"long connack":   {[]byte{0x20, 3, 0, 0, 0}, nil, wire.ErrPacket},
		"QoS 2":          {[]byte{0x34, 5, 0, 1, 't', 0, 1}, nil, wire.ErrPacket},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"data and EOF": iotest.DataErrReader,
		} {
			g := wire.NewGuard(wrap(bytes.NewReader(tc.in)), wire.Options{Limit: wire.MaxPacket, Cut: true})
			got, err := io.ReadAll(struct{ io.Reader }{g})
			if err == nil {
				err = io.EOF
			}
			if !errors.Is(err, tc.err) || !bytes.Equal(got, tc.want) {
				t.Errorf("%s, %s: %d bytes pass, %v; want %d, %v", name, how, len(got), err, len(tc.want), tc.err)
			}
		}
	}
	// A limit below the longest topic would cut in the topic, which ends the connection.
	g := wire.NewGuard(bytes.NewReader(message(t, 65535, 10)), wire.Options{Limit: 100, Cut: true})
	if p, err := packets.ReadPacket(g); err != nil || len(p.(*packets.PublishPacket).TopicName) != 65535 {
		t.Error("the longest topic does not pass:", err)
	}
}

// steady wants that each Read gives something, and asks for a byte at a time.
type steady struct {
	t *testing.T
	io.Reader
}

func (s steady) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p[:1])
	if n == 0 && err == nil {
		s.t.Error("nothing was read, and no error given")
	}
	return n, err
}

// Each packet is told once, before its first byte; a reader gets something each time that it asks for something.
func TestGuardTells(t *testing.T) {
	in := []byte{0x20, 2, 0, 0, 0xd0, 0, 0x30, 3, 0, 1, 't', 0x40, 2, 0, 1}
	var types []int
	g := wire.NewGuard(bytes.NewReader(in),
		wire.Options{Limit: 3, Arrived: func(typ int) { types = append(types, typ) }})
	if n, err := g.Read(nil); n != 0 || err != nil || len(types) != 0 {
		t.Errorf("%d, %v, %v when nothing is asked for", n, err, types)
	}
	got, err := io.ReadAll(steady{t, g})
	if err != nil || !bytes.Equal(got, in) || fmt.Sprint(types) != "[2 13 3 4]" {
		t.Errorf("%x, %v, told of %v", got, err, types)
	}
	// What is cut short gives no empty reads either.
	g = wire.NewGuard(bytes.NewReader(append(message(t, 1, 1<<20), 0xd0, 0)), wire.Options{Limit: 1, Cut: true})
	if got, err := io.ReadAll(steady{t, g}); err != nil || !bytes.HasSuffix(got, []byte{'x', 0xd0, 0}) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The limit is that of messages: whatever else a broker sends has its own length.
func TestGuardLimitsMessages(t *testing.T) {
	in := []byte{0x20, 2, 0, 0, 0x40, 2, 0, 1}
	got, err := io.ReadAll(wire.NewGuard(bytes.NewReader(in), wire.Options{Limit: 1}))
	if err != nil || !bytes.Equal(got, in) {
		t.Errorf("%x, %v", got, err)
	}
}

// An end in the middle is unexpected; whatever else goes wrong with a connection is passed on as it is.
func TestGuardPassesErrorsOn(t *testing.T) {
	late := errors.New("late")
	for n, in := range [][]byte{{}, {0x20}, {0x20, 2}, {0x20, 2, 0}} {
		g := wire.NewGuard(io.MultiReader(bytes.NewReader(in), iotest.ErrReader(late)), wire.Options{Limit: 10})
		if _, err := io.ReadAll(g); err != late {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}
