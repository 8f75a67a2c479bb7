//go:build linux

package cutdisk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// The FUSE protocol, version 7.31, as linux/fuse.h has it, for a file system whose root is one
// regular file: there is nothing to look up, so that these are all the requests of a loop device.
const (
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opRelease     = 18
	opFsync       = 20
	opFlush       = 25
	opInit        = 26
	opInterrupt   = 36
	opDestroy     = 38
	opBatchForget = 42

	inHeader    = 40
	outHeader   = 16
	writeIn     = 40
	maxWrite    = 128 << 10
	directIO    = 1 << 0 // no cache between the loop device and this disk
	bigWrites   = 1 << 5
	fuseVersion = 7
	fuseMinor   = 31
)

// serve answers the kernel until the file system is unmounted, one request after another, so that
// a flush covers exactly the writes that were answered before it came.
func (d *Disk) serve(fd int) error {
	b := make([]byte, inHeader+writeIn+maxWrite)
	for {
		n, err := syscall.Read(fd, b)
		switch {
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EAGAIN):
			continue
		case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ECONNABORTED):
			return nil
		case err != nil:
			return fmt.Errorf("cannot read from FUSE: %w", err)
		case n < inHeader:
			return fmt.Errorf("cannot read from FUSE: a request of %d bytes", n)
		}
		answer, errno, ok := d.request(b[:n])
		if !ok {
			continue
		}
		out := make([]byte, outHeader, outHeader+len(answer))
		ne := binary.NativeEndian
		ne.PutUint32(out, uint32(outHeader+len(answer)))
		ne.PutUint32(out[4:], uint32(-int32(errno)))
		copy(out[8:16], b[8:16]) // unique
		// ENOENT: the request was interrupted meanwhile.
		if _, err := syscall.Write(fd, append(out, answer...)); err != nil && !errors.Is(err, syscall.ENOENT) &&
			!errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("cannot answer FUSE: %w", err)
		}
	}
}

// request does one request. ok is false for those that have no answer.
func (d *Disk) request(b []byte) (answer []byte, errno syscall.Errno, ok bool) {
	ne := binary.NativeEndian
	op, arg := ne.Uint32(b[4:]), b[inHeader:]
	switch op {
	case opForget, opBatchForget, opInterrupt:
		return nil, 0, false
	case opInit:
		answer = make([]byte, 64)
		ne.PutUint32(answer, fuseVersion)
		ne.PutUint32(answer[4:], fuseMinor)
		ne.PutUint32(answer[12:], bigWrites)
		ne.PutUint16(answer[16:], 16) // background requests
		ne.PutUint16(answer[18:], 12)
		ne.PutUint32(answer[20:], maxWrite)
		ne.PutUint32(answer[24:], 1)
	case opGetattr, opSetattr:
		answer = make([]byte, 104)
		ne.PutUint64(answer[16:], 1)
		ne.PutUint64(answer[24:], uint64(len(d.base)))
		ne.PutUint64(answer[32:], uint64(len(d.base)/Sector))
		ne.PutUint32(answer[76:], syscall.S_IFREG|0o600)
		ne.PutUint32(answer[80:], 1) // links
		ne.PutUint32(answer[96:], 4096)
	case opOpen:
		answer = make([]byte, 16)
		ne.PutUint32(answer[8:], directIO)
	case opRead:
		if len(arg) < 24 {
			return nil, syscall.EINVAL, true
		}
		answer = make([]byte, min(ne.Uint32(arg[16:]), 1<<20))
		answer = answer[:d.read(answer, int64(ne.Uint64(arg[8:])))]
	case opWrite:
		if len(arg) < writeIn || uint64(len(arg)-writeIn) < uint64(ne.Uint32(arg[16:])) {
			return nil, syscall.EINVAL, true
		}
		size := ne.Uint32(arg[16:])
		if e := d.write(arg[writeIn:writeIn+size], int64(ne.Uint64(arg[8:]))); e != 0 {
			return nil, e, true
		}
		answer = make([]byte, 8)
		ne.PutUint32(answer, size)
	case opFsync:
		return nil, d.flush(), true
	case opRelease, opFlush, opDestroy:
	default:
		return nil, syscall.ENOSYS, true
	}
	return answer, 0, true
}
