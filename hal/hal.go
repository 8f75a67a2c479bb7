// Package hal is the machine that Ratchet runs on: media, files, counter, watchdog, power, clock
// and identity, as small interfaces. Package hal/linux is the real machine; package hal/sim is a
// machine whose power can be cut at any operation. Everything durable that Ratchet does goes
// through these interfaces, so that what was explored in simulation is what runs in the field.
//
// What survives a power loss is stated at each operation: nothing is durable before the Sync (or
// SyncDir) that covers it has returned nil.
package hal

import (
	"context"
	"errors"
	"time"
)

// Align is the alignment, in bytes, of offsets, lengths and buffer addresses of all direct I/O.
// A slot whose size is no multiple of Align has a tail that is accessed in units of 512 bytes.
const Align = 4096

var (
	// ErrRunning is returned when somebody asks to write to the slot that runs (invariant I3).
	ErrRunning = errors.New("this slot is running and is never opened for writing")
	// ErrBusy is returned when a target is mounted or held exclusively by somebody else.
	ErrBusy = errors.New("device is busy: mounted or held by another process")
	// ErrUnsupported is returned by hardware that is not there.
	// ErrAnybodys: a lock was not had, and anybody on this machine may be why: its file is open to others than
	// this user, or is not a file.
	ErrAnybodys    = errors.New("anybody can hold or spoil this lock")
	ErrUnsupported = errors.New("not supported on this machine")
)

// DeviceID names a block device or a backing file independently of the path that led to it, so
// that two paths to one device compare equal. The zero value is "unknown" and equals no device.
type DeviceID struct {
	Block bool   // a block device: Major is its device number, Minor zero
	Major uint64 // st_rdev of a block device, st_dev of a regular file
	Minor uint64 // st_ino of a regular file
}

// Known tells whether the identity was established.
func (d DeviceID) Known() bool { return d != DeviceID{} }

// Region is where the bytes of a path really lie: two paths that lead to the same bytes have regions that overlap.
type Region struct {
	Self  DeviceID // of the path
	On    DeviceID // the whole disk that it is a part of, or the regular file; two regions compare where this is equal
	Start int64    // of the path's first byte on On
	Size  int64    // in bytes; 0 unknown
	// Unit: a power cut in a write of one byte may spoil all bytes of On between two multiples of this. At least 4096
	// on a disk: so much the kernel writes at a time, and flash behind a controller programs no less.
	Unit int64
	// Flash: raw flash (MTD, UBI, also behind a block device), whose blocks are erased before they are written.
	Flash bool
	FS    DeviceID // of a regular file or a folder: the device that its file system is on
	// LogsData: bytes of the file go through its file system's journal (ext4 with data=journal).
	LogsData bool
}

// LogsDataWeakness says of boot metadata in such a file why it is not safe under a power cut.
const LogsDataWeakness = "the file system has data=journal: what is written stands in a journal first, which the " +
	"bootloader does not replay, so that after a power cut it and the system can read different things; mount it " +
	"with data=ordered"

// Medium is bytes on a block device or in a regular file. Offsets are absolute. A short read or
// write returns an error, as io.ReaderAt and io.WriterAt demand.
type Medium interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// Sync makes all writes that returned before it durable (fdatasync, and the device's cache).
	Sync() error
	// Size is the fixed size in bytes at the time of opening.
	Size() int64
	Close() error
}

// Blocks opens slots.
type Blocks interface {
	// Identify returns the identity of the block device or regular file at path.
	Identify(path string) (DeviceID, error)
	// OpenTarget opens a slot for reading and writing, exclusively, past the page cache where the
	// medium allows it. It returns ErrRunning when the opened device is running (compared after
	// opening, by identity, never by path) or when running is unknown, ErrBusy when it is mounted or held.
	OpenTarget(path string, running DeviceID) (Medium, error)
	// OpenMedium opens a slot for reading what is really on the medium: the page cache is
	// bypassed or dropped. It is exclusive too, so that nothing mounts the slot between check and arm.
	OpenMedium(path string) (Medium, error)
	// OpenRunning opens a part of the running slot for reading what is really on the medium, as far as the
	// system that uses it meanwhile has written it there. It is not exclusive.
	OpenRunning(path string) (Medium, error)
}

// Access says how a file is opened.
type Access int

const (
	// ReadOnly opens an existing file or device for reading.
	ReadOnly Access = iota
	// InPlace opens an existing file or device for reading and writing. It is never truncated.
	InPlace
	// Create creates the file, or truncates the one that is there, for writing. Mode 0600.
	Create
)

