//go:build interop

package linux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/cutdisk"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// Files that are replaced as a whole (the two copies of the quarantine, a shadow of an environment)
// and the counter, on ext4: old or new at every cut, and new once the call has returned. The disk is
// that of hal/cutdisk. The host's kernel need not know vfat; cmd/ratchet-lab rig runs the agent on it.

const fileRole = "RATCHET_FILE_ROLE"

// TestFileProcess is not a test of its own: the processes that work on the disk are this binary.
func TestFileProcess(t *testing.T) {
	role, dir, _ := strings.Cut(os.Getenv(fileRole), " ")
	var err error
	switch role {
	case "":
		t.Skip("plays its roles for the other tests only")
	case "look":
		err = cutdisk.Answer(dir, lookAtFiles)
	default:
		err = replaceFiles(dir, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// forgetful leaves out one kind of sync.
type forgetful struct {
	linux.FS
	what string
}

func (f forgetful) SyncDir(dir string) error {
	if f.what == "directory" {
		return nil
	}
	return f.FS.SyncDir(dir)
}

func (f forgetful) Open(path string, a hal.Access) (hal.Medium, error) {
	m, err := f.FS.Open(path, a)
	if err == nil && f.what == "file" {
		m = unsynced{m}
	}
	return m, err
}

type unsynced struct{ hal.Medium }

func (unsynced) Sync() error { return nil }

// generation is what a file holds: a few bytes, or several blocks.
func generation(n int) []byte {
	return append(fmt.Appendf(nil, "%d\n", n), bytes.Repeat([]byte{byte(n)}, n%4*7000)...)
}

func replaceFiles(dir, forget string) error {
	at, err := cutdisk.Attach(dir)
	if err != nil {
		return err
	}
	fsys := forgetful{what: forget}
	counter := linux.NewFileCounter(fsys, filepath.Join(at, "counter"))
	for n := 1; n <= 12; n++ {
		for _, name := range []string{"quarantine." + strconv.Itoa(n%2), "shadow", "counter"} {
			err := cutdisk.Say(fmt.Sprint("begin ", name, " ", n))
			if err == nil && name == "counter" {
				err = counter.Raise(context.Background(), uint64(n))
			} else if err == nil {
				err = hal.ReplaceFile(fsys, filepath.Join(at, name), generation(n))
			}
			if err != nil {
				return err
			}
			if err := cutdisk.Say(fmt.Sprint("done ", name, " ", n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAtFiles answers with the generation of each file, 0 where there is none.
func lookAtFiles(at, _ string) (string, error) {
	var out []string
	for _, name := range []string{"quarantine.0", "quarantine.1", "shadow"} {
		n := 0
		b, err := hal.ReadFile(linux.FS{}, filepath.Join(at, name), 1<<20)
		if err == nil {
			if _, err := fmt.Sscan(string(b), &n); err != nil || !bytes.Equal(b, generation(n)) {
				return "", fmt.Errorf("%s has %d bytes that were never its content", name, len(b))
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		out = append(out, fmt.Sprint(name, " ", n))
	}
	n, err := linux.NewFileCounter(linux.FS{}, filepath.Join(at, "counter")).Read(context.Background())
	if err != nil {
		return "", err
	}
	// Going on must work with whatever was left beside the files.
	if err := hal.ReplaceFile(linux.FS{}, filepath.Join(at, "shadow"), generation(99)); err != nil {
		return "", err
	}
	return strings.Join(append(out, fmt.Sprint("counter ", n)), ","), nil
}

// judge holds the generations found against what had been begun and done.
func judge(marks []cutdisk.Mark, f cutdisk.Found) error {
	if f.Err != nil {
		return f.Err
	}
	begun, done := map[string]int{}, map[string]int{}
	for _, m := range marks {
		var verb, name string
		var n int
		if _, err := fmt.Sscan(m.Word, &verb, &name, &n); err != nil {
			return err
		}
		if verb == "begin" && m.At < f.Cut.Point {
			begun[name] = n
		} else if verb == "done" && m.At <= f.Cut.Point {
			begun[name], done[name] = n, n
		}
	}
	for _, file := range strings.Split(f.Answer, ",") {
		var name string
		var n int
		if _, err := fmt.Sscan(file, &name, &n); err != nil {
			return err
		}
		if n != done[name] && n != begun[name] {
			return fmt.Errorf("%s has generation %d, allowed are %d and %d", name, n, done[name], begun[name])
		}
	}
	return nil
}

// TestReplaceOnDisk cuts the power at every write and flush, and then takes one kind of sync away and
// requires that this is seen.
func TestReplaceOnDisk(t *testing.T) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("RATCHET_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("RATCHET_SEED=%d", seed)
	image, err := cutdisk.Format(10 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, forget := range []string{"nothing", "directory", "file"} {
		base, began := t.TempDir(), time.Now()
		process := func(role string) *exec.Cmd {
			dir, err := os.MkdirTemp(base, role)
			if err != nil {
				panic("internal error: " + err.Error()) // the command then fails, and nothing is proven
			}
			c := exec.Command(os.Args[0], "-test.run=^TestFileProcess$")
			c.Env = append(os.Environ(), fileRole+"="+role+" "+dir)
			return c
		}
		d := cutdisk.New(image)
		marks, err := d.Run(process(forget), nil)
		if err != nil {
			t.Fatal(err)
		}
		first, last := marks[0].At, marks[len(marks)-1].At
		cuts := cutdisk.Cuts(first, last, 2, seed)
		disks, wrong := 0, 0
		for _, f := range d.Look(cuts, 4, func() *exec.Cmd { return process("look") },
			func(cutdisk.Cut) string { return "" }) {
			if !f.Same {
				disks++
			}
			if err := judge(marks, f); err != nil {
				if wrong++; forget == "nothing" {
					t.Errorf("%v: %v", f.Cut, err)
				} else if wrong == 1 {
					t.Logf("without the sync of the %s: %v: %v", forget, f.Cut, err)
				}
			}
		}
		if forget != "nothing" && wrong == 0 {
			t.Errorf("without the sync of the %s no cut of %d shows it", forget, len(cuts))
		}
		t.Logf("forgetting %s: %d prefixes, %d variants, %d disks made, mounted and read, in %v",
			forget, last-first+1, len(cuts), disks, time.Since(began).Round(time.Millisecond))
	}
}
