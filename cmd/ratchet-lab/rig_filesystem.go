package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// epoch is the time of everything in an image.
const epoch = "1700000000"

// file is one file of a tree: text, or a copy of what is at from.
type file struct {
	text, from string
	mode       os.FileMode // 0: 0644
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// tool runs a program with the fixed time, and gives its output back when it fails.
func tool(ctx context.Context, stdin string, name string, args ...string) ([]byte, error) {
	path, ok := find(name)
	if !ok {
		return nil, fmt.Errorf("%s is not installed; run scripts/deps.sh rig", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch, "E2FSPROGS_FAKE_TIME="+epoch, "MTOOLS_SKIP_CHECK=1", "TZ=UTC")
	cmd.Stdin = strings.NewReader(stdin)
	var out, say bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &say
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, say.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}

// makeExt4 makes an ext4 file system of size bytes in out. The same tree gives the same bytes: mke2fs
// copies the times of the tree's files, so they are set in the image afterwards.
func makeExt4(ctx context.Context, out string, size int64, id byte, journal bool, dirs []string, files map[string]file) error {
	tree := out + ".tree"
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	defer os.RemoveAll(tree)
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
		body := []byte(f.text)
		if f.from != "" {
			var err error
			if body, err = os.ReadFile(f.from); err != nil {
				return err
			}
		}
		mode := f.mode
		if mode == 0 {
			mode = 0o644
		}
		if err := os.WriteFile(path, body, mode); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	uuid := func(k int) string { return fmt.Sprintf("c0ffee%02x-0000-4000-8000-%012x", id, k) }
	args := []string{"-q", "-t", "ext4", "-d", tree, "-U", uuid(1), "-E", "hash_seed=" + uuid(2) + ",root_owner=0:0,lazy_itable_init=0"}
	if journal {
		// The superblock is two sectors of 512 bytes: a power cut between them leaves one whose checksum
		// does not match, and which no kernel mounts. Without metadata_csum either half is good.
		args = append(args, "-O", "^metadata_csum")
	} else {
		// What a bootloader reads is without what U-Boot does not know.
		args = append(args, "-O", "^has_journal,^metadata_csum,^64bit")
	}
	if _, err := tool(ctx, "", "mke2fs", append(args, out, fmt.Sprintf("%dk", size>>10))...); err != nil {
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
	_, err = tool(ctx, fix.String(), "debugfs", "-w", "-f", "-", out)
	return err
}

func copySparse(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, nil, 0o644), os.Truncate(to, int64(len(b))), writeAt(to, b, 0))
}

// freeBytes is the room on the file system of path.
func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
