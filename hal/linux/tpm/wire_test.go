//go:build linux

package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzTPMResponse: no response of a TPM, or of what stands in its place, makes the decoders fail but
// by an error, and what they take they give back as it was.
func FuzzTPMResponse(f *testing.F) {
	area := nvPublic{index: DefaultIndex, hash: algSHA256, attributes: counterAttributes | nvWritten, size: 8,
		policy: binary.BigEndian.AppendUint64([]byte(counterMark), 42)}.encode()
	whole := func(tag uint16, code uint32, params []byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, tag)
		b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(params)))
		return append(binary.BigEndian.AppendUint32(b, code), params...)
	}
	f.Add(whole(tagNoSessions, 0, appendTPM2B(appendTPM2B(nil, area), make([]byte, 34))), false)
	f.Add(whole(tagSessions, 0, []byte{0, 0, 0, 10, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0, 0}), true)
	key := template(make([]byte, 2*width)).encode()
	name := sha256.Sum256(key)
	named := appendTPM2B(appendTPM2B(nil, key), append([]byte{0, algSHA256}, name[:]...))
	f.Add(whole(tagNoSessions, 0, appendTPM2B(named, nil)), false)
	number := make([]byte, width)
	signature := appendTPM2B(appendTPM2B([]byte{0, algECDSA, 0, algSHA256}, number), number)
	sized := append(binary.BigEndian.AppendUint32(nil, uint32(len(signature))), signature...)
	f.Add(whole(tagSessions, 0, append(sized, 0, 0, 1, 0, 0)), true)
	f.Add(whole(tagNoSessions, 0x921, nil), true)
	f.Add([]byte{0x80, 2, 0, 0, 0, 14, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, b []byte, sessions bool) {
		if made, err := decodeResponse(b, sessions, true); err == nil && sessions && len(made) < 4 {
			t.Error("the handle of what was made is missing")
		}
		params, err := decodeResponse(b, sessions, false)
		if err != nil {
			if err.Error() == "" || params != nil {
				t.Error("an error without words, or with parameters")
			}
			return
		}
		if n, err := decodeNumber(params); err == nil &&
			!bytes.Equal(binary.BigEndian.AppendUint64([]byte{0, 8}, n), params) {
			t.Errorf("% x reads as %d", params, n)
		}
		if o, err := decodeObject(params); err == nil {
			if o.parms != nil && !bytes.HasPrefix(params[2:], o.encode()) {
				t.Errorf("% x is taken for another key", params)
			}
			const must = objFixedTPM | objSign
			if pub, err := o.key(); err == nil && (o.attributes&must != must || pub == nil) {
				t.Errorf("% x is taken for a key that never leaves the TPM", params)
			}
		}
		if sig, err := decodeSignature(params); err == nil && len(sig) > 72 {
			t.Errorf("a signature of %d bytes", len(sig))
		}
		if p, err := decodePublic(params); err == nil {
			if !bytes.HasPrefix(params[2:], p.encode()) {
				t.Errorf("% x is taken for another area", params)
			}
			if p.check(DefaultIndex) == nil && p.base() == measuring {
				t.Error("an index for measuring counts")
			}
		}
	})
}

// A device is opened for blocking: the driver answers a read that comes too early with nothing.
func TestTPMDeviceBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	link, err := open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	raw, err := link.conn.(*os.File).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
