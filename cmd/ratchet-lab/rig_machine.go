package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

const (
	ubootBinary = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
	ovmfCode    = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars    = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	flashBytes  = 64 << 20 // one bank of QEMU's virt board
	flashEnv    = 256 << 10
)

// machine is one QEMU process: a board with power.
type machine struct {
	cmd    *exec.Cmd
	serial string // file
	done   chan error
	read   int // bytes of serial that were looked at
}

// firmware makes the file that the board's second flash bank is, once.
func (t target) firmware(path string) error {
	if !t.uboot() {
		b, err := os.ReadFile(ovmfVars)
		if err != nil {
			return fmt.Errorf("%w; run scripts/deps.sh rig", err)
		}
		return os.WriteFile(path, b, 0o644)
	}
	env, err := ubootenv.Encode(t.flashEnvironment(), flashEnv, -1)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(env, 0)
	return errors.Join(err, f.Truncate(flashBytes), f.Close())
}

// power switches a board on. log is the write log, "" for none.
func (t target) power(ctx context.Context, dir, disk, log, serial string, kvm bool) (*machine, error) {
	flash := filepath.Join(dir, "flash.img")
	if _, err := os.Stat(flash); err != nil {
		if err := t.firmware(flash); err != nil {
			return nil, err
		}
	}
	accel := "tcg"
	if kvm {
		accel = "kvm"
	}
	var args []string
	if t.uboot() {
		args = []string{"-M", "virt", "-cpu", "cortex-a57", "-m", "128", "-bios", ubootBinary, "-drive", "if=pflash,format=raw,index=1,snapshot=on,file=" + flash}
	} else {
		// GRUB under OVMF is out of memory with 128 MiB.
		args = []string{"-M", "q35", "-cpu", "qemu64", "-m", "256", "-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + ovmfCode,
			"-drive", "if=pflash,format=raw,unit=1,snapshot=on,file=" + flash}
	}
	args = append(args, "-accel", accel, "-smp", "1", "-nodefaults", "-display", "none", "-serial", "file:"+serial,
		"-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=")
	// The host's flushes are of no interest: power is lost in the log, not on the host.
	disk0 := "driver=file,cache.no-flush=on,node-name=f0,filename=" + disk
	if log == "" {
		args = append(args, "-blockdev", disk0, "-blockdev", "driver=raw,node-name=d0,file=f0")
	} else {
		if err := os.WriteFile(log, nil, 0o644); err != nil {
			return nil, err
		}
		args = append(args, "-blockdev", disk0, "-blockdev", "driver=file,cache.no-flush=on,node-name=l0,filename="+log,
			"-blockdev", "driver=blklogwrites,node-name=d0,file=f0,log=l0,log-sector-size=512,log-super-update-interval=1")
	}
	args = append(args, "-device", "virtio-blk-pci,drive=d0")
	name := "qemu-system-aarch64"
	if !t.uboot() {
		name = "qemu-system-x86_64"
	}
	path, ok := find(name)
	if !ok {
		return nil, fmt.Errorf("%s is not installed; run scripts/deps.sh rig", name)
	}
	if err := os.WriteFile(serial, nil, 0o644); err != nil {
		return nil, err
	}
	m := &machine{cmd: exec.CommandContext(ctx, path, args...), serial: serial, done: make(chan error, 1)}
	say, err := os.Create(serial + ".qemu")
	if err != nil {
		return nil, err
	}
	defer say.Close()
	m.cmd.Stdout, m.cmd.Stderr = say, say
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { m.done <- m.cmd.Wait() }()
	return m, nil
}

// cut takes the power away.
func (m *machine) cut() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	<-m.done
	m.cmd = nil
}

// lines returns the whole lines that the console showed since the last call.
func (m *machine) lines() []string {
	b, err := os.ReadFile(m.serial)
	if err != nil || len(b) <= m.read {
		return nil
	}
	b = b[m.read:]
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		return nil
	}
	m.read += end + 1
	var out []string
	for _, l := range strings.Split(string(b[:end]), "\n") {
		out = append(out, strings.TrimRight(l, "\r"))
	}
	return out
}

// follow reads the console until done says so, the board dies, or the time is over.
func (m *machine) follow(ctx context.Context, within time.Duration, what string, done func(line string) bool) error {
	for end := time.Now().Add(within); ; {
		for _, l := range m.lines() {
			if done(l) {
				return nil
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("waited %v in vain for %s", within, what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-m.done:
			m.cmd = nil
			say, _ := os.ReadFile(m.serial + ".qemu")
			return fmt.Errorf("the machine stopped: %w: %s", errors.Join(err, errors.New("power off")), tailOf(say, 500))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
