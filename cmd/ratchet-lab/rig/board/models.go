package board

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
func ubootModel() *Model {
	return &Model{
		Extract: func(_ context.Context, a Access, dir string) error {
			return os.WriteFile(filepath.Join(dir, "env"), a.Part(5)[:2*EnvCopy], 0o644)
		},
		Backend: func(dir, state string) (bootctl.Backend, error) {
			env := filepath.Join(dir, "env")
			return ubootenv.New(linux.FS{}, ubootenv.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
				FullTries: 3, Shadow: filepath.Join(state, "boot-shadow"),
				Copies: []ubootenv.Location{{Path: env, Size: EnvCopy}, {Path: env, Offset: EnvCopy, Size: EnvCopy}}})
		},
		Boot: func(dir string) (string, error) {
			env := filepath.Join(dir, "env")
			slot, _, err := bootmodel.UBoot{FS: linux.FS{},
				Copies: []bootmodel.Copy{{Path: env, Size: EnvCopy},
					{Path: env, Offset: EnvCopy, Size: EnvCopy}}}.Boot()
			return slot, err
		},
	}
}

// grubModel is GRUB with its environment block on a FAT file system.
func grubModel() *Model {
	return &Model{
		Extract: func(ctx context.Context, a Access, dir string) error {
			esp := filepath.Join(a.Dir, "esp")
			if err := os.WriteFile(esp, a.Part(1), 0o644); err != nil {
				return err
			}
			_, err := image.Tool(ctx, "", "mcopy", "-n", "-o", "-i", esp, "::grubenv", filepath.Join(dir, "grubenv"))
			return err
		},
		Backend: func(dir, state string) (bootctl.Backend, error) {
			return grubenv.New(linux.FS{}, grubenv.Options{Path: filepath.Join(dir, "grubenv"), Locks: []string{},
				Slots:  []bootctl.Slot{"A", "B"},
				Shadow: filepath.Join(state, "boot-shadow")})
		},
		Boot: func(dir string) (string, error) {
			slot, _, err := bootmodel.GRUB{FS: linux.FS{}, Path: filepath.Join(dir, "grubenv")}.Boot()
			return slot, err
		},
	}
}
