//go:build linux

package tpm_test

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// tpmModel is as much of a TPM 2.0 as a counter and keys need, written from the Library, part 3, section 31, with
// its own decoder. It answers on a unix socket. The interop tests hold the same code against swtpm.
type tpmModel struct {
	path string

	mu       sync.Mutex
	highest  uint64 // of all counters ever
	skip     uint64 // a new counter begins so much higher than it must
	indices  map[uint32]*tpmIndex
	keys     map[uint32]*tpmKey // loaded ones too
	owner    string             // password of the hierarchy
	platform bool               // the platform hierarchy is enabled
	answers  []uint32           // response codes to give instead of doing anything, in order
	raw      []byte             // a response to give instead of any
	seen     []uint32           // command codes
	hangUp   int                // at this command, counted from 1: do it and hang up; negative: without doing it
	between  func(code uint32)
	flip     bool // a bit of each signature falls over
}

type tpmIndex struct {
	area     []byte // TPMS_NV_PUBLIC
	count    uint64
	written  bool
	platform bool
}

func newTPM(t *testing.T) *tpmModel {
	t.Helper()
	m := &tpmModel{path: filepath.Join(t.TempDir(), "tpm"), indices: map[uint32]*tpmIndex{},
		keys: map[uint32]*tpmKey{}, platform: true, highest: 41}
	l, err := net.Listen("unix", m.path)
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

// set changes what the model does next.
func (m *tpmModel) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *tpmModel) serve(c net.Conn) {
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

func (m *tpmModel) answer(head, rest []byte) (b []byte, up bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	code := binary.BigEndian.Uint32(head[6:])
	m.seen = append(m.seen, code)
	if m.between != nil {
		m.between(code)
	}
	if len(m.seen) == -m.hangUp {
		return nil, true
	}
	if m.raw != nil {
		return m.raw, false
	}
	if len(m.answers) > 0 {
		rc := m.answers[0]
		m.answers = m.answers[1:]
		if rc != 0 {
			return response(0x8001, rc, nil), false
		}
	}
	params, rc := m.do(code, rest)
	if rc != 0 {
		return response(0x8001, rc, nil), len(m.seen) == m.hangUp
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
	return response(tag, 0, params), len(m.seen) == m.hangUp
}

func response(tag uint16, rc uint32, params []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, tag)
	b = binary.BigEndian.AppendUint32(b, uint32(10+len(params)))
	return append(binary.BigEndian.AppendUint32(b, rc), params...)
}

// request is what is left to read of a command.
type request struct {
	m *tpmModel
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
	case h == 0x40000001 && pw == r.m.owner:
		return false, 0
	case h == 0x40000001:
		return false, 0x9A2
	case !r.m.platform:
		return false, 0x185
	}
	return true, 0
}

func (m *tpmModel) do(code uint32, b []byte) ([]byte, uint32) {
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
		case m.indices[i] != nil:
			return nil, 0x14C
		case platform != (area[6]&0x40 != 0):
			return nil, 0x2C2
		}
		m.indices[i] = &tpmIndex{area: slices.Clone(area), platform: platform}
		return nil, 0
	case 0x122: // NV_UndefineSpace
		i := r.u32()
		platform, rc := r.hierarchy(auth)
		x := m.indices[i]
		switch {
		case rc != 0:
			return nil, rc
		case x == nil:
			return nil, 0x28B
		case x.platform != platform:
			return nil, 0x149
		}
		delete(m.indices, i)
		return nil, 0
	case 0x169: // NV_ReadPublic
		x := m.indices[auth]
		if x == nil {
			return nil, 0x18B
		}
		area := slices.Clone(x.area)
		if x.written {
			area[6] |= 0x20
		}
		sum := sha256.Sum256(area)
		out := append(binary.BigEndian.AppendUint16(nil, uint16(len(area))), area...)
		return append(append(out, 0, 34, 0, 11), sum[:]...), 0
	case 0x134, 0x14E: // NV_Increment, NV_Read
		x := m.indices[r.u32()]
		if x == nil {
			return nil, 0x28B
		}
		if r.password() != "" {
			return nil, 0x98E
		}
		if code == 0x14E {
			if !x.written {
				return nil, 0x14A
			}
			return binary.BigEndian.AppendUint64([]byte{0, 8}, x.count), 0
		}
		if x.area[9]&0xF4 != 0x14 {
			return nil, 0x82
		}
		if !x.written {
			x.written, x.count = true, m.highest+m.skip
		}
		x.count++
		m.highest = max(m.highest, x.count)
		return nil, 0
	}
	return m.doKey(code, auth, r)
}
