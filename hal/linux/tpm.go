//go:build linux

package linux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Constants of the TPM 2.0 Library (revision 1.59, as all sections named here), part 2: 6.5.2 command codes, 6.9 structure tags, 7.4 handles,
// 6.3 algorithms.
const (
	tpmNoSessions = 0x8001
	tpmSessions   = 0x8002

	tpmNVUndefine   = 0x00000122
	tpmNVDefine     = 0x0000012A
	tpmNVIncrement  = 0x00000134
	tpmNVRead       = 0x0000014E
	tpmNVReadPublic = 0x00000169

	tpmOwner    = 0x40000001
	tpmPlatform = 0x4000000C
	tpmPassword = 0x40000009 // TPM_RS_PW, the session that is a password
	tpmSHA256   = 0x000B
)

// Limits of an exchange with a TPM.
const (
	tpmMaxResponse = 4096             // bytes; the kernel's own buffer, and more than any response asked for here
	tpmHeader      = 10               // tag, size, code
	tpmCommandTime = 30 * time.Second // for one command; an NV write takes milliseconds to a second
	tpmTries       = 9                // of a command that the TPM asks to send again
	tpmPause       = 20 * time.Millisecond
	tpmLongest     = 2 * time.Second // pause between two tries
)

// errTPMResponse: what came back is no response of a TPM.
var errTPMResponse = errors.New("the TPM's response is malformed")

// tpmCommand is one command: a header, handles, the password of the first handle, parameters
// (TPM 2.0 Library, part 1, section 18).
type tpmCommand struct {
	code     uint32
	handles  []uint32
	session  bool   // the first handle needs authorization
	password []byte // of the first handle; empty is a password too
	params   []byte
}

func (c tpmCommand) encode() []byte {
	tag := uint16(tpmNoSessions)
	if c.session {
		tag = tpmSessions
	}
	b := binary.BigEndian.AppendUint16(nil, tag)
	b = binary.BigEndian.AppendUint32(b, 0) // size, below
	b = binary.BigEndian.AppendUint32(b, c.code)
	for _, h := range c.handles {
		b = binary.BigEndian.AppendUint32(b, h)
	}
	if c.session {
		// TPMS_AUTH_COMMAND: session, no nonce, continueSession, the password (part 2, section 10.13.2).
		b = binary.BigEndian.AppendUint32(b, uint32(4+2+1+2+len(c.password)))
		b = binary.BigEndian.AppendUint32(b, tpmPassword)
		b = append(b, 0, 0, 1)
		b = appendTPM2B(b, c.password)
	}
	b = append(b, c.params...)
	binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
	return b
}

// appendTPM2B appends a sized buffer (part 2, section 10.4.2).
func appendTPM2B(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

// decodeTPM takes a response apart: its parameters, or the error that its code is. sessions tells
// whether the command had any; a failed one is answered without (part 1, section 18.10).
func decodeTPM(b []byte, sessions bool) ([]byte, error) {
	if len(b) < tpmHeader || len(b) > tpmMaxResponse || binary.BigEndian.Uint32(b[2:]) != uint32(len(b)) {
		return nil, fmt.Errorf("%w: %d bytes", errTPMResponse, len(b))
	}
	tag, code := binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[6:])
	b = b[tpmHeader:]
	if code != 0 {
		return nil, tpmError(code)
	}
	if !sessions {
		if tag != tpmNoSessions {
			return nil, fmt.Errorf("%w: tag %#x", errTPMResponse, tag)
		}
		return b, nil
	}
	if tag != tpmSessions || len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, fmt.Errorf("%w: tag %#x", errTPMResponse, tag)
	}
	return b[4 : 4+binary.BigEndian.Uint32(b)], nil
}

// takeTPM2B takes a sized buffer off the front.
func takeTPM2B(b []byte) (data, rest []byte, err error) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b)-2 {
		return nil, nil, fmt.Errorf("%w: a buffer is cut off", errTPMResponse)
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}

// tpmLink is an open way to a TPM.
type tpmLink interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// openTPM opens a TPM device, or the unix socket of one that is a program. A device that somebody
// else has open (/dev/tpm0 takes one at a time, /dev/tpmrm0 any number) is waited for.
func openTPM(ctx context.Context, path string) (tpmLink, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; is there a TPM, and its driver in the kernel?", err)
	} else if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		c, err := (&net.Dialer{Timeout: tpmCommandTime}).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		return c.(*net.UnixConn), nil
	}
	for pause := tpmPause; ; pause *= 2 {
		// Blocking, so not by os.OpenFile: in the driver's other mode (drivers/char/tpm/tpm-dev-common.c) a read
		// that comes before the command is taken up returns nothing, not EAGAIN, which looks like the end.
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		if !errors.Is(err, unix.EBUSY) || pause > tpmLongest {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// run sends a command and returns the parameters of the response. A command that the TPM did not
// begin, and asks to send again, is sent again; no other is.
func (c tpmCommand) run(ctx context.Context, link tpmLink) ([]byte, error) {
	raw := c.encode()
	for try, pause := 1, tpmPause; ; try++ {
		b, err := exchange(link, raw)
		if err != nil {
			return nil, err
		}
		params, err := decodeTPM(b, c.session)
		var code tpmError
		if !errors.As(err, &code) || !code.again() || try == tpmTries {
			return params, err
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, tpmLongest)
	}
}

// exchange writes a command and reads one response. The device gives it whole in one read, a socket
// in pieces.
func exchange(link tpmLink, raw []byte) ([]byte, error) {
	// A device has no deadline here: the driver has its own for each command (TCG PC Client Platform TPM
	// Profile, command durations), a socket none.
	_ = link.SetDeadline(time.Now().Add(tpmCommandTime))
	if _, err := link.Write(raw); err != nil {
		return nil, err
	}
	buf := make([]byte, tpmMaxResponse)
	n, err := io.ReadAtLeast(link, buf, tpmHeader)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < tpmHeader || size > tpmMaxResponse {
		return nil, fmt.Errorf("%w: it says that it has %d bytes", errTPMResponse, size)
	}
	if n < int(size) {
		if _, err := io.ReadFull(link, buf[n:size]); err != nil {
			return nil, err
		}
		n = int(size)
	}
	return buf[:n], nil
}
