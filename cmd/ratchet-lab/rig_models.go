package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// ubootModel is U-Boot with two copies of its environment, as files.
func ubootModel() *modelled {
	return &modelled{
		extract: func(_ context.Context, a access, dir string) error {
			return os.WriteFile(filepath.Join(dir, "env"), a.part(5)[:2*envCopy], 0o644)
		},
		backend: func(dir, state string) (bootctl.Backend, error) {
			env := filepath.Join(dir, "env")
			return ubootenv.New(linux.FS{}, ubootenv.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}, FullTries: 3, Shadow: filepath.Join(state, "boot-shadow"),
				Copies: []ubootenv.Location{{Path: env, Size: envCopy}, {Path: env, Offset: envCopy, Size: envCopy}}})
		},
		boot: func(dir string) (string, error) {
			env := filepath.Join(dir, "env")
			slot, _, err := bootmodel.UBoot{FS: linux.FS{}, Copies: []bootmodel.Copy{{Path: env, Size: envCopy}, {Path: env, Offset: envCopy, Size: envCopy}}}.Boot()
			return slot, err
		},
	}
}

// grubModel is GRUB with its environment block on a FAT file system.
func grubModel() *modelled {
	return &modelled{
		extract: func(ctx context.Context, a access, dir string) error {
			esp := filepath.Join(a.dir, "esp")
			if err := os.WriteFile(esp, a.part(1), 0o644); err != nil {
				return err
			}
			_, err := image.Tool(ctx, "", "mcopy", "-n", "-o", "-i", esp, "::grubenv", filepath.Join(dir, "grubenv"))
			return err
		},
		backend: func(dir, state string) (bootctl.Backend, error) {
			return grubenv.New(linux.FS{}, grubenv.Options{Path: filepath.Join(dir, "grubenv"), Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
				Shadow: filepath.Join(state, "boot-shadow")})
		},
		boot: func(dir string) (string, error) {
			slot, _, err := bootmodel.GRUB{FS: linux.FS{}, Path: filepath.Join(dir, "grubenv")}.Boot()
			return slot, err
		},
	}
}
