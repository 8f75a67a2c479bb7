//go:build linux

package linux

import (
	"errors"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// Clock is the kernel's clocks.
type Clock struct {
	// Floor is the earliest believable time (the build's, the newest verified signed time). A clock
	// that stands before it is TimeUnknown.
	Floor time.Time
}

var _ hal.Clock = Clock{}

// timesyncd is there from when systemd-timesyncd has set the clock until that daemon ends.
const timesyncd = "/run/systemd/timesync/synchronized"

// Wall implements hal.Clock. TimeSynced is what adjtimex(2) says; where that is refused, what systemd-timesyncd says.
func (c Clock) Wall() (time.Time, hal.TimeQuality) {
	now := time.Now().UTC()
	if now.Before(c.Floor) {
		return now, hal.TimeUnknown
	}
	if !synchronised(unix.Adjtimex, timesyncd) {
		return now, hal.TimeLocal
	}
	return now, hal.TimeSynced
}

func synchronised(adjtimex func(*unix.Timex) (int, error), stamp string) bool {
	var tx unix.Timex
	state, err := adjtimex(&tx)
	if errors.Is(err, unix.EPERM) { // systemd's ProtectClock= refuses those who only read, too
		_, err := os.Stat(stamp)
		return err == nil
	}
	return err == nil && state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0
}

// Uptime implements hal.Clock; 0 on a kernel without CLOCK_BOOTTIME (before 2.6.39).
func (Clock) Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// After implements hal.Clock. The timer stands still while the machine is suspended and so fires
// late, never early; who waits for a deadline compares Uptime again when it fires.
func (Clock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Identity reads which system runs. Empty fields have the defaults named.
type Identity struct {
	CmdlinePath string // /proc/cmdline
	// Key of the kernel command line whose value is the boot name of the slot. "" is
	// "ratchet.slot" and, where that is missing, "rauc.slot".
	Key string
	// RootPath is the mount point whose device runs; "" is "/". Where "/" is an overlay, name the
	// mount point of its lower layer, or use RootFile.
	RootPath string
	// RootFile, when set, is a file that holds the path of the running device, written by the
	// initramfs: for roots whose mount does not tell the device (overlay, btrfs, dm-verity).
	RootFile   string
	BootIDPath string // /proc/sys/kernel/random/boot_id
	// MarkDir is a folder of our own that a boot finds empty (below /run): what tells two boots apart whose kernel's id
	// is the same, or missing, is kept in it. It is made when it is not there. "": the kernel's id alone.
	MarkDir string
}

var _ hal.Identity = Identity{}

// Root implements hal.Identity.
func (i Identity) Root() (hal.DeviceID, error) {
	if i.RootFile != "" {
		b, err := readSmall(i.RootFile)
		if err != nil {
			return hal.DeviceID{}, errorf("cannot read the root file: %w", err)
		}
		path := strings.TrimSpace(b)
		if !strings.HasPrefix(path, "/") {
			return hal.DeviceID{}, errorf("cannot use root file %s: its content %q is not an absolute path",
				i.RootFile, path)
		}
		return Blocks{}.Identify(path)
	}
	path := orDefault(i.RootPath, "/")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return hal.DeviceID{}, errorf("cannot find the device behind %s: %w", path, err)
	}
	dev := uint64(st.Dev)
	if unix.Major(dev) == 0 {
		return hal.DeviceID{}, errorf("cannot find the device behind %s: it is not a file system on a block "+
			"device (overlay, btrfs, tmpfs); set a root file", path)
	}
	return hal.DeviceID{Block: true, Major: dev}, nil
}

// Marker implements hal.Identity. A key that is there twice with different values is an error:
// nobody could say which one the boot loader meant.
func (i Identity) Marker() (string, error) {
	line, err := readSmall(orDefault(i.CmdlinePath, "/proc/cmdline"))
	if err != nil {
		return "", errorf("cannot read the kernel command line: %w", err)
	}
	keys := []string{i.Key}
	if i.Key == "" {
		keys = []string{"ratchet.slot", "rauc.slot"}
	}
	for _, key := range keys {
		if v, err := parameter(line, key); v != "" || err != nil {
			return v, err
		}
	}
	return "", nil
}

// parameter returns the value of key on a kernel command line, by the rules of the kernel's own
// parser (Documentation/admin-guide/kernel-parameters): double quotes protect spaces, "--" ends it.
func parameter(line, key string) (string, error) {
	value, quoted := "", false
	words := strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
	for _, word := range words {
		if word == "--" {
			break
		}
		k, v, ok := strings.Cut(strings.Trim(word, `"`), "=")
		if !ok || k != key {
			continue
		}
		v = strings.Trim(v, `"`)
		if value != "" && v != value {
			return "",
				errorf("cannot tell the booted slot: %s is %q and %q on the kernel command line", key, value, v)
		}
		value = v
	}
	return value, nil
}

// readSmall reads a file of at most 64 KiB. hal.ReadFile asks for its size first, which /proc and /sys do not tell.
func readSmall(path string) (string, error) {
	b, err := textfile.Read(path, 64<<10)
	return string(b), err
}
