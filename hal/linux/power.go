//go:build linux

package linux

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

const (
	// syncLimit is how long a forced reboot waits for the disks: a dying one must not prevent it.
	syncLimit = 5 * time.Second
	// forceGrace is what a command that forces a reboot has left when the process is told to end.
	forceGrace = 2 * time.Second
)

// Power reboots this machine. Use a pointer: it remembers the firmware argument for Force.
type Power struct {
	// Command asks for an orderly reboot; nil is systemctl reboot. A firmware argument is appended
	// as one word with ArgPrefix in front.
	Command []string
	// ArgPrefix stands in front of the firmware argument; nil is "--reboot-argument=" (systemd 246).
	ArgPrefix *string
	// ForceCommand is run by Force instead of sync and reboot(2): a laboratory must not reboot its host.
	ForceCommand []string
	// SupplyDir is where the kernel lists power supplies; "" is /sys/class/power_supply.
	SupplyDir string

	mu  sync.Mutex
	arg string
}

var _ hal.Power = (*Power)(nil)

// Reboot implements hal.Power. It returns when the command has ended, which for systemd is at once.
func (p *Power) Reboot(ctx context.Context, arg string) error {
	if strings.ContainsRune(arg, 0) {
		return errors.New("cannot reboot: the firmware argument holds a zero byte")
	}
	p.mu.Lock()
	p.arg = arg
	p.mu.Unlock()
	argv := p.Command
	if len(argv) == 0 {
		argv = []string{"systemctl", "reboot"}
	}
	if arg != "" {
		prefix := "--reboot-argument="
		if p.ArgPrefix != nil {
			prefix = *p.ArgPrefix
		}
		argv = append(argv[:len(argv):len(argv)], prefix+arg)
	}
	return run(ctx, argv)
}

// Force implements hal.Power: sync, for at most five seconds, then reboot(2) with the argument of
// the last Reboot. It returns only when the kernel refuses, or ctx has ended: who ends this process
// may be the reboot, so that a command has forceGrace more.
func (p *Power) Force(ctx context.Context) error {
	if len(p.ForceCommand) > 0 {
		late, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, func() {
			select {
			case <-late.Done():
			case <-time.After(forceGrace):
				cancel()
			}
		})()
		return run(late, p.ForceCommand)
	}
	p.mu.Lock()
	arg := p.arg
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { unix.Sync(); close(done) }()
	select {
	case <-done:
	case <-time.After(syncLimit):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := restart(arg); err != nil {
		return errorf("cannot reboot: %w", err)
	}
	return nil
}

// restart is reboot(2), with LINUX_REBOOT_CMD_RESTART2 where there is an argument.
func restart(arg string) error {
	if arg == "" {
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	s, err := unix.BytePtrFromString(arg)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall6(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2,
		unix.LINUX_REBOOT_CMD_RESTART2, uintptr(unsafe.Pointer(s)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func run(ctx context.Context, argv []string) error {
	var out head
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	// A group of its own, so that what it started ends with it; who left the group is not waited for.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it ended well, and left somebody behind
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = errorf("%w: %w", cause, err)
	}
	said := strings.TrimSpace(string(out.b))
	if said != "" {
		return errorf("cannot reboot with %s: %w (%s)", argv[0], err, said)
	}
	return errorf("cannot reboot with %s: %w", argv[0], err)
}

// head keeps the first bytes that are written to it.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), 200-len(h.b))]...)
	return len(p), nil
}

// Supply implements hal.Power from the kernel's power supply class
// (Documentation/ABI/testing/sysfs-class-power). Batteries of peripherals (scope Device) do not count.
func (p *Power) Supply() hal.Supply {
	root := orDefault(p.SupplyDir, "/sys/class/power_supply")
	s := hal.Supply{Battery: -1, BatteryMWh: -1}
	entries, err := os.ReadDir(root)
	if err != nil {
		return s
	}
	outlet := false
	for _, e := range entries {
		attr := func(name string) string {
			b, _ := readSmall(filepath.Join(root, e.Name(), name))
			return strings.TrimSpace(b)
		}
		number := func(name string) int64 {
			n, err := strconv.ParseInt(attr(name), 10, 64)
			if err != nil || n < 0 {
				return -1
			}
			return n
		}
		switch {
		case attr("scope") == "Device", attr("present") == "0":
		case attr("type") == "Battery":
			s.Known = true
			// With several batteries the lowest one speaks: half a promise is none.
			if c := number("capacity"); c >= 0 && c <= 100 && (s.Battery < 0 || int(c) < s.Battery) {
				s.Battery = int(c)
			}
			if mwh := energy(number); mwh >= 0 {
				s.BatteryMWh = max(s.BatteryMWh, 0) + mwh
			}
			if st := attr("status"); !outlet && (st == "Charging" || st == "Full") {
				s.Mains = true
			}
		case attr("type") != "" && attr("type") != "UPS":
			s.Known = true
			if !outlet {
				outlet, s.Mains = true, false // what the outlet says counts, not what a battery guesses
			}
			s.Mains = s.Mains || number("online") > 0
		}
	}
	return s
}

// energy is what is left in a battery in mWh, -1 when it does not say.
func energy(number func(string) int64) int64 {
	if e := number("energy_now"); e >= 0 {
		return e / 1000 // microwatt-hours
	}
	charge, volts := number("charge_now"), number("voltage_now") // microampere-hours, microvolts
	if charge < 0 || volts < 0 {
		return -1
	}
	return charge / 1000 * (volts / 1000) / 1000
}
