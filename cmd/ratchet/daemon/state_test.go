package daemon_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal/haltest"
)

// looking runs a daemon that looks often, by another configuration where text has one, and returns how to end it.
func (b box) looking(text string) (stop func()) {
	b.t.Helper()
	if text != "" {
		b.write("ratchet.toml", text)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	var log locked
	ended := make(chan error, 1)
	go func() {
		ended <- daemon.RunLooking(ctx, b.Path("ratchet.toml"), b.Path("state"), &log, 20*time.Millisecond)
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil || b.t.Failed() {
			b.t.Errorf("end: %v\n%s", err, log.String())
		}
	}
}

// TestStateInMemory: a state directory that does not last is a problem with its reason, and for --check-config; unless
// the configuration says that it is meant so. The device works as ever.
func TestStateInMemory(t *testing.T) {
	if !haltest.PrivateMounts(t) {
		return
	}
	b := newBox(t)
	if err := os.Mkdir(b.Path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", b.Path("state"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(b.Path("state"), unix.MNT_DETACH) })
	allowed := b.Config()
	reported := strings.Replace(allowed, "volatile = \"allow\"", "volatile = \"report\"", 1)
	for text, want := range map[string]bool{allowed: false, reported: true} {
		stop := b.looking(text)
		b.until(t.Context(), "told", func(st control.Status) bool {
			told := len(st.Problems) == 1 && st.ProblemReasons[0] == reason.StateVolatile &&
				strings.Contains(st.Problems[0], "tmpfs") && len(st.Advice) == 1
			return st.Mode == control.ModeNormal && st.Running.Confirmed && told == want && (want || st.Problems == nil)
		})
		stop()
		c, err := config.Parse("ratchet.toml", []byte(text))
		if err == nil {
			err = wire.Check(&c)
		}
		if (err != nil) != want || want && !strings.Contains(err.Error(), "state.volatile") {
			t.Errorf("the check says %v", err)
		}
	}
}

// TestStateThatIsMountedLate: what is mounted over the state directory while the daemon runs is noticed; the daemon
// begins again with it, and nothing of the hidden directory is written into it.
func TestStateThatIsMountedLate(t *testing.T) {
	if !haltest.PrivateMounts(t) {
		return
	}
	b := newBox(t)
	defer b.looking(b.Config())()
	chain := func() (c string) {
		raw, err := b.ask(t.Context(), control.VerbStatus)
		var st control.Status
		if err == nil && json.Unmarshal(raw, &st) == nil && len(st.Problems) == 0 && st.Mode == control.ModeNormal {
			c = st.Evidence.Chain
		}
		return c
	}
	differs := func(from string) string {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if c := chain(); c != "" && c != from {
				return c
			}
		}
		t.Fatal("the daemon goes on with a directory that is out of sight")
		return ""
	}
	first := differs("")
	if err := unix.Mount("tmpfs", b.Path("state"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(b.Path("state"), unix.MNT_DETACH) })
	differs(first)
	if _, err := os.Stat(b.Path("state/journal.db")); err != nil {
		t.Error(err)
	}
	b.opensOnly(unix.TMPFS_MAGIC)
	if err := unix.Unmount(b.Path("state"), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if again := differs(""); again != first {
		for end := time.Now().Add(20 * time.Second); again != first && time.Now().Before(end); again = chain() {
			time.Sleep(20 * time.Millisecond)
		}
		if again != first {
			t.Error("the daemon does not come back to the directory that it had first")
		}
	}
}

// TestStateThatIsMountedLateInATrial: the new system's daemon starts before the state partition is mounted, and knows
// nothing of the update. When it is mounted the trial is the one that was armed: its verdict and its floors are on
// record where they belong.
func TestStateThatIsMountedLateInATrial(t *testing.T) {
	if !haltest.PrivateMounts(t) {
		return
	}
	b := newBox(t)
	image := strings.Repeat("system 7", 8192)
	b.write("image", image)
	b.write("good", envelope(t, []byte(image), b.Release))
	stop := b.looking(b.Config())
	b.until(t.Context(), "in order", func(st control.Status) bool { return st.Running.Confirmed })
	args := map[string]string{"step": control.StepInstall, "envelope": "good", "names": `["rootfs.img"]`}
	if _, err := b.request(t.Context(), control.VerbInstall, args, []*os.File{b.open("good"), b.open("image")},
		nil); err != nil {
		t.Fatal(err)
	}
	stop()
	b.write("cmdline", "ro ratchet.slot=B\n")
	b.write("root", b.Path("b.img")+"\n")
	b.write("boot_id", "21111111-2222-3333-4444-555555555555\n")
	if err := os.Rename(b.Path("state"), b.Path("partition")); err != nil {
		t.Fatal(err)
	}
	defer b.looking(b.Config())()
	b.until(t.Context(), "on a trial that nothing is known of", func(st control.Status) bool {
		return st.Phase == "trial" && st.Running.Name == "B" && st.Update.Sequence == 0
	})
	if err := unix.Mount(b.Path("partition"), b.Path("state"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(b.Path("state"), unix.MNT_DETACH) })
	b.until(t.Context(), "on the trial of the update", func(st control.Status) bool {
		return st.Phase == "trial" && st.Running.Name == "B" && st.Update.Sequence == 7 && st.Update.Trial != nil &&
			st.Update.Trial.Boots == 1 && len(st.Problems) == 0
	})
}

// opensOnly: all files that this process has open below the state directory are on a file system of that kind.
func (b box) opensOnly(kind int64) {
	b.t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		path, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		var f unix.Statfs_t
		if !strings.HasPrefix(path, b.Path("state")+"/") || unix.Statfs("/proc/self/fd/"+fd.Name(), &f) != nil {
			continue
		}
		if n++; int64(f.Type) != kind {
			b.t.Errorf("%s of the directory that is out of sight is still open", path)
		}
	}
	if n == 0 {
		b.t.Error("the journal is not open")
	}
}
