//go:build linux

// Package tpm is what a device keeps in a TPM 2.0: the rollback counter, one NV index, which a TPM only counts up
// (Counter), and keys that sign and never leave it (Key).
//
// Commands and responses are those of the TPM 2.0 Library, as many as these need. They are written out here, since a
// TPM stack would be many times as large. Each answered increment survives a power cut; Counter and Make say what
// else does.
package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Constants of the TPM 2.0 Library (revision 1.59, as all sections named here), part 2: 6.5.2 command codes, 6.9
// structure tags, 7.4 handles, 6.3 algorithms.
const (
	tagNoSessions = 0x8001
	tagSessions   = 0x8002
	tagHashcheck  = 0x8024

	ccEvictControl  = 0x00000120
	ccNVUndefine    = 0x00000122
	ccNVDefine      = 0x0000012A
	ccCreatePrimary = 0x00000131
	ccNVIncrement   = 0x00000134
	ccNVRead        = 0x0000014E
	ccSign          = 0x0000015D
	ccFlushContext  = 0x00000165
	ccNVReadPublic  = 0x00000169
	ccReadPublic    = 0x00000173

	handleOwner    = 0x40000001
	handleNull     = 0x40000007
	handlePlatform = 0x4000000C
	handlePassword = 0x40000009 // TPM_RS_PW, the session that is a password

	algRSA    = 0x0001
	algSHA256 = 0x000B
	algNull   = 0x0010
	algECDSA  = 0x0018
	algECC    = 0x0023
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
	makes    bool // the response begins with the handle of what was made
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
//
//go:noinline
func appendTPM2B(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
}

// decodeResponse takes a response apart: its parameters, with the handle of what was made before them, or the error
// that its code is. sessions tells whether the command had any; a failed one is answered without (part 1, section
// 18.10).
func decodeResponse(b []byte, sessions, makes bool) ([]byte, error) {
	if len(b) < headerSize || len(b) > maxResponse || binary.BigEndian.Uint32(b[2:]) != uint32(len(b)) {
		return nil, errorf("%w: %d bytes", errResponse, len(b))
	}
	tag, code := binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[6:])
	b = b[headerSize:]
	if code != 0 {
		return nil, responseCode(code)
	}
	if !sessions {
		if tag != tagNoSessions {
			return nil, errorf("%w: tag %#x", errResponse, tag)
		}
		return b, nil
	}
	at := 0 // of the parameters' size, which stands between the handle and them
	if makes {
		at = 4
	}
	if tag != tagSessions || len(b) < at+4 || uint64(binary.BigEndian.Uint32(b[at:])) > uint64(len(b)-at-4) {
		return nil, errorf("%w: tag %#x", errResponse, tag)
	}
	params := b[at+4:][:binary.BigEndian.Uint32(b[at:])]
	return slices.Concat(b[:at], params), nil
}

// takeTPM2B takes a sized buffer off the front.
func takeTPM2B(b []byte) (data, rest []byte, err error) {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b)-2 {
		return nil, nil, errorf("%w: a buffer is cut off", errResponse)
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}

// device is an open TPM, or the socket of one that is a program.
type device struct {
	conn
	path string
}

type conn interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// silent are the TPMs that owe an answer: path -> channel that is closed when it came. No second command is sent
// to one meanwhile, by whatever part of the program: each would be one more thread that waits.
var silent sync.Map

// errSilent: the TPM did not answer in time, or still owes an answer. Its text is always the same: the daemon takes
// another text for another problem.
var errSilent = errors.New("the TPM does not answer")

// silence is errSilent, and why nobody waits any longer.
type silence struct{ cause error }

func (silence) Error() string     { return errSilent.Error() }
func (s silence) Unwrap() []error { return []error{errSilent, s.cause} }

// open opens a TPM device, or the unix socket of one that is a program. A device that somebody
// else has open (/dev/tpm0 takes one at a time, /dev/tpmrm0 any number) is waited for.
func open(ctx context.Context, path string) (device, error) {
	if owed, ok := silent.Load(path); ok {
		limit := time.NewTimer(longestPause)
		defer limit.Stop()
		select {
		case <-owed.(chan struct{}):
		case <-ctx.Done():
			return device{}, silence{ctx.Err()}
		case <-limit.C:
			return device{}, errSilent
		}
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return device{}, errorf("%w; is there a TPM, and its driver in the kernel?", err)
	} else if err != nil {
		return device{}, err
	}
	if info.Mode()&fs.ModeSocket != 0 {
		c, err := (&net.Dialer{Timeout: commandTime}).DialContext(ctx, "unix", path)
		if err != nil {
			return device{}, err
		}
		return device{c.(*net.UnixConn), path}, nil
	}
	for pause := firstPause; ; pause *= 2 {
		// Blocking, so not by os.OpenFile: in the driver's other mode (drivers/char/tpm/tpm-dev-common.c) a read
		// that comes before the command is taken up returns nothing, not EAGAIN, which looks like the end.
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			return device{os.NewFile(uintptr(fd), path), path}, nil
		}
		if !errors.Is(err, unix.EBUSY) || pause > longestPause {
			return device{}, &os.PathError{Op: "open", Path: path, Err: err}
		}
		if err := sleep(ctx, pause); err != nil {
			return device{}, err
		}
	}
}

// use opens the TPM at path for one use.
func use(ctx context.Context, path string, what func(device) error) error {
	link, err := open(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(what(link), link.Close())
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
		b, err := link.exchange(ctx, raw)
		if err != nil {
			return nil, err
		}
		params, err := decodeResponse(b, c.session, c.makes)
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

// exchange sends a command and waits for its response, as long as ctx and commandTime allow. A device has no deadline:
// the driver has its own for each command (TCG PC Client Platform TPM Profile, command durations), which may be
// minutes, and one whose other side has died (a TPM in firmware) none at all. What does not answer is left to itself,
// and closed when it does.
func (d device) exchange(ctx context.Context, raw []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type response struct {
		b   []byte
		err error
	}
	came, owed := make(chan response, 1), make(chan struct{})
	_ = d.SetDeadline(time.Now().Add(commandTime)) // a socket's
	go func() {
		defer close(owed)
		b, err := d.talk(raw)
		came <- response{b, err}
	}()
	limit := time.NewTimer(commandTime)
	defer limit.Stop()
	select {
	case r := <-came:
		return r.b, r.err
	case <-ctx.Done():
		silent.Store(d.path, owed)
		_ = d.SetDeadline(time.Unix(1, 0))
		return nil, silence{ctx.Err()}
	case <-limit.C:
		silent.Store(d.path, owed)
		return nil, errSilent
	}
}

// talk writes a command and reads one response. The device gives it whole in one read, a socket in pieces.
func (d device) talk(raw []byte) ([]byte, error) {
	if _, err := d.Write(raw); err != nil {
		return nil, err
	}
	buf := make([]byte, maxResponse)
	n, err := io.ReadAtLeast(d, buf, headerSize)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(buf[2:])
	if size < headerSize || size > maxResponse {
		return nil, errorf("%w: it says that it has %d bytes", errResponse, size)
	}
	if n < int(size) {
		if _, err := io.ReadFull(d, buf[n:size]); err != nil {
			return nil, err
		}
		n = int(size)
	}
	return buf[:n], nil
}
