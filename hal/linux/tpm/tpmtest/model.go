//go:build linux

// Package tpmtest is a TPM 2.0 for tests, as much of one as a device uses. Nothing of it outlives the test.
package tpmtest

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Model is as much of a TPM 2.0 as a counter and keys need, written from the Library, part 3, section 31, with
// its own decoder. It answers on a unix socket. The interop tests hold the same code against swtpm.
type Model struct {
	Path string // of the socket

	mu       sync.Mutex
	Highest  uint64 // of all counters ever
	Skip     uint64 // a new counter begins so much higher than it must
	Indices  map[uint32]*Index
	Keys     map[uint32]*Key // loaded ones too
	Owner    string          // password of the hierarchy
	Platform bool            // the platform hierarchy is enabled
	Answers  []uint32        // response codes to give instead of doing anything, in order
	Raw      []byte          // a response to give instead of any
	Seen     []uint32        // command codes
	HangUp   int             // at this command, counted from 1: do it and hang up; negative: without doing it
	Between  func(code uint32)
	Flip     bool // a bit of each signature falls over
}

// Index is an NV index.
type Index struct {
	Area     []byte // TPMS_NV_PUBLIC
	Count    uint64
	Written  bool
	Platform bool
}

// New makes a TPM, which goes with the test.
func New(t *testing.T) *Model {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &Model{Path: filepath.Join(dir, "tpm"), Indices: map[uint32]*Index{}, Keys: map[uint32]*Key{}, Platform: true,
		Highest: 41}
	l, err := net.Listen("unix", m.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m
}

// Set changes what the model does next.
func (m *Model) Set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *Model) serve(c net.Conn) {
	defer c.Close()
	for {
		head := make([]byte, 10)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[2:])-10)
		if _, err := io.ReadFull(c, rest); err != nil {
			return
		}
		answer, up := m.answer(head, rest)
		if up {
			return
		}
		// In pieces, as a socket may.
		for _, piece := range slices.Collect(slices.Chunk(answer, 11)) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
}

func (m *Model) answer(head, rest []byte) (b []byte, up bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	code := binary.BigEndian.Uint32(head[6:])
	m.Seen = append(m.Seen, code)
	if m.Between != nil {
		m.Between(code)
	}
	if len(m.Seen) == -m.HangUp {
		return nil, true
	}
	if m.Raw != nil {
		return m.Raw, false
	}
	if len(m.Answers) > 0 {
		rc := m.Answers[0]
		m.Answers = m.Answers[1:]
		if rc != 0 {
			return Response(0x8001, rc, nil), false
		}
	}
	params, rc := m.do(code, rest)
	if rc != 0 {
		return Response(0x8001, rc, nil), len(m.Seen) == m.HangUp
	}
	tag := binary.BigEndian.Uint16(head)
	if tag == 0x8002 && code == 0x131 { // the handle of what was made stands before the size
		made := params[:4]
		params = append(binary.BigEndian.AppendUint32(slices.Clone(made), uint32(len(params)-4)), params[4:]...)
		params = append(params, 0, 0, 1, 0, 0)
	} else if tag == 0x8002 {
		params = append(binary.BigEndian.AppendUint32(nil, uint32(len(params))), params...)
		params = append(params, 0, 0, 1, 0, 0)
	}
	return Response(tag, 0, params), len(m.Seen) == m.HangUp
}

// Response is a response as a TPM makes it: tag, size, code, and what follows.
func Response(tag uint16, rc uint32, params []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(10+len(params)))
	return append(binary.BigEndian.AppendUint32(b, rc), params...)
}

// request is what is left to read of a command.
type request struct {
	m *Model
	b []byte
}

func (r *request) u32() uint32 { v := binary.BigEndian.Uint32(r.b); r.b = r.b[4:]; return v }

func (r *request) sized() []byte {
	n := binary.BigEndian.Uint16(r.b)
	v := r.b[2 : 2+n]
	r.b = r.b[2+n:]
	return v
}

func (r *request) password() string {
	area := r.b[4 : 4+binary.BigEndian.Uint32(r.b)]
	r.b = r.b[4+len(area):]
	if binary.BigEndian.Uint32(area) != 0x40000009 {
		panic("no password session")
	}
	return string(area[4+2+1+2:])
}

// hierarchy asks for the password of a hierarchy, and tells whether it is the platform's.
func (r *request) hierarchy(h uint32) (platform bool, rc uint32) {
	pw := r.password()
	switch {
	case h == 0x40000001 && pw == r.m.Owner:
		return false, 0
	case h == 0x40000001:
		return false, 0x9A2
	case !r.m.Platform:
		return false, 0x185
	}
	return true, 0
}

func (m *Model) do(code uint32, b []byte) ([]byte, uint32) {
	r := &request{m, b}
	auth := r.u32()
	switch code {
	case 0x12A: // NV_DefineSpace
		platform, rc := r.hierarchy(auth)
		r.sized()
		area := r.sized()
		i := binary.BigEndian.Uint32(area)
		switch {
		case rc != 0:
			return nil, rc
		case m.Indices[i] != nil:
			return nil, 0x14C
		case platform != (area[6]&0x40 != 0):
			return nil, 0x2C2
		}
		m.Indices[i] = &Index{Area: slices.Clone(area), Platform: platform}
		return nil, 0
	case 0x122: // NV_UndefineSpace
		i := r.u32()
		platform, rc := r.hierarchy(auth)
		x := m.Indices[i]
		switch {
		case rc != 0:
			return nil, rc
		case x == nil:
			return nil, 0x28B
		case x.Platform != platform:
			return nil, 0x149
		}
		delete(m.Indices, i)
		return nil, 0
	case 0x169: // NV_ReadPublic
		x := m.Indices[auth]
		if x == nil {
			return nil, 0x18B
		}
		area := slices.Clone(x.Area)
		if x.Written {
			area[6] |= 0x20
		}
		sum := sha256.Sum256(area)
		out := append(binary.BigEndian.AppendUint16(nil, uint16(len(area))), area...)
		return append(append(out, 0, 34, 0, 11), sum[:]...), 0
	case 0x134, 0x14E: // NV_Increment, NV_Read
		x := m.Indices[r.u32()]
		if x == nil {
			return nil, 0x28B
		}
		if r.password() != "" {
			return nil, 0x98E
		}
		if code == 0x14E {
			if !x.Written {
				return nil, 0x14A
			}
			return binary.BigEndian.AppendUint64([]byte{0, 8}, x.Count), 0
		}
		if x.Area[9]&0xF4 != 0x14 {
			return nil, 0x82
		}
		if !x.Written {
			x.Written, x.Count = true, m.Highest+m.Skip
		}
		x.Count++
		m.Highest = max(m.Highest, x.Count)
		return nil, 0
	}
	return m.doKey(code, auth, r)
}
