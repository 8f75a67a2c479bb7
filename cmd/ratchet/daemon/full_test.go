package daemon_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
)

// late is what keeps something from being written, how that ends, and what status says meanwhile.
type late struct {
	spoil, mend func(b box) error
	text        string
	mode        string
}

// A state directory without room, or with something in the way of a file that the daemon makes, is a problem that is
// looked at again: when it is gone, the same daemon goes on with the file.
func TestJournalThatComesLate(t *testing.T) {
	folder := func(name, text, mode string) late {
		return late{func(b box) error { return os.MkdirAll(b.Path("state/"+name), 0o700) },
			func(b box) error { return os.Remove(b.Path("state/" + name)) }, text, mode}
	}
	for what, c := range map[string]late{
		"a full disk": {func(b box) error {
			if os.Geteuid() != 0 {
				t.Skip("mounting needs root")
			}
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs",
				b.Path("state")).CombinedOutput(); err != nil {
				t.Skipf("no tmpfs can be mounted: %s", out)
			}
			t.Cleanup(func() { _ = exec.Command("umount", "-l", b.Path("state")).Run() })
			b.write("state/ballast", strings.Repeat("x", 7<<20))
			return nil
		}, func(b box) error { return os.Remove(b.Path("state/ballast")) }, "journal", control.ModeBootSafe},
		"a folder in its place":                    folder("journal.db", "journal", control.ModeBootSafe),
		"one in the way of the last configuration": folder("last-good.toml.new", "last good", control.ModeNormal),
		"one in the way of the device's key":       folder("device.key.new", "device.key", control.ModeNormal),
	} {
		t.Run(what, func(t *testing.T) {
			b := newBox(t)
			if err := os.MkdirAll(b.Path("state"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(b); err != nil {
				t.Fatal(err)
			}
			stop := b.looking(b.Config())
			b.until(t.Context(), "a problem", func(st control.Status) bool {
				return st.Mode == c.mode && strings.Contains(strings.Join(st.Problems, " "), c.text)
			})
			if err := c.mend(b); err != nil {
				t.Fatal(err)
			}
			b.until(t.Context(), "no problem any more", func(st control.Status) bool {
				return len(st.Problems) == 0 && st.Mode == control.ModeNormal && st.Running.Name == "A"
			})
			stop()
		})
	}
}

// flaky is a journal that stops being of use.
type flaky struct {
	journal.Store
	bad atomic.Bool
}

func (f *flaky) Free() (int64, error) {
	if f.bad.Load() {
		return 0, errors.New("its content is unknown until it is opened again")
	}
	return 1 << 20, nil
}

// A journal that has become of no use while the daemon runs is opened again within a minute, whatever is in progress;
// one that is in order never is.
func TestJournalThatBroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 24*time.Hour)
		defer stop()
		j := &flaky{Store: journal.NewMemory()}
		time.AfterFunc(20*time.Minute+30*time.Second, func() { j.bad.Store(true) })
		began := time.Now()
		if !daemon.WatchJournal(ctx, j, "no/such/file", time.Minute) || time.Since(began) != 21*time.Minute {
			t.Errorf("started once more: not after 21 minutes but %v", time.Since(began))
		}
		stop()
		short, stop := context.WithTimeout(t.Context(), 2*time.Hour)
		defer stop()
		if daemon.WatchJournal(short, &flaky{Store: journal.NewMemory()}, "no/such/file", time.Minute) {
			t.Error("a journal in order is opened again")
		}
	})
}
