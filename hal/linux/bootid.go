package linux

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// BootID implements hal.Identity. The kernel's id alone may be missing (no procfs, a sandbox), and may be the same in
// two boots: it is random, and some boards have no randomness yet when it is drawn; in a container it is the host's. So
// it is followed by what is drawn once for each boot and kept in memory (MarkDir), and either alone serves.
func (i Identity) BootID() (string, error) {
	kernel, err := readSmall(orDefault(i.BootIDPath, "/proc/sys/kernel/random/boot_id"))
	kernel = strings.TrimSpace(kernel)
	if err == nil && kernel == "" {
		err = errors.New("it is empty")
	}
	mark, merr := "", error(nil)
	if i.MarkDir != "" {
		mark, merr = bootMark(i.MarkDir)
	}
	switch {
	case mark != "" && kernel != "":
		return kernel + "+" + mark, nil
	case mark != "" || kernel != "":
		return mark + kernel, nil
	}
	return "", errorf("cannot read the boot id: %w", errors.Join(err, merr))
}

// bootMark is what was drawn for this boot, "" where dir does not lie in memory: there it would outlive the boot.
func bootMark(dir string) (string, error) {
	if err := PrivateDir(dir); err != nil {
		return "", err
	}
	var on unix.Statfs_t
	if err := unix.Statfs(dir, &on); err != nil {
		return "", err
	}
	if kind := uint32(on.Type); kind != unix.TMPFS_MAGIC && kind != unix.RAMFS_MAGIC {
		return "", nil
	}
	path := filepath.Join(dir, "boot")
	old, err := readSmall(path)
	if err == nil && len(old) == markSize {
		return old, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	mark := rand.Text()[:markSize]
	if err := os.WriteFile(path+".new", []byte(mark), 0o600); err != nil {
		return "", err
	}
	return mark, os.Rename(path+".new", path)
}

const markSize = 16
