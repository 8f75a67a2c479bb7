//go:build linux

// Package cutdisk is a disk for tests of power loss below a real file system. Every write and every
// flush that the kernel sends to it is recorded, so that the disk can be made again as a power cut
// at any of them would have left it, and it fails writes and flushes when it is told to.
//
// The disk is one file behind FUSE (the protocol of /dev/fuse, fuse.go), with a loop device and a
// file system on it. A write is volatile until a flush after it has succeeded: the loop device sends
// the flushes of the file system as FSYNC. The work is done in a process of its own, with a mount
// namespace of its own (process.go): what it mounts goes away with it, and a page fault in a file on
// this disk never waits for the process that serves the disk.
//
// Nothing here is part of the device program. It needs root, /dev/fuse and loop devices.
package cutdisk

import (
	"sync"
	"syscall"

	"github.com/ratchet-ota/ratchet/hal/medium"
)

// Sector is what a medium writes as a whole or not at all, in bytes.
const Sector = medium.Sector

// entry is one request of the kernel.
type entry struct {
	off    int64
	data   []byte // nil: a flush
	failed bool   // the kernel was told that it failed
}

// Op is a kind of request.
type Op int

// The requests that can fail.
const (
	Write Op = iota
	Flush
)

// Fault makes requests fail.
type Fault struct {
	Op    Op
	Skip  int // requests of this kind that still succeed
	Times int // that fail then; 0 for all from then on
	Err   syscall.Errno
}

// Disk holds its content and its history in memory.
type Disk struct {
	base []byte // before the first entry

	mu    sync.Mutex
	live  []byte // what a read returns
	log   []entry
	fault *Fault
	hits  int
}

// New returns a disk with this content, which it does not change.
func New(image []byte) *Disk {
	return &Disk{base: image, live: append([]byte(nil), image...)}
}

// Break makes requests fail from now on.
func (d *Disk) Break(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = &f
}

// Mend ends a fault.
func (d *Disk) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = nil
}

// Hits is the number of requests that were failed.
func (d *Disk) Hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// Entries is the number of requests so far.
func (d *Disk) Entries() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// Content is what the disk holds now, as a disk without a cache would.
func (d *Disk) Content() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]byte(nil), d.live...)
}

func (d *Disk) read(b []byte, off int64) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off >= int64(len(d.live)) {
		return 0
	}
	return copy(b, d.live[off:])
}

func (d *Disk) write(b []byte, off int64) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off > int64(len(d.live))-int64(len(b)) {
		return syscall.EFBIG
	}
	err := d.fails(Write)
	d.log = append(d.log, entry{off: off, data: append([]byte{}, b...), failed: err != 0})
	if err == 0 {
		copy(d.live[off:], b)
	}
	return err
}

func (d *Disk) flush() syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.fails(Flush)
	d.log = append(d.log, entry{failed: err != 0})
	return err
}

// fails is called with mu held.
func (d *Disk) fails(op Op) syscall.Errno {
	f := d.fault
	if f == nil || f.Op != op {
		return 0
	}
	if f.Skip > 0 {
		f.Skip--
		return 0
	}
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			d.fault = nil
		}
	}
	d.hits++
	return f.Err
}
