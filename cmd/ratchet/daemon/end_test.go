package daemon_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
)

// A program that forces a reboot and hangs does not keep the daemon from ending.
func TestEndsBehindAHangingCommand(t *testing.T) {
	b := newBox(t)
	image := []byte(strings.Repeat("system 7", 8192))
	b.write("image", string(image))
	b.write("good", envelope(t, image, b.Release))
	config := strings.Replace(b.Config(), `force-command = ["/bin/true"]`, `force-command = ["/bin/sh", "-c", `+
		`"touch `+b.Path("forced")+`; trap '' TERM INT; sleep 60"]`+"\nforce-after = \"1s\"", 1)
	var told time.Time
	b.during(config, func(control.Status) {
		args := map[string]string{"step": control.StepInstall, "envelope": "good", "names": `["rootfs.img"]`}
		if _, err := b.request(t.Context(), control.VerbInstall, args, []*os.File{b.open("good"), b.open("image")},
			nil); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(b.Path("forced")); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal("no reboot is forced")
			}
		}
		told = time.Now()
	})
	if took := time.Since(told); took > 5*time.Second {
		t.Errorf("the daemon ends after %v", took)
	}
}

// Nor does anything else: four seconds after it was told to end, the daemon does. What the agent said until then
// counts.
func TestEndsInTime(t *testing.T) {
	failed := errors.New("failed")
	type hang = <-chan struct{}
	for name, c := range map[string]struct {
		agent func(context.Context, hang) error
		end   func(hang)
		err   error
		all   bool
		took  time.Duration
	}{
		"all end": {func(ctx context.Context, _ hang) error { <-ctx.Done(); return nil }, func(hang) {}, nil, true, 0},
		"the agent fails": {func(context.Context, hang) error { return failed }, func(hang) {}, failed, true,
			-time.Minute},
		"the agent hangs": {func(_ context.Context, h hang) error { <-h; return nil }, func(hang) {}, nil, false,
			4 * time.Second},
		"something else does": {func(ctx context.Context, _ hang) error { <-ctx.Done(); return failed },
			func(h hang) { <-h }, failed, false, 4 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			err, all := daemon.Until(ctx, func(ctx context.Context) error { return c.agent(ctx, release) },
				func() { c.end(release) })
			if took := time.Since(began) - time.Minute; !errors.Is(err, c.err) || all != c.all || took != c.took {
				t.Errorf("%s: %v, all %v, %v after it was told to end", name, err, all, took)
			}
		})
	}
}
