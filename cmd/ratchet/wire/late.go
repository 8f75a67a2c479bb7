package wire

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// lateWatchdog is a watchdog whose device may come after the daemon, as modules are loaded late. It is looked for when
// it is to be armed, and at each feeding until it is there.
type lateWatchdog struct {
	path    string
	timeout time.Duration // 0: not to be armed
	found   hal.Watchdog  // armed
}

// Arm implements hal.Watchdog.
func (w *lateWatchdog) Arm(timeout time.Duration) error {
	w.timeout = timeout
	if w.found != nil {
		return w.found.Arm(timeout)
	}
	found, err := linux.OpenWatchdog(w.path)
	if err != nil {
		return err
	}
	if err := found.Arm(timeout); err != nil {
		return err
	}
	w.found = found
	return nil
}

// Feed implements hal.Watchdog.
func (w *lateWatchdog) Feed() error {
	if w.found == nil && w.timeout > 0 {
		return w.Arm(w.timeout)
	}
	if w.found == nil {
		return errors.New("cannot feed watchdog " + w.path + ": it is not armed")
	}
	return w.found.Feed()
}

// Disarm implements hal.Watchdog.
func (w *lateWatchdog) Disarm() error {
	found := w.found
	w.found, w.timeout = nil, 0
	if found == nil {
		return nil
	}
	return found.Disarm()
}

// look says why the watchdog cannot be had now. It does not start it.
func (w *lateWatchdog) look(c *config.Config) error {
	if _, err := linux.OpenWatchdog(w.path); err != nil {
		return c.Errorf("health.watchdog", "%v", err)
	}
	return nil
}

// Lacks is what the daemon reads once, when it starts, and cannot use as it is now: each is mended by a start when it
// is there. Nothing is written, and no device is opened but the TPM.
func Lacks(c *config.Config) (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	defs, err := slotDefs(c)
	add(err)
	if err == nil {
		_, err = backend(c, linux.FS{}, []bootctl.Slot{defs[0].Name, defs[1].Name})
		add(err)
		add(partsThere(c))
	}
	_, err = root(c)
	add(err)
	if c.Trust.Root == "" {
		_, err = anchors(c)
		add(err)
	}
	_, err = decryption(c)
	add(err)
	add(writable(c))
	add(lacksDeviceKey(c, linux.FS{}))
	return errs
}

// Volatile says why the state directory does not outlive the machine, unless the configuration says that it is meant
// so. Nothing else depends on it: what runs is proven by the slots' own bytes.
func Volatile(c *config.Config) error {
	if c.State.Volatile == config.VolatileAllowed {
		return nil
	}
	if why := linux.Volatile(c.State.Directory); why != "" {
		return c.Errorf("state.directory", "%s: it is lost when the machine is switched off", why)
	}
	return nil
}

// partsThere finds slots whose device or file is not there yet: udev makes a link by name late.
func partsThere(c *config.Config) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Slots)) { // in one order: another text looks like something mended
		s := c.Slots[name]
		for _, part := range slices.Sorted(maps.Keys(s.Parts)) {
			if _, err := os.Stat(s.Parts[part]); err != nil {
				errs = append(errs, c.Errorf("slots."+name+".parts."+part, "%v", err))
			}
		}
	}
	return errors.Join(errs...)
}

// writable tells whether the state directory takes what the device must remember.
func writable(c *config.Config) error {
	const read, write = 4, 2 // access(2)
	dir := c.State.Directory
	for dir != "/" {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		dir = filepath.Dir(dir) // it will be made
	}
	if err := syscall.Access(dir, read|write); err != nil {
		return c.Errorf("state.directory", "%v", &fs.PathError{Op: "write to", Path: dir, Err: err})
	}
	if path := filepath.Join(c.State.Directory, journalName); syscall.Access(path, read|write) != nil {
		if err := syscall.Access(path, read|write); !errors.Is(err, fs.ErrNotExist) {
			return c.Errorf("state.directory", "%v", &fs.PathError{Op: "write to", Path: path, Err: err})
		}
	}
	return nil
}
