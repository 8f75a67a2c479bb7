//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ratchet-ota/ratchet/slots"
)

type images struct {
	digest []byte
	packed int64 // size of the zstd payload
}

// makeImages writes dir/image, files of the Go distribution one after the other (text and programs,
// as a root file system has them), and dir/image.zst.
func makeImages(dir string, size int64) (images, error) {
	f, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		return images{}, err
	}
	defer f.Close()
	h := sha256.New()
	if err := fill(io.MultiWriter(f, h), size); err != nil {
		return images{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return images{}, err
	}
	z, err := os.Create(filepath.Join(dir, "image.zst"))
	if err != nil {
		return images{}, err
	}
	defer z.Close()
	out := bufio.NewWriter(z)
	if err := slots.Compress(out, f, 0, 5); err != nil {
		return images{}, err
	}
	if err := out.Flush(); err != nil {
		return images{}, err
	}
	packed, err := z.Seek(0, io.SeekCurrent)
	if err != nil {
		return images{}, err
	}
	return images{h.Sum(nil), packed}, errors.Join(f.Sync(), z.Sync())
}

// fill writes size bytes of Go's own source: it compresses as an image does.
func fill(w io.Writer, size int64) error {
	root, err := goRoot()
	if err != nil {
		return err
	}
	left := size
	for left > 0 {
		before := left
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			in, err := os.Open(path)
			if err != nil {
				return err
			}
			defer in.Close()
			n, err := io.CopyN(w, in, left)
			left -= n
			if left == 0 {
				return fs.SkipAll
			}
			if err == io.EOF {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
		if left == before {
			return fmt.Errorf("cannot make an image: nothing to read in %s", root)
		}
	}
	return nil
}

func goRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("cannot find the Go distribution, whose files are the image: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// makeSlot makes a slot of size bytes, written once so that its blocks are there.
func makeSlot(path string, size int64) (slot string, free func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	zero := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero[:min(int64(len(zero)), size-off)], off); err != nil {
			return "", nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return "", nil, err
	}
	if os.Geteuid() != 0 {
		return path, func() {}, nil
	}
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", path).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: no loop device, the slot is a file: %v: %s", err, out)
		return path, func() {}, nil
	}
	slot = strings.TrimSpace(string(out))
	return slot, func() {
		if out, err := exec.Command("losetup", "--detach", slot).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: cannot free %s: %v: %s", slot, err, out)
		}
	}, nil
}

// peakRSS is VmHWM in KiB. Not getrusage's maxrss: that one begins with the parent's.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib, nil
		}
	}
	return 0, errors.New("no VmHWM on " + runtime.GOOS)
}