// FS is the file system that boot metadata and small state files live in.
type FS interface {
	Open(path string, a Access) (Medium, error)
	// Rename replaces to by from; durable after SyncDir of the directory.
	Rename(from, to string) error
	SyncDir(dir string) error
	// Remove deletes a file; a file that is not there is no error.
	Remove(path string) error
	// Lock takes the advisory lock (flock) that other tools take on path, creating the file when
	// absent, and waits until ctx ends. A link at path is neither followed nor created through. The lock is
	// released by release and by the end of the process. Errors wrap ErrAnybodys where others than this
	// user can be the cause.
	Lock(ctx context.Context, path string) (release func(), err error)
}

// Tree is a FS whose folders can be listed, for loaders that keep state in the names of files.
type Tree interface {
	FS
	// List returns the names in the folder dir, sorted. A folder that is not there is io/fs.ErrNotExist.
	List(dir string) ([]string, error)
}

// Variables are the firmware's UEFI variables (UEFI 2.10, section 8.2). Names are those of efivarfs:
// the variable's name, '-', and the vendor's GUID in lower case.
type Variables interface {
	// Names lists all variables, sorted. A machine that was not started by UEFI is ErrUnsupported.
	Names() ([]string, error)
	// Get returns the attributes and the data. A variable that is not there is io/fs.ErrNotExist.
	Get(name string) (attributes uint32, data []byte, err error)
	// Set replaces one variable and is durable on return; after a power cut it is old or new.
	// Without data the variable is deleted; deleting one that is not there is no error.
	Set(name string, attributes uint32, data []byte) error
}

// Counter is a monotonic counter that cannot be turned back (it guards the version of the trust root).
type Counter interface {
	Read(ctx context.Context) (uint64, error)
	// Raise sets the counter to at least to; a lower or equal value is a no-op. Durable on return.
	Raise(ctx context.Context, to uint64) error
	// Kind names the strength for evidence: "file" (weak: whoever holds the disk can turn it back), "tpm2-nv", "rpmb".
	Kind() string
	// Origin names this counter and its making: deleted and made again it has another origin, whatever
	// its value. "" where the kind cannot tell.
	Origin(ctx context.Context) (string, error)
}

// Watchdog resets the machine unless it is fed.
type Watchdog interface {
	Arm(timeout time.Duration) error
	Feed() error
	Disarm() error
}

// Supply is the state of the power supply.
type Supply struct {
	Battery    int   // per cent, -1 when there is no battery or it is unknown
	BatteryMWh int64 // energy left in milliwatt-hours, -1 when unknown
	Mains      bool
	Known      bool
}

// Power reboots the machine and tells about its supply.
type Power interface {
	// Reboot asks for an orderly reboot and returns at once. args are handed to the firmware
	// where it takes any (Raspberry Pi tryboot).
	Reboot(ctx context.Context, arg string) error
	// Force reboots without waiting for anybody; used when an orderly reboot did not happen in time. It
	// returns soon after ctx has ended.
	Force(ctx context.Context) error
	Supply() Supply
}

// TimeQuality says what a wall-clock reading is worth.
type TimeQuality int

const (
	// TimeUnknown: the clock stands before the monotonic floor (1970, a dead RTC).
	TimeUnknown TimeQuality = iota
	// TimeLocal: plausible, but nobody vouched for it.
	TimeLocal
	// TimeSynced: the kernel says that the clock is synchronised (adjtimex).
	TimeSynced
)

func (q TimeQuality) String() string {
	switch q {
	case TimeLocal:
		return "local"
	case TimeSynced:
		return "synced"
	}
	return "unknown"
}

// Clock tells time. Deadlines and soak times use Uptime only.
type Clock interface {
	// Wall is the calendar time in UTC and its quality.
	Wall() (time.Time, TimeQuality)
	// Uptime is CLOCK_BOOTTIME: it never jumps, and counts suspend.
	Uptime() time.Duration
	// After is time.After on this clock.
	After(d time.Duration) <-chan time.Time
}

// Identity says which system runs.
type Identity interface {
	// Root is the device behind "/".
	Root() (DeviceID, error)
	// Marker is the boot name of the slot that the bootloader says it booted, "" when it says nothing.
	Marker() (string, error)
	// BootID differs from boot to boot, and is the same as long as one lasts. An error where neither can be
	// known: each start is taken for another boot then.
	BootID() (string, error)
}
