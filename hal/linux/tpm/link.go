//go:build linux

// Package tpm is a rollback counter in a TPM 2.0: one NV index, which a TPM only counts up.
//
// Commands and responses are those of the TPM 2.0 Library, as many as a counter needs. They are
// written out here, since a TPM stack would be many times as large. Each answered increment survives
// a power cut; Counter says what else does.
package tpm

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

// Constants of the TPM 2.0 Library (revision 1.59, as all sections named here), part 2: 6.5.2 command codes, 6.9
// structure tags, 7.4 handles, 6.3 algorithms.
const (
	tagNoSessions = 0x8001
	tagSessions   = 0x8002

	ccNVUndefine   = 0x00000122
	ccNVDefine     = 0x0000012A
	ccNVIncrement  = 0x00000134
	ccNVRead       = 0x0000014E
	ccNVReadPublic = 0x00000169

	handleOwner    = 0x40000001
	handlePlatform = 0x4000000C
	handlePassword = 0x40000009 // TPM_RS_PW, the session that is a password
	algSHA256      = 0x000B
)

// Limits of an exchange with a TPM.
const (
	maxResponse  = 4096             // bytes; the kernel's own buffer, and more than any response asked for here
	headerSize   = 10               // tag, size, code
	commandTime  = 30 * time.Second // for one command; an NV write takes milliseconds to a second
	maxTries     = 9                // of a command that the TPM asks to send again
	firstPause   = 20 * time.Millisecond
	longestPause = 2 * time.Second // pause between two tries
)

// errResponse: what came back is no response of a TPM.
var errResponse = errors.New("the TPM's response is malformed")

// command is one command: a header, handles, the password of the first handle, parameters
// (TPM 2.0 Library, part 1, section 18).
type command struct {
	code     uint32
	handles  []uint32
	session  bool   // the first handle needs authorization
	password []byte // of the first handle; empty is a password too
	params   []byte
}

func (c command) encode() []byte {
	tag := uint16(tagNoSessions)
	if c.session {
		tag = tagSessions
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
		b = binary.BigEndian.AppendUint32(b, handlePassword)
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

// decodeResponse takes a response apart: its parameters, or the error that its code is. sessions tells
// whether the command had any; a failed one is answered without (part 1, section 18.10).
func decodeResponse(b []byte, sessions bool) ([]byte, error) {
	if len(b) < headerSize || len(b) > maxResponse || binary.BigEndian.Uint32(b[2:]) != uint32(len(b)) {
		return nil, fmt.Errorf("%w: %d bytes", errResponse, len(b))
	}
	tag, code := binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[6:])
	b = b[headerSize:]
	if code != 0 {
		return nil, responseCode(code)
	}
	if !sessions {
		if tag != tagNoSessions {
			return nil, fmt.Errorf("%w: tag %#x", errResponse, tag)
		}
		return b, nil
	}
	if tag != tagSessions || len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return nil, fmt.Errorf("%w: tag %#x", errResponse, tag)
	}
	return b[4 : 4+binary.BigEndian.Uint32(b)], nil
}

// takeTPM2B takes a sized buffer off the front.
func takeTPM2B(b []byte) (data, rest []byte, err error) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b)-2 {
		return nil, nil, fmt.Errorf("%w: a buffer is cut off", errResponse)
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}

// device is an open TPM, or the socket of one that is a program.
type device interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// open opens a TPM device, or the unix socket of one that is a program. A device that somebody
// else has open (/dev/tpm0 takes one at a time, /dev/tpmrm0 any number) is waited for.
func open(ctx context.Context, path string) (device, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; is there a TPM, and its driver in the kernel?", err)
	} else if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		c, err := (&net.Dialer{Timeout: commandTime}).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		return c.(*net.UnixConn), nil
	}
	for pause := firstPause; ; pause *= 2 {
		// Blocking, so not by os.OpenFile: in the driver's other mode (drivers/char/tpm/tpm-dev-common.c) a read
		// that comes before the command is taken up returns nothing, not EAGAIN, which looks like the end.
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		if !errors.Is(err, unix.EBUSY) || pause > longestPause {
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
func (c command) run(ctx context.Context, link device) ([]byte, error) {
	raw := c.encode()
	for try, pause := 1, firstPause; ; try++ {
		b, err := exchange(link, raw)
		if err != nil {
			return nil, err
		}
		params, err := decodeResponse(b, c.session)
		var code responseCode
		if !errors.As(err, &code) || !code.again() || try == maxTries {
			return params, err
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, longestPause)
	}
}

// exchange writes a command and reads one response. The device gives it whole in one read, a socket
// in pieces.
func exchange(link device, raw []byte) ([]byte, error) {
	// A device has no deadline here: the driver has its own for each command (TCG PC Client Platform TPM
	// Profile, command durations), a socket none.
	_ = link.SetDeadline(time.Now().Add(commandTime))
	if _, err := link.Write(raw); err != nil {
		return nil, err
	}
	buf := make([]byte, maxResponse)
	n, err := io.ReadAtLeast(link, buf, headerSize)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < headerSize || size > maxResponse {
		return nil, fmt.Errorf("%w: it says that it has %d bytes", errResponse, size)
	}
	if n < int(size) {
		if _, err := io.ReadFull(link, buf[n:size]); err != nil {
			return nil, err
		}
		n = int(size)
	}
	return buf[:n], nil
}
