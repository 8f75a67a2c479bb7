//go:build linux

// Command guest is the user space of the rig's device, besides the agent: one static program that is
// the initramfs's /init, the slot's /sbin/init, the health check and the reboot command.
//
// As /init it loads the kernel's modules, mounts the slot that the bootloader named read-only and goes
// over to it, as every initramfs does. As /sbin/init it mounts the state partition, brings up the
// network, keeps the agent running and tells on the console what the agent's status is. It keeps
// nothing; a power cut concerns it only through what it mounted.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/agent/control"
)

const (
	agentPath  = "/usr/bin/ratchet"
	deviceWait = 10 * time.Second
	stopWait   = 10 * time.Second
	pollEvery  = 250 * time.Millisecond
	silence    = time.Minute // after which the agent is asked what it waits for

	watchdogSeconds = 15
	freezeAfter     = 2 * time.Second // in a trial: within the soak
)

func main() {
	switch verb := strings.Join(os.Args[1:], " "); {
	case verb == "health" && sickness("undecided"):
		time.Sleep(time.Hour)
	case verb == "health":
		if sickness("sick") {
			fmt.Fprintln(os.Stderr, "the rig's service does not answer")
			os.Exit(1)
		}
	case verb == "reboot":
		if err := unix.Kill(1, unix.SIGTERM); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getpid() == 1 && os.Args[0] == "/init":
		fail("the initramfs", goToSlot())
	case os.Getpid() == 1:
		fail("init", runSystem())
	default:
		fmt.Fprintln(os.Stderr, "guest health|reboot; else it is process 1")
		os.Exit(2)
	}
}

// sickness tells what the image is made to suffer from.
func sickness(kind string) bool {
	b, _ := os.ReadFile("/etc/rig/sickness")
	return strings.TrimSpace(string(b)) == kind
}

func say(format string, args ...any) { fmt.Printf("rig: "+format+"\n", args...) }

// fail ends process 1, which makes the kernel panic, which reboots: as a broken system would.
func fail(what string, err error) {
	say("%s failed: %v", what, err)
	time.Sleep(100 * time.Millisecond) // for the console
	os.Exit(1)
}

