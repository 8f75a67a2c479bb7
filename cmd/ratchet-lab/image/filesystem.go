package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Sector is the unit of a disk, in bytes.
const Sector = 512

// epoch is the time of everything in an image.
const epoch = "1700000000"

// File is one file of a tree: text, or a copy of what is at from.
type File struct {
	Text string
	From string
	Mode os.FileMode // 0: 0644
}

// Tool runs a program of this machine with the time fixed, and returns what it wrote to its standard output. The error
// of a program that fails holds all that it said; of one that is not installed, what installs it.
func Tool(ctx context.Context, stdin string, name string, args ...string) ([]byte, error) {
	path, ok := Find(name)
	if !ok {
		return nil, fmt.Errorf("%s is not installed; run scripts/deps.sh rig", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch, "E2FSPROGS_FAKE_TIME="+epoch, "MTOOLS_SKIP_CHECK=1",
		"TZ=UTC")
	cmd.Stdin = strings.NewReader(stdin)
	var out, say bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &say
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, say.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}

// writeTree makes a folder with files by their names and empty dirs.
func writeTree(tree string, dirs []string, files map[string]File) error {
	for _, d := range append([]string{"."}, dirs...) {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			return err
		}
	}
	for name, f := range files {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		body := []byte(f.Text)
		if f.From != "" {
			var err error
			if body, err = os.ReadFile(f.From); err != nil {
				return err
			}
		}
		mode := f.Mode
		if mode == 0 {
			mode = 0o644
		}
		if err := os.WriteFile(path, body, mode); err != nil {
			return err
		}
	}
	return nil
}

// Ext4 makes an ext4 file system of size bytes in out, with files by their names and empty dirs. id distinguishes file
// systems of one disk. journal is for those that the device writes; the others hold what bootloaders can read. The same
// tree gives the same bytes: mke2fs copies the times of the tree's files, so they are set in the image afterwards.
func Ext4(ctx context.Context, out string, size int64, id byte, journal bool, dirs []string,
	files map[string]File) error {
	tree := out + ".tree"
	defer os.RemoveAll(tree)
	if err := errors.Join(os.RemoveAll(tree), writeTree(tree, dirs, files), os.RemoveAll(out)); err != nil {
		return err
	}
	uuid := func(k int) string { return fmt.Sprintf("c0ffee%02x-0000-4000-8000-%012x", id, k) }
	args := []string{"-q", "-t", "ext4", "-d", tree, "-U", uuid(1), "-E", "hash_seed=" + uuid(2) +
		",root_owner=0:0,lazy_itable_init=0"}
	if journal {
		// The superblock is two sectors of 512 bytes: a power cut between them leaves one whose checksum
		// does not match, and which no kernel mounts. Without metadata_csum either half is good.
		args = append(args, "-O", "^metadata_csum")
	} else {
		// What a bootloader reads is without what U-Boot does not know.
		args = append(args, "-O", "^has_journal,^metadata_csum,^64bit")
	}
	if _, err := Tool(ctx, "", "mke2fs", append(args, out, fmt.Sprintf("%dk", size>>10))...); err != nil {
		return err
	}
	var fix strings.Builder
	err := filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, tree)
		if name == "" {
			name = "/"
		}
		for _, field := range []string{"atime", "ctime", "mtime", "crtime"} {
			fmt.Fprintf(&fix, "sif %s %s @%s\nsif %s %s_extra 0\n", name, field, epoch, name, field)
		}
		fmt.Fprintf(&fix, "sif %s uid 0\nsif %s gid 0\n", name, name)
		return err
	})
	if err != nil {
		return err
	}
	_, err = Tool(ctx, fix.String(), "debugfs", "-w", "-f", "-", out)
	return err
}

// CopySparse copies the file from to the file to, with holes where it is zero.
func CopySparse(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, nil, 0o644), os.Truncate(to, int64(len(b))), WriteAt(to, b, 0))
}

// CopyAt writes the file at from into the disk, offset bytes from its start.
func CopyAt(disk, from string, offset int64) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return WriteAt(disk, b, offset)
}

// WriteAt writes b into the disk, a file that is there, offset bytes from its start. Zeros are not written, so that the
// file stays small: the place must be empty.
func WriteAt(disk string, b []byte, offset int64) error {
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	const piece = 64 << 10
	zero := string(make([]byte, piece))
	for i := 0; i < len(b) && err == nil; i += piece {
		p := b[i:min(i+piece, len(b))]
		if string(p) != zero[:len(p)] {
			_, err = f.WriteAt(p, offset+int64(i))
		}
	}
	return errors.Join(err, f.Close())
}
