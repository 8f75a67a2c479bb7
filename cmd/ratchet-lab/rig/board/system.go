package board

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// System is what the root file system of one version holds. All but the first three are files of this machine.
type System struct {
	Version  string
	Sickness string
	Config   string // the device's configuration
	Kernel   string
	Initrd   string
	Agent    string
	Guest    string // the rig's init
	Anchor   string // what the device trusts: a public key, or with a trust root its bundle
	CA       string // of the servers' certificates
}

// Tree is the root file system of one version: empty folders, and files by their names.
func (t Kind) Tree(s System) (dirs []string, files map[string]image.File) {
	files = map[string]image.File{
		"boot/" + t.Kernel:          {From: s.Kernel},
		"boot/initrd":               {From: s.Initrd},
		"sbin/init":                 {From: s.Guest, Mode: 0o755},
		"usr/bin/ratchet":           {From: s.Agent, Mode: 0o755},
		"etc/ratchet/ratchet.toml":  {Text: s.Config},
		"etc/ratchet/" + t.anchor(): {From: s.Anchor},
		"etc/ratchet/ca.pem":        {From: s.CA},
		"etc/rig/version":           {Text: s.Version + "\n"},
		"etc/rig/sickness":          {Text: s.Sickness + "\n"},
		"etc/rig/mounts":            {Text: "/dev/vda4 /var/lib/ratchet ext4\n" + t.mounts},
	}
	for name, text := range t.files {
		files[name] = image.File{Text: text}
	}
	return []string{"dev", "proc", "sys", "run", "tmp", "var/lib/ratchet", "var/lock", "boot/efi", "efi"}, files
}

// anchor is the file that the device trusts, in /etc/ratchet.
func (t Kind) anchor() string {
	if t.Rooted {
		return "root-bundle.cbor"
	}
	return "release.pub.pem"
}

// Trusts is the section [trust] of the device's configuration.
func (t Kind) Trusts() string {
	key := "keys = [%q]"
	if t.Rooted {
		key = "root = %q"
	}
	return fmt.Sprintf(key, "/etc/ratchet/"+t.anchor())
}

// KernelFile is the board's kernel in the cache.
func (t Kind) KernelFile(cache string) (string, error) {
	kernels := t.kernelDir(cache)
	found, err := filepath.Glob(filepath.Join(kernels, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("there is not one kernel in %s but %q; run scripts/deps.sh rig: %w", kernels, found,
			errors.Join(err, os.ErrNotExist))
	}
	return found[0], nil
}

// Initrd is the initramfs of a system: guest as init, the kernel modules that the board needs, among them the watchdog
// in software that init feeds, and for a system that seizes up the word.
func (t Kind) Initrd(cache, guest, sickness string) ([]byte, error) {
	more := map[string]string{}
	if sickness == "seize" {
		more[sickness] = "yes\n"
	}
	modules := append([]string{"virtio_pci", "virtio_blk", "virtio_net", "ext4", "crc32c_generic", "vfat", "nls_cp437",
		"nls_ascii", "softdog"}, t.modules...)
	return initramfs(guest, filepath.Join(t.kernelDir(cache), "lib", "modules"), modules, more)
}
