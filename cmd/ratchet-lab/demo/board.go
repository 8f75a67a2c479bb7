package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// What the device calls the program of the laboratory with; the one argument is the device's folder.
const (
	HealthVerb = "demo-health" // the device's health check: reads the image that runs
	ButtonVerb = "demo-button" // the device's reboot command: presses the board's button
)

const (
	sickMark = "ratchet-demo-health=sick"
	envBytes = 16 << 10
)

// board is a device made of files: two slots, a redundant U-Boot environment, and what a kernel
// would show in /proc. The agent on it is the real daemon, in a process of its own; the bootloader
// is the model of U-Boot, which reads and writes the same environment.
type board struct {
	dir     string // all of the device
	ratchet string // the daemon's program
	log     *os.File
	cmd     *exec.Cmd
	pid     atomic.Int64 // of the daemon that was started last
	done    chan error
	boots   int
	slots   map[string]string // device or file of each
	peak    int64             // largest memory of a daemon that ended in order, in bytes, since it was last taken
	all     atomic.Int64      // most that a daemon and its processes had together, in bytes, likewise
	loops   []string          // loop devices to give back
	slot    string
}

func (b *board) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

// provision makes a device that runs image in slot A, as a factory would.
func (b *board) provision(image string, size int64, loop bool) error {
	for _, d := range []string{"etc", "proc", "run", "state"} {
		if err := os.MkdirAll(b.path(d), 0o755); err != nil {
			return err
		}
	}
	b.slots = map[string]string{}
	for name, file := range map[string]string{"A": "slot-a.img", "B": "slot-b.img"} {
		f, err := os.Create(b.path(file))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			return err
		}
		b.slots[name] = b.path(file)
		if loop {
			if b.slots[name], err = b.setUpLoop(b.path(file)); err != nil {
				return err
			}
		}
	}
	if err := copyInto(b.slots["A"], image); err != nil {
		return err
	}
	for _, e := range []string{"uboot.env", "uboot-redund.env"} {
		if err := os.WriteFile(b.path(e), make([]byte, envBytes), 0o644); err != nil {
			return err
		}
	}
	fw := fmt.Sprintf("%s 0x0 0x%x\n%s 0x0 0x%x\n", b.path("uboot.env"), envBytes, b.path("uboot-redund.env"), envBytes)
	if err := os.WriteFile(b.path("etc", "fw_env.config"), []byte(fw), 0o644); err != nil {
		return err
	}
	env, err := ubootenv.New(linux.FS{}, ubootenv.Options{
		Copies: []ubootenv.Location{{Path: b.path("uboot.env"), Size: envBytes},
			{Path: b.path("uboot-redund.env"), Size: envBytes}},
		Locks: []string{}, Defaults: []string{"bootcmd=run ratchet_boot"}, Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		return err
	}
	return env.Refresh(context.Background(), "A")
}

// setUpLoop puts a loop device on a file.
func (b *board) setUpLoop(file string) (string, error) {
	tool, ok := image.Find("losetup")
	if !ok {
		return "", errors.New("losetup is not installed")
	}
	out, err := exec.Command(tool, "--find", "--show", "--direct-io=on", file).CombinedOutput()
	dev := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("losetup: %w: %s", err, dev)
	}
	b.loops = append(b.loops, dev)
	return dev, nil
}

// release gives the loop devices back.
func (b *board) release() {
	tool, _ := image.Find("losetup")
	for _, dev := range b.loops {
		_ = exec.Command(tool, "--detach", dev).Run()
	}
	b.loops = nil
}

func copyInto(slot, image string) error {
	in, err := os.Open(image)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(slot, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// boot powers the board on: the loader chooses a slot by its own rules and counts its tries, then the
// kernel starts the agent.
func (b *board) boot() error {
	model := bootmodel.UBoot{FS: linux.FS{}, Copies: []bootmodel.Copy{{Path: b.path("uboot.env"), Size: envBytes},
		{Path: b.path("uboot-redund.env"), Size: envBytes}}}
	slot, args, err := model.Boot()
	if err != nil || slot == "" {
		return fmt.Errorf("the board does not boot: %w", errors.Join(err, errors.New("no slot left")))
	}
	b.slot = slot
	b.boots++
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	for name, text := range map[string]string{"proc/cmdline": args, "run/root-device": b.slots[slot],
		"proc/boot_id": fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])} {
		if err := os.WriteFile(b.path(name), []byte(text+"\n"), 0o644); err != nil {
			return err
		}
	}
	_ = os.Remove(b.path("run", "button"))
	return b.start()
}

func (b *board) start() error {
	b.cmd = exec.Command(b.ratchet, "daemon", "--config", b.path("etc", "ratchet.toml"), "--state", b.path("state"))
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the daemon: %w", err)
	}
	b.pid.Store(int64(b.cmd.Process.Pid))
	b.done = make(chan error, 1)
	go func(c *exec.Cmd, done chan error) { done <- c.Wait() }(b.cmd, b.done)
	return nil
}

// pulled takes the power away: the daemon gets no chance to do anything.
func (b *board) pulled() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	<-b.done
	b.cmd = nil
}

// stop is an orderly shutdown.
func (b *board) stop() {
	if b.cmd == nil {
		return
	}
	b.peak = max(b.peak, peakMemory(b.cmd.Process.Pid))
	_ = b.cmd.Process.Signal(os.Interrupt)
	select {
	case <-b.done:
	case <-time.After(10 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.done
	}
	b.cmd = nil
}

// peakMemory is the most that a process had resident so far, 0 when nobody tells.
func peakMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return 0
	}
	return kib << 10
}

// button tells whether the device asked for a reboot.
func (b *board) button() bool {
	_, err := os.Stat(b.path("run", "button"))
	return err == nil
}

// watchButton serves the device's reboots until ctx ends; booted is told about each.
func (b *board) watchButton(ctx context.Context, booted func(slot string)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(50 * time.Millisecond):
			if pid := b.pid.Load(); pid > 0 {
				b.all.Store(max(b.all.Load(), linux.Together(int(pid))))
			}
		}
		if !b.button() {
			continue
		}
		b.stop()
		if err := b.boot(); err != nil {
			return err
		}
		booted(b.slot)
	}
}

// PressButton is the reboot command of the demo's device, whose folder is dir.
func PressButton(dir string) error {
	return os.WriteFile(filepath.Join(dir, "run", "button"), nil, 0o644)
}

// CheckHealth is the health check of the demo's device, whose folder is dir: the system that runs is sick when its
// image says so.
func CheckHealth(dir string) error {
	root, err := os.ReadFile(filepath.Join(dir, "run", "root-device"))
	if err != nil {
		return err
	}
	system, err := os.ReadFile(strings.TrimSpace(string(root)))
	if err == nil && bytes.Contains(system, []byte(sickMark)) {
		err = errors.New("the demo's service does not answer")
	}
	return err
}