// goToSlot is the initramfs.
func goToSlot() error {
	if err := mountKernel(); err != nil {
		return err
	}
	if err := console(); err != nil {
		return err
	}
	if parameter("rig.loader") == "mute" {
		// as the reference scripts of other loaders do
		fmt.Println("Ratchet: booting slot " + parameter("ratchet.slot"))
	}
	if err := loadModules(); err != nil {
		return err
	}
	if parameter("rig.factory") == "efivars" {
		if err := writeVariables(); err != nil {
			return err
		}
		say("factory done")
		time.Sleep(time.Second) // for the console
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	if _, err := os.Stat("/seize"); err == nil {
		return seize()
	}
	root := parameter("root")
	if err := waitFor(root); err != nil {
		return err
	}
	if err := unix.Mount(root, "/slot", "ext4", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("cannot mount the slot %s: %w", root, err)
	}
	if b, _ := os.ReadFile("/slot/etc/rig/sickness"); strings.TrimSpace(string(b)) == "panic" {
		say("this kernel panics")
		return fmt.Errorf("as it was told")
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(dir, "/slot"+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("cannot move %s: %w", dir, err)
		}
	}
	if err := unix.Chdir("/slot"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move the slot to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	env := []string{"PATH=/sbin:/usr/bin"}
	if fd, err := armWatchdog(); err != nil {
		say("there is no watchdog: %v", err)
	} else {
		env = append(env, fmt.Sprintf("%s=%d", watchdogFD, fd))
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"}, env)
}

func mountKernel() error {
	for _, m := range []string{"dev devtmpfs", "proc proc", "sys sysfs"} {
		dir, kind, _ := strings.Cut(m, " ")
		if err := unix.Mount(kind, "/"+dir, kind, 0, ""); err != nil {
			return fmt.Errorf("cannot mount /%s: %w", dir, err)
		}
	}
	return nil
}

// writeVariables makes the EFI variables that the initramfs holds, each in one write.
func writeVariables() error {
	const at = "/sys/firmware/efi/efivars"
	if err := unix.Mount("efivarfs", at, "efivarfs", 0, ""); err != nil {
		return fmt.Errorf("cannot mount %s: %w", at, err)
	}
	all, err := os.ReadDir("/efivars")
	if err != nil {
		return err
	}
	for _, e := range all {
		b, err := os.ReadFile(filepath.Join("/efivars", e.Name()))
		if err != nil {
			return err
		}
		path := filepath.Join(at, e.Name())
		if f, err := os.Open(path); err == nil { // one that is there cannot be written before
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
			_ = f.Close()
			if err != nil {
				return fmt.Errorf("cannot make %s changeable: %w", path, err)
			}
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// seize arms the second watchdog, as a bootloader would, and makes the kernel panic and stay where it is:
// no software is left that could reset the machine.
func seize() error {
	fd, err := unix.Open("/dev/watchdog1", unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, watchdogSeconds); err != nil {
		return err
	}
	name, _ := os.ReadFile("/sys/class/watchdog/watchdog1/identity")
	say("armed by the initramfs: %s; the kernel seizes up", strings.TrimSpace(string(name)))
	if err := os.WriteFile("/proc/sys/kernel/panic", []byte("0"), 0); err != nil {
		return err
	}
	return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
}

// watchdogFD names the open watchdog to the slot's init.
const watchdogFD = "RIG_WATCHDOG"

// armWatchdog starts the watchdog before anything of the slot runs, as a board's bootloader would.
func armWatchdog() (int, error) {
	fd, err := unix.Open("/dev/watchdog", unix.O_WRONLY, 0) // not closed by exec
	if err != nil {
		return 0, err
	}
	return fd, unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, watchdogSeconds)
}

// feed keeps the watchdog quiet while hung is not closed.
func feed(hung <-chan struct{}) {
	fd, err := strconv.Atoi(os.Getenv(watchdogFD))
	if err != nil {
		return
	}
	for {
		_, _ = unix.Write(fd, []byte{0})
		select {
		case <-hung:
			return
		case <-time.After(2 * time.Second):
		}
	}
}

func console() error {
	f, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return nil
}

// loadModules loads what the list names, in its order.
func loadModules() error {
	list, err := os.ReadFile("/modules/list")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		f, err := os.Open(filepath.Join("/modules", name))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("cannot load module %s: %w", name, err)
		}
	}
	return nil
}

// parameter is the last value of a word on the kernel's command line.
func parameter(key string) string {
	line, _ := os.ReadFile("/proc/cmdline")
	value := ""
	for _, w := range strings.Fields(string(line)) {
		if v, ok := strings.CutPrefix(w, key+"="); ok {
			value = v
		}
	}
	return value
}

func waitFor(path string) error {
	for end := time.Now().Add(deviceWait); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		} else if time.Now().After(end) {
			return err
		}
	}
}

// runSystem is the slot's init.
func runSystem() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	if err := mountAll(); err != nil {
		return err
	}
	if err := network(); err != nil {
		return err
	}
	version, _ := os.ReadFile("/etc/rig/version")
	say("up slot=%s version=%s", parameter("ratchet.slot"), strings.TrimSpace(string(version)))
	if err := makeCounter(); err != nil {
		return err
	}
	hung := make(chan struct{})
	if sickness("hang") {
		close(hung)
		time.Sleep(time.Hour) // the watchdog comes before
	}
	go feed(hung)
	process := &atomic.Int64{}
	go report(process)
	for {
		agent := exec.Command(agentPath, "daemon")
		agent.Stdout, agent.Stderr = os.Stdout, os.Stderr
		if err := agent.Start(); err != nil {
			return fmt.Errorf("cannot start the agent: %w", err)
		}
		process.Store(int64(agent.Process.Pid))
		fallSick(agent, hung)
		done := make(chan error, 1)
		go func() { done <- agent.Wait() }()
		select {
		case err := <-done:
			say("the agent ended: %v", err)
			if sickness("orphan") {
				<-stop
				return restart()
			}
			time.Sleep(time.Second)
		case <-stop:
			_ = agent.Process.Signal(unix.SIGTERM)
			select {
			case <-done:
			case <-time.After(stopWait):
				say("the agent does not end")
				_ = agent.Process.Kill()
			}
			return restart()
		}
	}
}

// fallSick makes the system do after a while what its sickness is.
func fallSick(agent *exec.Cmd, hung chan struct{}) {
	if sickness("freeze") {
		time.AfterFunc(freezeAfter, func() {
			say("everything hangs")
			close(hung)
			_ = agent.Process.Signal(unix.SIGSTOP)
		})
	}
	if sickness("orphan") {
		time.AfterFunc(freezeAfter, func() {
			say("somebody kills the agent; all else goes on")
			_ = agent.Process.Kill()
		})
	}
}

