package board

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

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// Machine is one QEMU process: a board with power.
type Machine struct {
	cmd    *exec.Cmd
	serial string // file
	beside func() // takes away what stands beside the board
	done   chan error
	read   int // bytes of serial that were looked at
}

// Supply is what a board is switched on with.
type Supply struct {
	Dir     string // of the run: firmware, flash, sockets
	Disk    string // file
	Log     string // that takes every write of the disk; "" for none
	Console string // file that takes what the serial port says
	KVM     bool
}

// Power switches a board on, with a second bank of flash as the factory made it where there is none yet. Cut takes the
// power away; so does the end of ctx.
func (t Kind) Power(ctx context.Context, p Supply) (*Machine, error) {
	if err := t.makeFlash(p.Dir); err != nil {
		return nil, err
	}
	accel := "tcg"
	if p.KVM {
		accel = "kvm"
	}
	args := append(t.hardware(p.Dir), "-accel", accel, "-smp", "1", "-nodefaults", "-display", "none",
		"-serial", "file:"+p.Console,
		"-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile=")
	// The host's flushes are of no interest: power is lost in the log, not on the host.
	disk0 := "driver=file,cache.no-flush=on,node-name=f0,filename=" + p.Disk
	if p.Log == "" {
		args = append(args, "-blockdev", disk0, "-blockdev", "driver=raw,node-name=d0,file=f0")
	} else {
		if err := os.WriteFile(p.Log, nil, 0o644); err != nil {
			return nil, err
		}
		args = append(args, "-blockdev", disk0,
			"-blockdev", "driver=file,cache.no-flush=on,node-name=l0,filename="+p.Log,
			"-blockdev",
			"driver=blklogwrites,node-name=d0,file=f0,log=l0,log-sector-size=512,log-super-update-interval=1")
	}
	args = append(args, "-device", "virtio-blk-pci,drive=d0")
	path, ok := image.Find(t.qemu)
	if !ok {
		return nil, fmt.Errorf("%s is not installed; run scripts/deps.sh rig", t.qemu)
	}
	if err := os.WriteFile(p.Console, nil, 0o644); err != nil {
		return nil, err
	}
	m := &Machine{cmd: exec.CommandContext(ctx, path, args...), serial: p.Console, done: make(chan error, 1),
		beside: func() {}}
	m.cmd.Dir = p.Dir // so that sockets have short names
	say, err := os.Create(p.Console + ".qemu")
	if err != nil {
		return nil, err
	}
	defer say.Close()
	m.cmd.Stdout, m.cmd.Stderr = say, say
	if t.beside != nil {
		if m.beside, err = t.beside(ctx, p.Dir); err != nil {
			return nil, err
		}
	}
	if err := m.cmd.Start(); err != nil {
		m.beside()
		return nil, err
	}
	go func() { m.done <- m.cmd.Wait() }()
	return m, nil
}

// makeFlash makes the firmware's flash where the machine has one and it is not there yet.
func (t Kind) makeFlash(dir string) error {
	flash := filepath.Join(dir, flashFile)
	if _, err := os.Stat(flash); err != nil && t.flash != nil {
		b, err := t.flash(t)
		if err != nil {
			return err
		}
		if err := errors.Join(os.WriteFile(flash, nil, 0o644), os.Truncate(flash, int64(len(b))),
			image.WriteAt(flash, b, 0)); err != nil {
			return err
		}
	}
	return nil
}

// Cut takes the power away.
func (m *Machine) Cut() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill()
	<-m.done
	m.beside()
	m.cmd = nil
}

// lines returns the whole lines that the console showed since the last call.
func (m *Machine) lines() []string {
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

// Follow hands each new line of the console to done until it says so, the board dies, or the time is over.
func (m *Machine) Follow(ctx context.Context, within time.Duration, what string, done func(line string) bool) error {
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
			m.beside()
			m.cmd = nil
			say, _ := os.ReadFile(m.serial + ".qemu")
			return fmt.Errorf("the machine stopped: %w: %s", errors.Join(err, errors.New("power off")),
				say[max(0, len(say)-500):])
		case <-time.After(50 * time.Millisecond):
		}
	}
}
