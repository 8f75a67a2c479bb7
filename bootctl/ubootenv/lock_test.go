//go:build linux

package ubootenv_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// A user of the machine who holds the lock of U-Boot's tools, or puts a link in its place, delays each step of an
// update by seconds and ends none of them; the state says that the lock was gone on without.
func TestStrangerHoldsTheLock(t *testing.T) {
	for name, spoil := range map[string]func(path string) (delay time.Duration){
		"held": func(path string) time.Duration {
			f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return 20 * time.Second
		},
		"link": func(path string) time.Duration {
			if err := os.Symlink("/etc/passwd", path); err != nil {
				t.Fatal(err)
			}
			return 0
		},
	} {
		dir := t.TempDir()
		lock := filepath.Join(dir, "fw_printenv.lock")
		o := ubootenv.Options{Defaults: []string{"bootcmd=x"}, Slots: []bootctl.Slot{"A", "B"}, Locks: []string{lock}}
		for _, n := range []string{"env0", "env1"} {
			o.Copies = append(o.Copies, ubootenv.Location{Path: filepath.Join(dir, n), Size: 8192})
			if err := os.WriteFile(filepath.Join(dir, n), make([]byte, 8192), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		longest := spoil(lock)
		synctest.Test(t, func(t *testing.T) {
			b, err := ubootenv.New(linux.FS{}, o)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for step, do := range []func() error{
				func() error { return b.Refresh(t.Context(), "A") },
				func() error { return b.Disable(t.Context(), "B") },
				func() error { return b.Try(t.Context(), "B", 3) },
				func() error { return b.Confirm(t.Context(), "B") },
			} {
				if err := do(); err != nil {
					t.Errorf("%s: step %d: %v", name, step, err)
				}
			}
			st, err := b.State(t.Context())
			if err != nil || !st.Slots["B"].Confirmed || st.Next != "B" || len(st.Unlocked) != 1 {
				t.Errorf("%s: %+v, %v", name, st, err)
			}
			if took := time.Since(began); took > longest {
				t.Errorf("%s: took %v, at most %v", name, took, longest)
			}
		})
	}
}
