package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// maxBody is the largest message body, in bytes, that is seen whole: a document of the protocol has
// at most 64 KiB. Of a longer message the beginning is seen, and is garbage.
const maxBody = 68 << 10

// errPacket: the broker sent a packet that a client must not accept.
var errPacket = errors.New("the broker does not keep to MQTT 3.1.1")

// clip is a connection to a broker. It checks each fixed header before the decoder behind sees it:
// that one allocates whatever length is announced (up to 256 MiB), and trusts the length of a SUBACK.
// A message that is too long is not an error here, as it is on a device: any device may have
// published it, and must not keep the desk from seeing the others. It is cut short.
type clip struct {
	net.Conn
	r      *bufio.Reader
	suback atomic.Int32 // return codes that the awaited SUBACK must have

	head []byte // the part of a fixed header, as it is passed on, that is left
	left int    // bytes of the body to pass on
	skip int    // bytes of the body to drop
}

func newClip(conn net.Conn) *clip {
	return &clip{Conn: conn, r: bufio.NewReaderSize(conn, 4096)}
}

// Read implements io.Reader.
func (c *clip) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.head) == 0 && c.left == 0 {
		if _, err := c.r.Discard(c.skip); err != nil {
			return 0, err
		}
		c.skip = 0
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.r.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// next reads a fixed header (MQTT 3.1.1 section 2.2) and the length of a message's topic.
func (c *clip) next() error {
	first, err := c.r.ReadByte()
	if err != nil {
		return err
	}
	length := 0
	for i := 0; ; i++ {
		b, err := c.r.ReadByte()
		if err != nil {
			return noEOF(err)
		}
		length |= int(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			break
		}
		if i == 3 {
			return fmt.Errorf("%w: a length of more than four bytes", errPacket)
		}
	}
	pass := length
	switch typ := first >> 4; typ {
	case 3: // PUBLISH
		if first>>1&3 > 1 {
			return fmt.Errorf("%w: a message of a quality that was not asked for", errPacket)
		}
		topic, err := c.r.Peek(2)
		if err != nil {
			return noEOF(err)
		}
		whole := 2 + int(topic[0])<<8 + int(topic[1]) + 2 + maxBody
		pass = min(length, whole)
	case 2, 4, 11: // CONNACK, PUBACK, UNSUBACK
		if length != 2 {
			return fmt.Errorf("%w: type %d with %d bytes", errPacket, typ, length)
		}
	case 9: // SUBACK
		if length != 2+int(c.suback.Load()) {
			return fmt.Errorf("%w: a SUBACK of %d bytes", errPacket, length)
		}
	case 13: // PINGRESP
		if length != 0 {
			return fmt.Errorf("%w: a PINGRESP of %d bytes", errPacket, length)
		}
	default:
		return fmt.Errorf("%w: a packet of type %d", errPacket, typ)
	}
	c.left, c.skip = pass, length-pass
	c.head = []byte{first}
	for {
		b := byte(pass & 0x7f)
		if pass >>= 7; pass == 0 {
			c.head = append(c.head, b)
			return nil
		}
		c.head = append(c.head, b|0x80)
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
