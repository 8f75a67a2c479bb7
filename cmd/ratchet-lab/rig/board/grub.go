package board

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

var x86GRUB = Kind{
	Name: "x86-grub", What: "x86_64, OVMF, GRUB, grubenv on the EFI system partition",
	Arch: "amd64", console: "ttyS0", Kernel: "vmlinuz",
	qemu:     "qemu-system-x86_64",
	hardware: func(dir string) []string { return ovmf(dir, 256) }, // GRUB under OVMF is out of memory with 128 MiB
	Tries:    1, SmokeBoots: 3, Smoke: true,
	esp:    true,
	Parts:  layout(),
	mounts: "/dev/vda1 /boot/efi vfat\n",
	Boot:   "backend = \"grub\"\ngrubenv = \"/boot/efi/grubenv\"\n",
	Script: grubConfig, flash: ovmfVariables, fill: grubFill, Metadata: grubMetadata, Model: grubModel(),
}

func grubConfig(t Kind) (string, error) {
	s, err := adapt(grubenv.Script(), [][2]string{
		{"root=/dev/sda$ratchet_part", "root=/dev/vda$ratchet_part"},
		{"panic=10", "panic=1"},
		{"    boot\n", "    initrd /boot/initrd\n    boot\n"},
	})
	// On a busy host the kernel finds that the emulated timer does not work, and panics.
	return "set ratchet_args=\"console=" + t.console + " quiet no_timer_check\"\n" + s, err
}

// grubFill makes the EFI system partition: GRUB, its configuration within, and the environment block.
func grubFill(ctx context.Context, t Kind, dir, disk string) error {
	config, err := t.Script(t)
	if err != nil {
		return err
	}
	cfg, efi, env := filepath.Join(dir, "grub.cfg"), filepath.Join(dir, "grubx64.efi"), filepath.Join(dir, "grubenv")
	// The factory says which slot is good. With nothing said, GRUB counts the one try of the first boot,
	// and a power cut in it leads to the empty slot.
	block, err := grubenv.Encode([]string{"ORDER=A", "A_OK=1", "A_TRY=0", "A_GOOD=1", "B_OK=0", "B_TRY=0"})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(cfg, []byte(config), 0o644), os.WriteFile(env, block, 0o644)); err != nil {
		return err
	}
	modules := "part_gpt fat ext2 normal linux loadenv test echo search sleep reboot serial terminal true"
	if _, err := image.Tool(ctx, "", "grub-mkstandalone", "-O", "x86_64-efi", "-o", efi, "--modules="+modules,
		"--install-modules="+modules,
		"--locales=", "--fonts=", "--themes=", "boot/grub/grub.cfg="+cfg); err != nil {
		return err
	}
	esp := fmt.Sprintf("%s@@%d", disk, bootStart*image.Sector)
	sectors := fmt.Sprint(bootSize / image.Sector)
	if _, err := image.Tool(ctx, "", "mformat", "-i", esp, "-N", "c0ffee01", "-T", sectors, "::"); err != nil {
		return err
	}
	if _, err := image.Tool(ctx, "", "mmd", "-i", esp, "::EFI", "::EFI/BOOT"); err != nil {
		return err
	}
	if _, err := image.Tool(ctx, "", "mcopy", "-i", esp, efi, "::EFI/BOOT/BOOTX64.EFI"); err != nil {
		return err
	}
	_, err = image.Tool(ctx, "", "mcopy", "-i", esp, env, "::grubenv")
	return err
}

// grubMetadata reads the block with the agent's backend, and holds it against grub-editenv.
func grubMetadata(ctx context.Context, a Access) (bootctl.State, error) {
	esp, env := filepath.Join(a.Dir, "esp"), filepath.Join(a.Dir, "grubenv")
	if err := os.WriteFile(esp, a.Part(1), 0o644); err != nil {
		return bootctl.State{}, err
	}
	if _, err := image.Tool(ctx, "", "mcopy", "-n", "-o", "-i", esp, "::grubenv", env); err != nil {
		return bootctl.State{}, err
	}
	b, err := grubenv.New(linux.FS{}, grubenv.Options{Path: env, Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		return bootctl.State{}, err
	}
	s, err := b.State(ctx)
	if err != nil {
		return s, err
	}
	out, err := image.Tool(ctx, "", "grub-editenv", env, "list")
	if err != nil {
		return s, err
	}
	vars := map[string]string{}
	for _, l := range strings.Split(string(out), "\n") {
		k, v, _ := strings.Cut(l, "=")
		vars[k] = v
	}
	next := ""
	for _, slot := range strings.Fields(vars["ORDER"]) {
		if next == "" && vars[slot+"_OK"] == "1" && vars[slot+"_TRY"] == "0" {
			next = slot
		}
	}
	// With none of them left GRUB clears the good ones, which is the agent's to know too.
	if next != "" && next != string(s.Next) {
		return s, fmt.Errorf("by grub-editenv slot %s is next, by the agent %q", next, s.Next)
	}
	return s, nil
}
