//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

const (
	slotSize  = "256M"
	bootLimit = 6 * time.Minute // of one boot, which TCG on a busy machine takes long for
	maxBoots  = 4
	firmware  = "/usr/share/OVMF" // UEFI, for its variables
)

// check is a line that the machine said about itself.
type check struct {
	name, says string
	ok         bool
}

// machine is one Debian in QEMU.
type machine struct {
	options
	suite  suite
	work   string
	checks []check
	accel  string
}

func (m *machine) path(name string) string { return filepath.Join(m.work, name) }

// play makes the disks, and boots until the machine switches itself off.
func (m *machine) play() error {
	_ = os.RemoveAll(m.work)
	if err := os.MkdirAll(m.work, 0o755); err != nil {
		return err
	}
	base, err := m.base()
	if err != nil {
		return err
	}
	if err := m.disks(base); err != nil {
		return err
	}
	m.accel = accelerator(filepath.Join(base, "vmlinuz"))
	for range maxBoots {
		slot, err := m.load()
		if err != nil {
			return fmt.Errorf("the bootloader: %w", err)
		}
		off, err := m.boot(base, slot)
		if err != nil || off {
			return err
		}
	}
	return fmt.Errorf("it was booted %d times and came to no end", maxBoots)
}

// disks makes slot A, an empty slot B, a disk for boot metadata, one for the state, and one with the release.
func (m *machine) disks(base string) error {
	desk := m.path("desk")
	program := filepath.Join(m.programs, "ratchet-release")
	if err := command(program, "init", desk); err != nil {
		return err
	}
	if err := m.system(base, "1.0.0", m.path("a.img")); err != nil {
		return err
	}
	if err := m.system(base, "2.0.0", filepath.Join(desk, "rootfs.img")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(desk, "release.toml"), []byte(release), 0o644); err != nil {
		return err
	}
	for _, verb := range [][]string{{"build", "release.toml"}, {"sign", "release.suit"}} {
		cmd := exec.Command(program, verb...)
		cmd.Dir = desk
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ratchet-release %s: %w\n%s", verb[0], err, out)
		}
	}
	if err := os.Remove(filepath.Join(desk, "rootfs.img")); err != nil {
		return err
	}
	if err := os.MkdirAll(m.path("boot/grub"), 0o755); err != nil {
		return err
	}
	env := "# GRUB Environment Block\nORDER=A\nA_OK=1\nA_TRY=0\nA_GOOD=1\nB_OK=0\nB_TRY=0\n"
	env += strings.Repeat("#", 1024-len(env))
	if err := os.WriteFile(m.path("boot/grub/grubenv"), []byte(env), 0o644); err != nil {
		return err
	}
	for _, disk := range [][]string{
		{"-L", "boot", "-b", "4096", "-d", m.path("boot"), m.path("boot.img"), "16M"},
		{"-L", "state", "-b", "4096", "-O", "^metadata_csum", m.path("state.img"), "32M"},
		{"-L", "lab", "-d", desk, m.path("lab.img"), slotSize}} {
		if err := command("mke2fs", append([]string{"-q", "-t", "ext4"}, disk...)...); err != nil {
			return err
		}
	}
	if err := command("cp", firmware+"/OVMF_VARS_4M.fd", m.path("vars.fd")); err != nil {
		return err
	}
	b, err := os.Create(m.path("b.img"))
	if err != nil {
		return err
	}
	st, err := os.Stat(m.path("a.img"))
	return errors.Join(err, b.Truncate(st.Size()), b.Close())
}

// load is GRUB: it reads the environment block past the file system's journal, and writes it in place.
func (m *machine) load() (slot string, err error) {
	out, err := exec.Command("debugfs", "-R", "blocks /grub/grubenv", m.path("boot.img")).Output()
	if err != nil {
		return "", err
	}
	block, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return "", fmt.Errorf("where the environment block lies: %q", out)
	}
	disk, err := os.OpenFile(m.path("boot.img"), os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer disk.Close()
	env := make([]byte, 1024)
	if _, err := disk.ReadAt(env, block*4096); err != nil {
		return "", err
	}
	file := m.path("grubenv")
	if err := os.WriteFile(file, env, 0o644); err != nil {
		return "", err
	}
	slot, _, err = bootmodel.GRUB{FS: linux.FS{}, Path: file}.Boot()
	if err != nil {
		return "", err
	}
	after, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(after, env) {
		_, err = disk.WriteAt(after, block*4096)
	}
	return slot, err
}

