//go:build linux

package main

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed guest.sh
var guest string

// packages of a system that systemd starts, with the kernel of its Debian. kmod: the initramfs loads modules.
const packages = "systemd,systemd-sysv,udev,kmod,dbus,linux-image-cloud-amd64"

// hook is run by mmdebstrap when everything is installed, with the root as $1. What this machine has no use for goes,
// so that a release is small: modules (the initramfs has those of the disks), perl, data.
const hook = `set -e; cd "$1"
mv boot/vmlinuz-* "$OUT"/vmlinuz; mv boot/initrd.img-* "$OUT"/initrd
rm -rf var/lib/apt/lists/* var/cache/apt/* usr/share/perl* usr/lib/*/perl* usr/lib/*/gconv usr/lib/udev/hwdb.*
rm -rf usr/share/zoneinfo
find lib/modules/*/kernel -type f ! -path "*/watchdog/*" ! -path "*/efivarfs/*" ! -path "*/drivers/char/*" ` +
	`! -name "loop.ko*" -delete`

// base makes a root file system, a kernel and an initramfs of Debian in the cache, once.
func (m *machine) base() (dir string, err error) {
	args := []string{"--variant=minbase", "--include=" + packages, "--aptopt=Acquire::Languages \"none\"",
		"--customize-hook=" + hook}
	for _, path := range []string{"doc", "locale", "man", "info"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+path+"/*")
	}
	recipe := sha256.Sum256([]byte(strings.Join(args, "\n")))
	dir = filepath.Join(m.cache, fmt.Sprintf("debian-%s-%x", m.suite.name, recipe[:4]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fmt.Printf("%s: building its root file system\n", m.suite.says)
	old, _ := filepath.Glob(filepath.Join(m.cache, "debian-"+m.suite.name+"-*"))
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return "", err
		}
	}
	part := dir + ".part"
	if err := os.MkdirAll(part, 0o755); err != nil {
		return "", err
	}
	mirror := mirror()
	cmd := exec.Command("mmdebstrap", append(args, m.suite.name, filepath.Join(part, "root.tar"), mirror)...)
	cmd.Env = append(os.Environ(), "OUT="+part)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mmdebstrap %s %s: %w\n%s", m.suite.name, mirror, err, out)
	}
	return dir, command("mv", part, dir)
}

// mirror is where this machine has its own packages from.
func mirror() string {
	out, err := exec.Command("apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian",
		"Created-By: Packages").Output()
	for _, uri := range strings.Fields(string(out)) {
		if err == nil && strings.HasSuffix(strings.TrimSuffix(uri, "/"), "/debian") {
			return strings.TrimSuffix(uri, "/")
		}
	}
	return "http://deb.debian.org/debian"
}

// config is the configuration of both slots.
const config = `[device]
id = "unit-0001"
vendor = ["example.com"]
class = ["gateway-v1"]
version-file = "/etc/release-version"
[slots.A.parts]
rootfs = "/dev/vda"
[slots.B.parts]
rootfs = "/dev/vdb"
[boot]
backend = "grub"
grubenv = "/boot/grub/grubenv"
tries = 1
[mqtt]
url = "mqtt://127.0.0.1:1883"
allow-plain = true
[trust]
keys = ["/etc/ratchet/release.pub.pem"]
[health]
soak = "5s"
interval = "1s"
units = ["dbus.service", "systemd-udevd.service"]
watchdog = "/dev/watchdog0"
[[health.command]]
name = "a program"
run = ["/usr/bin/test", "-r", "/etc/hostname"]
`

// release is what slot B gets.
const release = `version = "2.0.0"
sequence = 2
[[component]]
name = "rootfs"
file = "rootfs.img"
compress = "zstd"
`

// strict has the unit's filter end what it refuses, instead of an error that a program may pass over. adjtimex stays an
// error, by ProtectClock.
const strict = "[Service]\nSystemCallErrorNumber=\nSystemCallFilter=adjtimex\n"

// files of both systems, besides what `make install` puts there.
func (m *machine) files() map[string]string {
	files := map[string]string{
		"etc/ratchet/ratchet.toml":    config,
		"etc/hostname":                m.suite.name + "\n",
		"etc/modules-load.d/lab.conf": "softdog\nefivarfs\ntpm_tis\n",
		"etc/fstab": "LABEL=boot /boot ext4 nofail 0 2\n" +
			"LABEL=state /var/lib/ratchet ext4 nofail 0 2\n" +
			"LABEL=lab /mnt ext4 ro,nofail 0 0\n" +
			"tmpfs /opt tmpfs mode=755 0 0\n", // which can be written, but by the unit
		"usr/lib/lab/guest": guest,
		"usr/lib/systemd/system/lab.service": "[Unit]\nDescription=Checks of this machine\nAfter=dev-ttyS1.device\n" +
			"RequiresMountsFor=/mnt\n[Service]\nExecStart=/bin/sh /usr/lib/lab/guest\nStandardOutput=null\n" +
			"[Install]\nWantedBy=multi-user.target\n",
	}
	if m.refuse {
		files["etc/systemd/system/ratchet.service.d/strict.conf"] = strict
	}
	return files
}

// system makes the image of a system with what is installed on a device, as version.
func (m *machine) system(base, version, image string) error {
	root, err := os.MkdirTemp(m.work, "root")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	if err := command("tar", "-C", root, "-xf", filepath.Join(base, "root.tar"), "--exclude=./dev/*"); err != nil {
		return err
	}
	if err := command("make", "-s", "install", "DESTDIR="+root, "BIN="+m.programs); err != nil {
		return err
	}
	if m.unit != "" {
		if err := command("cp", m.unit, filepath.Join(root, "usr/lib/systemd/system/ratchet.service")); err != nil {
			return err
		}
	}
	files := m.files()
	files["etc/release-version"] = version + "\n"
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	key := m.path("desk/keys/release.pub.pem")
	if err := command("cp", key, filepath.Join(root, "etc/ratchet/")); err != nil {
		return err
	}
	for _, unit := range []string{"ratchet.service", "lab.service"} {
		if err := command("systemctl", "--root="+root, "enable", unit); err != nil {
			return err
		}
	}
	// What a fresh /var would have them do at each boot.
	if err := command("systemctl", "--root="+root, "mask", "systemd-journal-catalog-update.service",
		"systemd-hwdb-update.service", "ldconfig.service", "getty.target"); err != nil {
		return err
	}
	if err := command("systemd-sysusers", "--root="+root); err != nil {
		return err
	}
	if err := os.Remove(image); err != nil && !os.IsNotExist(err) {
		return err
	}
	return command("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, image, slotSize)
}
