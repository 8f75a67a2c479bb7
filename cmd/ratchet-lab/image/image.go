// Package image makes the file systems of the laboratory's devices, with the tools of this machine. What it makes is
// the same in every run: times, identifiers and owners are fixed. It also writes files with holes, which disks of
// devices are.
package image

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"time"
)

// Make makes a root file system of size bytes in out, with the files given by their names: ext4 by mke2fs, a
// squashfs by mksquashfs, else an archive; the same files give the same bytes. dir is for the tree while it is made.
// It returns the kind that was made: "ext4", "squashfs", "archive".
func Make(ctx context.Context, dir, out string, size int64, files map[string]string) (string, error) {
	tree := filepath.Join(dir, filepath.Base(out)+".tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	for name, text := range files {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if tool, ok := Find("mke2fs"); ok {
		cmd := exec.CommandContext(ctx, tool, "-q", "-t", "ext4", "-d", tree, "-O", "^has_journal",
			"-U", "c0ffee00-0000-4000-8000-000000000001",
			"-E", "hash_seed=c0ffee00-0000-4000-8000-000000000002", out, fmt.Sprint(size/1024))
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
		if b, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("mke2fs: %w: %s", err, b)
		}
		return "ext4", nil
	}
	if tool, ok := Find("mksquashfs"); ok {
		if b, err := exec.CommandContext(ctx, tool, tree, out, "-quiet", "-noappend", "-all-root", "-mkfs-time", "0",
			"-all-time", "0", "-noD").CombinedOutput(); err != nil {
			return "", fmt.Errorf("mksquashfs: %w: %s", err, b)
		}
		return "squashfs", nil
	}
	return "archive", archive(tree, out)
}

// Find looks for a program of this machine, also where only root looks.
func Find(tool string) (string, bool) {
	if p, err := exec.LookPath(tool); err == nil {
		return p, true
	}
	p := filepath.Join("/usr/sbin", tool) // not in the path of a user who is not root
	_, err := os.Stat(p)
	return p, err == nil
}

// archive writes the tree as a tar file with nothing in it that differs from run to run.
func archive(tree, out string) error {
	var names []string
	err := filepath.Walk(tree, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	sort.Strings(names)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, path := range names {
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: rel, Mode: 0o644, Size: info.Size(),
			ModTime: time.Unix(1700000000, 0)}); err != nil {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, in)
		_ = in.Close()
		if err != nil {
			return err
		}
	}
	return w.Close()
}

// Filler is n bytes that do not compress and are the same in every run, so that a download takes a while.
func Filler(seed byte, n int) string {
	b := make([]byte, n)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}