// makeCounter is the factory's last step, where it left a note on the state partition.
func makeCounter() error {
	const note = "/var/lib/ratchet/make-counter"
	if _, err := os.Stat(note); err != nil {
		return nil
	}
	out, err := exec.Command(agentPath, "counter", "init").CombinedOutput()
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		say("counter: %s", line)
	}
	if err != nil {
		return fmt.Errorf("cannot make the counter: %w", err)
	}
	return os.Remove(note)
}

// mountAll mounts what /etc/rig/mounts lists, "DEVICE DIR TYPE" a line, and what every system has.
func mountAll() error {
	for _, dir := range []string{"/run", "/tmp"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return fmt.Errorf("cannot mount %s: %w", dir, err)
		}
	}
	for _, m := range mounts() {
		if err := unix.Mount(m[0], m[1], m[2], unix.MS_NOATIME, ""); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m[1], err)
		}
	}
	return nil
}

func mounts() [][]string {
	var all [][]string
	list, _ := os.ReadFile("/etc/rig/mounts")
	for _, line := range strings.Split(string(list), "\n") {
		if f := strings.Fields(line); len(f) == 3 {
			all = append(all, f)
		}
	}
	return all
}

// network gives the first interface the address that QEMU's user network expects. The host is a
// neighbour in it, so that no route is needed.
func network() error {
	if err := waitFor("/sys/class/net/eth0"); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, name := range []string{"lo", "eth0"} {
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if name == "eth0" {
			for _, set := range []struct {
				req  uint
				addr [4]byte
			}{{unix.SIOCSIFADDR, [4]byte{10, 0, 2, 15}}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}}} {
				if err := ifr.SetInet4Addr(set.addr[:]); err != nil {
					return err
				}
				if err := unix.IoctlIfreq(s, set.req, ifr); err != nil {
					return fmt.Errorf("cannot set the address: %w", err)
				}
			}
		}
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
			return fmt.Errorf("cannot start %s: %w", name, err)
		}
	}
	return nil
}

// restart unmounts in order and reboots.
func restart() error {
	all := mounts()
	for i := len(all) - 1; i >= 0; i-- {
		if err := unix.Unmount(all[i][1], 0); err != nil {
			say("cannot unmount %s: %v", all[i][1], err)
		}
	}
	say("reboot")
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// report prints the agent's status whenever it changes.
func report(process *atomic.Int64) {
	ctx := context.Background()
	heard, asked := time.Now(), false
	for before := ""; ; time.Sleep(pollEvery) {
		if !asked && time.Since(heard) > silence {
			// A quit makes a Go program show what each goroutine waits for. It starts again then, and the
			// rig counts what this line says as a failure.
			asked = true
			say("the agent does not answer for %v", silence)
			if pid := process.Load(); pid > 0 {
				_ = unix.Kill(int(pid), unix.SIGQUIT)
			}
		}
		c, err := control.Dial(control.DefaultSocket)
		if err != nil {
			continue
		}
		var s control.Status
		raw, err := c.Do(ctx, control.VerbStatus, nil, nil, nil)
		_ = c.Close()
		if err != nil || json.Unmarshal(raw, &s) != nil {
			continue
		}
		heard = time.Now()
		if now := line(s); now != before {
			say("%s", now)
			before = now
		}
	}
}

// line is what the rig on the host waits for.
func line(s control.Status) string {
	last := "-"
	if s.Last != nil {
		last = fmt.Sprintf("%s/%d", s.Last.Result, s.Last.Sequence)
		if s.Last.Reason != "" {
			last += "/" + string(s.Last.Reason)
		}
	}
	return fmt.Sprintf("status mode=%s phase=%s running=%s confirmed=%v tries=%d other=%v/%v last=%s seq=%d "+
		"unsent=%d next=%s counter=%s/%d time=%s", s.Mode, s.Phase, s.Running.Name, s.Running.Confirmed,
		s.Running.Tries, s.Other.Bootable, s.Other.Confirmed, last, s.Evidence.Seq,
		s.Evidence.Seq-s.Evidence.Sent, s.Boot.Next, s.Counter.Kind, s.Counter.Value, s.Time.Quality)
}