// boot starts a slot and waits for a reboot, or for the machine to be off. What it says about itself comes by a second
// serial line.
func (m *machine) boot(base, slot string) (off bool, err error) {
	root := map[string]string{"A": "/dev/vda", "B": "/dev/vdb"}[slot]
	if root == "" {
		return false, fmt.Errorf("no slot is started")
	}
	report := m.path("report.txt")
	if err := os.WriteFile(report, nil, 0o644); err != nil {
		return false, err
	}
	args := []string{"-M", "q35,accel=" + m.accel, "-cpu", "max", "-smp", "1", "-m", "1024", "-nodefaults",
		"-display", "none", "-no-reboot", "-serial", "stdio", "-serial", "file:" + report,
		"-kernel", filepath.Join(base, "vmlinuz"), "-initrd", filepath.Join(base, "initrd"),
		"-append", "console=ttyS0 ro panic=10 systemd.volatile=state systemd.show_status=1 systemd.log_level=info " +
			"root=" + root + " ratchet.slot=" + slot}
	args = append(args, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+firmware+"/OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,unit=1,file="+m.path("vars.fd"))
	stop, err := m.tpm()
	if err != nil {
		return false, err
	}
	defer stop()
	args = append(args, "-chardev", "socket,id=tpm,path="+m.path("tpm.sock"), "-tpmdev", "emulator,id=tpm0,chardev=tpm",
		"-device", "tpm-tis,tpmdev=tpm0")
	for _, disk := range []string{"a", "b", "boot", "state", "lab"} {
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+m.path(disk+".img"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	console, err := os.OpenFile(m.path("console.txt"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return false, err
	}
	defer console.Close()
	cmd := exec.CommandContext(ctx, "nice", append([]string{"qemu-system-x86_64"}, args...)...)
	cmd.Stdout, cmd.Stderr = console, console
	err = cmd.Run()
	said, e := os.ReadFile(report)
	if err = errors.Join(err, e, ctx.Err()); err != nil {
		err = fmt.Errorf("slot %s: %w", slot, err)
	}
	ended := m.listen(string(said))
	if !ended && err == nil && !strings.Contains(string(said), "\tREBOOT") {
		err = fmt.Errorf("slot %s: the machine ended and did not say why", slot)
	}
	return ended, err
}

// tpm starts a TPM, which ends with the machine that it is connected to.
func (m *machine) tpm() (stop func(), err error) {
	socket := m.path("tpm.sock")
	_ = os.Remove(socket)
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+m.work, "--ctrl", "type=unixio,path="+socket)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			return stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, errors.New("swtpm makes no socket")
}

// listen notes the machine's checks, and tells whether it has come to its end.
func (m *machine) listen(said string) (ended bool) {
	for line := range strings.Lines(said) {
		f := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		switch {
		case len(f) == 4 && f[0] == "CHECK":
			m.checks = append(m.checks, check{name: f[1], ok: f[2] == "ok", says: f[3]})
		case len(f) == 2 && f[1] == "END":
			ended = true
		}
	}
	return ended
}

// accelerator is KVM where it boots this kernel, which a device node alone does not tell.
func accelerator(kernel string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "qemu-system-x86_64", "-M", "q35,accel=kvm", "-cpu", "max", "-m", "512",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", kernel,
		"-append", "console=ttyS0 panic=-1").Output()
	if bytes.Contains(out, []byte("Unable to mount root")) {
		return "kvm"
	}
	return "tcg"
}

// table prints what came of it.
func (m *machine) table(out io.Writer, err error, took time.Duration) {
	fmt.Fprintf(out, "\n%s (%s, %s, %.0f s)\n", m.suite.says, m.suite.name, m.accel, took.Seconds())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range m.checks {
		word := "ok"
		if !c.ok {
			word = "FAILED"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", word, c.name, c.says)
	}
	_ = w.Flush()
	if err != nil {
		fmt.Fprintln(out, "  FAILED ", err)
	}
}
