//go:build linux

package linux

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// Watchdog is a kernel watchdog (Documentation/watchdog/watchdog-api). Opening the device starts
// it, so that is what Arm does, not OpenWatchdog.
type Watchdog struct {
	path string

	mu sync.Mutex
	f  *os.File
}

var _ hal.Watchdog = (*Watchdog)(nil)

// OpenWatchdog finds the watchdog at path without starting it; ErrUnsupported when there is none.
func OpenWatchdog(path string) (*Watchdog, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errorf("cannot find watchdog %s: %w", path, hal.ErrUnsupported)
	case err != nil:
		return nil, errorf("cannot find watchdog: %w", err)
	case st.Mode()&fs.ModeCharDevice == 0:
		return nil, errorf("cannot use %s as a watchdog: it is not a character device: %w",
			path, hal.ErrUnsupported)
	}
	return &Watchdog{path: path}, nil
}

// Arm implements hal.Watchdog. The timeout is rounded up to whole seconds; hardware that takes
// only a shorter one is an error, and the watchdog is stopped again. Armed already, it only sets the timeout.
func (w *Watchdog) Arm(timeout time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := int((timeout + time.Second - 1) / time.Second)
	if want < 1 {
		return errorf("cannot arm watchdog %s: timeout %v is too short", w.path, timeout)
	}
	if w.f == nil {
		f, err := os.OpenFile(w.path, os.O_WRONLY, 0)
		if errors.Is(err, unix.EBUSY) {
			return errorf("cannot arm watchdog %s: another program feeds it: %w", w.path, hal.ErrBusy)
		} else if err != nil {
			return errorf("cannot arm watchdog: %w", err)
		}
		w.f = f
	}
	// The pointer form writes the timeout that the hardware really took back; a second call reads it.
	err := unix.IoctlSetPointerInt(int(w.f.Fd()), unix.WDIOC_SETTIMEOUT, want)
	got := 0
	if err == nil {
		got, err = unix.IoctlGetInt(int(w.f.Fd()), unix.WDIOC_GETTIMEOUT)
	}
	if err == nil && got < want {
		err = errorf("the hardware takes at most %d s, not %d s", got, want)
	}
	if err != nil {
		return errors.Join(errorf("cannot arm watchdog %s: %w", w.path, err), w.stop())
	}
	return nil
}

// Feed implements hal.Watchdog.
func (w *Watchdog) Feed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.f == nil {
		return errorf("cannot feed watchdog %s: it is not armed", w.path)
	}
	if err := unix.IoctlWatchdogKeepalive(int(w.f.Fd())); err != nil {
		return errorf("cannot feed watchdog %s: %w", w.path, err)
	}
	return nil
}

// Disarm implements hal.Watchdog with the magic close. A driver built or loaded with nowayout goes
// on counting; the kernel does not tell it here, so the caller that must know looks at the boot after.
func (w *Watchdog) Disarm() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stop()
}

func (w *Watchdog) stop() error {
	if w.f == nil {
		return nil
	}
	_, err := w.f.Write([]byte("V"))
	if e := w.f.Close(); err == nil {
		err = e
	}
	w.f = nil
	if err != nil {
		return errorf("cannot stop watchdog %s: %w", w.path, err)
	}
	return nil
}
