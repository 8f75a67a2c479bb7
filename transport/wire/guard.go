package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// MaxPacket is the largest remaining length in bytes (MQTT 3.1.1, section 2.2.3) of a packet that is
// accepted from a broker: a document of 64 KiB, its topic, and room to spare.
const MaxPacket = 80 << 10

// ErrPacket: the broker sent a packet that this client does not accept; the connection is closed
// before the packet's body is read.
var ErrPacket = errors.New("packet from the broker is not allowed")

// Packet types in use (MQTT 3.1.1, table 2.1): the client never unsubscribes and never uses QoS 2.
const (
	TypeConnect  = 1
	TypeConnack  = 2
	TypePublish  = 3
	TypePuback   = 4
	TypeSuback   = 9
	TypePingreq  = 12
	TypePingresp = 13
)

// TooLong is an ErrPacket: a message so long that it is not even passed over.
type TooLong struct {
	Topic string // as far as it was read; "" where it is longer than any of ours
	Bytes int    // announced
}

func (e *TooLong) Error() string {
	return fmt.Sprintf("%v: a message of %d bytes on topic %q", ErrPacket, e.Bytes, e.Topic)
}

// Unwrap lets errors.Is find ErrPacket.
func (e *TooLong) Unwrap() error { return ErrPacket }

// Guard passes an MQTT byte stream through and checks each fixed header before a byte of it is
// seen by the decoder behind. That decoder allocates whatever length a header announces (up to
// 256 MiB), keeps QoS 2 messages until they are released, and trusts the length of a SUBACK.
type Guard struct {
	r       *bufio.Reader
	options Options
	suback  atomic.Int32 // return codes that a SUBACK must carry now
	inside  atomic.Bool  // a packet has begun and not ended

	head [5]byte // accepted fixed header, as it is passed on
	have []byte  // the part of head not yet passed on
	left int     // bytes of the packet's body not yet passed on
	skip int     // bytes after them that are dropped
	err  error
}

// Options of NewGuard.
type Options struct {
	// Limit is the largest remaining length of a PUBLISH in bytes.
	Limit int
	// Cut says that a longer PUBLISH is cut short to Limit, which is then at least 65,539: the longest
	// topic, its length and a packet identifier. Otherwise it is refused with ErrPacket, which ends the
	// connection. Both ends cut: a retained message that is too long would end each of them until somebody
	// clears it, and must not hide the others. What is left of it is longer than any document, so it is
	// garbage to whoever reads it.
	Cut bool
	// Longest is the remaining length in bytes beyond which even what is cut away costs too much to be read:
	// a *TooLong ends the connection. 0 is no bound.
	Longest int
	// Arrived is called with the type of each accepted packet, before its first byte is passed on. It may
	// be nil.
	Arrived func(typ int)
}

// longestTopic is what stands before the body of a PUBLISH at most (MQTT 3.1.1, section 3.3.2).
const longestTopic = 2 + 65535 + 2

// NewGuard checks what comes from r.
func NewGuard(r io.Reader, o Options) *Guard {
	if o.Cut {
		o.Limit = max(o.Limit, longestTopic)
	}
	return &Guard{r: bufio.NewReaderSize(r, 2048), options: o}
}

// AwaitSuback says how many return codes the next SUBACK must carry: one for each topic asked for.
// One subscription may be under way at a time. It may be called while Read runs.
func (g *Guard) AwaitSuback(codes int) { g.suback.Store(int32(codes)) }

// Inside reports whether a packet has begun to arrive and has not ended: what the broker sends next waits
// behind it. It may be called while Read runs.
func (g *Guard) Inside() bool { return g.inside.Load() }

// Read implements io.Reader. After an error it returns the same error for good.
func (g *Guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(g.have) == 0 && g.left == 0 {
		if g.err = g.drop(); g.err == nil {
			g.inside.Store(false)
			g.err = g.next()
		}
		if g.err != nil {
			return 0, g.err
		}
	}
	if len(g.have) > 0 {
		n := copy(p, g.have)
		g.have = g.have[n:]
		return n, nil
	}
	n, err := g.r.Read(p[:min(len(p), g.left)])
	g.left -= n
	g.err = cut(err)
	if n > 0 {
		return n, nil
	}
	return 0, g.err
}

// drop passes over the rest of a message that was cut short.
func (g *Guard) drop() error {
	n, err := g.r.Discard(g.skip)
	g.skip -= n
	return cut(err)
}

// next reads and checks one fixed header (MQTT 3.1.1, section 2.2).
func (g *Guard) next() error {
	first, err := g.r.ReadByte()
	if err != nil {
		return err // between packets: a plain end of stream
	}
	g.head[0] = first
	g.inside.Store(true)
	length, n := 0, 1
	for {
		b, err := g.r.ReadByte()
		if err != nil {
			return cut(err)
		}
		g.head[n] = b
		length |= int(b&0x7f) << (7 * (n - 1))
		n++
		if b&0x80 == 0 {
			if b == 0 && n > 2 {
				return fmt.Errorf("%w: remaining length is not in its shortest form", ErrPacket)
			}
			break
		}
		if n == len(g.head) {
			return fmt.Errorf("%w: remaining length has more than four bytes", ErrPacket)
		}
	}
	if err := g.check(int(first>>4), first&0x0f, length); err != nil {
		return err
	}
	if most := g.options.Longest; int(first>>4) == TypePublish && most > 0 && length > most {
		return &TooLong{Topic: g.topic(), Bytes: length}
	}
	g.left = length
	if int(first>>4) == TypePublish && length > g.options.Limit {
		g.left, g.skip = g.options.Limit, length-g.options.Limit
		n = len(binary.AppendUvarint(g.head[:1], uint64(g.left))) // the same encoding as section 2.2.3's
	}
	g.have = g.head[:n]
	if g.options.Arrived != nil {
		g.options.Arrived(int(first >> 4))
	}
	return nil
}

// topic is that of a PUBLISH whose body comes next (MQTT 3.1.1, section 3.3.2.1).
func (g *Guard) topic() string {
	b, _ := g.r.Peek(2)
	if len(b) < 2 {
		return ""
	}
	n := int(binary.BigEndian.Uint16(b))
	if b, _ = g.r.Peek(2 + min(n, 1024)); len(b) < 2+n {
		return ""
	}
	return string(b[2:])
}

// check judges one fixed header. Every packet but PUBLISH has one exact length.
func (g *Guard) check(typ int, flags byte, length int) error {
	want := 0
	switch typ {
	case TypePublish:
		if qos := flags >> 1 & 3; qos > 1 {
			return fmt.Errorf("%w: message at QoS %d, the subscriptions are for 1", ErrPacket, qos)
		}
		if length > g.options.Limit && !g.options.Cut {
			return fmt.Errorf("%w: %d bytes announced, at most %d are accepted", ErrPacket, length, g.options.Limit)
		}
		return nil
	case TypeConnack, TypePuback:
		want = 2
	case TypeSuback:
		want = 2 + int(g.suback.Load())
	case TypePingresp:
	default:
		return fmt.Errorf("%w: a broker does not send type %d", ErrPacket, typ)
	}
	if flags != 0 {
		return fmt.Errorf("%w: reserved flags %#x in type %d", ErrPacket, flags, typ)
	}
	if length != want {
		return fmt.Errorf("%w: %d bytes announced for type %d, expected %d", ErrPacket, length, typ, want)
	}
	return nil
}

// cut turns an end of stream inside a packet into io.ErrUnexpectedEOF.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
