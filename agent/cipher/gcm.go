package cipher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"io"
)

const (
	// chunk is how many bytes of ciphertext are taken at a time, whole blocks.
	chunk   = 32 << 10
	tagSize = 16
	// maxGCM is how many bytes of ciphertext one nonce allows (NIST SP 800-38D section 5.2.1.1).
	maxGCM = 1<<36 - 32
)

// gcmReader decrypts AES-GCM as it is read: ciphertext, then the tag. The standard library opens only
// messages that lie in memory as a whole. The last bytes are handed out after the tag was verified,
// io.EOF after them; without that nothing that came out is genuine.
type gcmReader struct {
	r     io.Reader
	ctr   cipher.Stream
	mac   *ghash
	buf   []byte // ciphertext that was read; what may be the tag stays in it
	n     int
	plain []byte // decrypted, to be handed out
	out   []byte // memory of plain
	total uint64
	aad   uint64
	err   error
}

func newGCMReader(r io.Reader, key, nonce, aad []byte) (*gcmReader, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	mac, err := newGHASH(block, nonce)
	if err != nil {
		return nil, err
	}
	mac.update(pad(aad))
	counter := make([]byte, aes.BlockSize)
	copy(counter, nonce)
	counter[15] = 2 // 1 encrypts the tag
	return &gcmReader{
		r: r, ctr: cipher.NewCTR(block, counter), mac: mac, aad: uint64(len(aad)),
		buf: make([]byte, chunk+tagSize+1), out: make([]byte, chunk+1),
	}, nil
}

// Read implements io.Reader.
func (g *gcmReader) Read(p []byte) (int, error) {
	for len(g.plain) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		g.next()
	}
	n := copy(p, g.plain)
	g.plain = g.plain[n:]
	return n, nil
}

// next decrypts a chunk, or the end of the message.
func (g *gcmReader) next() {
	n, err := io.ReadFull(g.r, g.buf[g.n:])
	g.n += n
	switch err {
	case nil:
		// A byte beyond chunk and tag is here: the chunk is not the end.
		if g.total, g.err = longer(g.total, chunk); g.err != nil {
			return
		}
		g.mac.update(g.buf[:chunk])
		g.plain = g.out[:chunk]
		g.ctr.XORKeyStream(g.plain, g.buf[:chunk])
		g.n = copy(g.buf, g.buf[chunk:])
	case io.EOF, io.ErrUnexpectedEOF:
		g.end()
	default:
		g.err = err
	}
}

func (g *gcmReader) end() {
	if g.n < tagSize {
		g.err = ErrTag
		return
	}
	last, tag := g.buf[:g.n-tagSize], g.buf[g.n-tagSize:g.n]
	if g.total, g.err = longer(g.total, len(last)); g.err != nil {
		return
	}
	g.mac.update(pad(last))
	if subtle.ConstantTimeCompare(g.mac.tag(g.aad, g.total), tag) != 1 {
		g.err = ErrTag
		return
	}
	g.plain = g.out[:len(last)]
	g.ctr.XORKeyStream(g.plain, last)
	g.err = io.EOF
}

// longer adds n bytes of ciphertext to total, as far as one nonce allows.
func longer(total uint64, n int) (uint64, error) {
	if total += uint64(n); total > maxGCM {
		return total, ErrTooLong
	}
	return total, nil
}

// pad fills b up with zeros to whole blocks.
func pad(b []byte) []byte {
	return append(b[:len(b):len(b)], make([]byte, -len(b)&(aes.BlockSize-1))...)
}

// ghash is GCM's authenticator as a running state. The standard library has it in hardware where
// there is such, but only for a whole message. So each part is given to it as the additional data of
// an empty message, the state before added to the first block. From the tag that comes out,
//
//	tag = E(J0) ^ (state ^ length)·H
//
// the new state follows by a multiplication with the inverse of H. That is one multiplication for
// each chunk, in constant time.
type ghash struct {
	aead    cipher.AEAD
	nonce   []byte
	mask    element // E(J0)
	inverse element // of H
	state   element
	in      []byte
	sum     [tagSize]byte
}

func newGHASH(block cipher.Block, nonce []byte) (*ghash, error) {
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	var h, j [aes.BlockSize]byte
	block.Encrypt(h[:], h[:])
	copy(j[:], nonce)
	j[15] = 1
	block.Encrypt(j[:], j[:])
	return &ghash{aead: aead, nonce: nonce, mask: load(j[:]), inverse: load(h[:]).invert()}, nil
}

// update takes whole blocks.
func (g *ghash) update(b []byte) {
	if len(b) == 0 {
		return
	}
	g.in = append(g.in[:0], b...)
	subtle.XORBytes(g.in[:aes.BlockSize], g.in[:aes.BlockSize], g.state.store())
	tag := load(g.aead.Seal(g.sum[:0], g.nonce, nil, g.in))
	g.state = tag.xor(g.mask).mul(g.inverse).xor(element{uint64(len(b)) * 8, 0})
}

// tag ends the message of aad and text bytes.
func (g *ghash) tag(aad, text uint64) []byte {
	g.update(element{aad * 8, text * 8}.store())
	return g.state.xor(g.mask).store()
}

// element of GF(2^128) in GCM's bit order: the first bit of the first byte is the lowest coefficient.
type element struct{ hi, lo uint64 }

func load(b []byte) element {
	return element{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (e element) store() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, aes.BlockSize), e.hi)
	return binary.BigEndian.AppendUint64(b, e.lo)
}

func (e element) xor(o element) element { return element{e.hi ^ o.hi, e.lo ^ o.lo} }

// mul multiplies (NIST SP 800-38D section 6.3), in a time that does not depend on the values.
func (e element) mul(o element) (z element) {
	for i := range 128 {
		word := e.hi
		if i >= 64 {
			word = e.lo
		}
		bit := -(word >> (63 - i%64) & 1)
		z.hi ^= o.hi & bit
		z.lo ^= o.lo & bit
		carry := -(o.lo & 1)
		o.lo = o.lo>>1 | o.hi<<63
		o.hi = o.hi>>1 ^ 0xe1<<56&carry
	}
	return z
}

// invert raises to the power of 2^128-2.
func (e element) invert() element {
	out := element{1 << 63, 0} // one
	for range 127 {
		e = e.mul(e)
		out = out.mul(e)
	}
	return out
}
