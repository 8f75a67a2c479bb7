package daemon_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/boxtest"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

// box is a device made of files, on which daemons run one after another.
type box struct {
	*boxtest.Box
	t         *testing.T
	elsewhere string // for --state; "": the state directory
	more      string // of the configuration
}

func newBox(t *testing.T) box {
	t.Helper()
	return box{Box: boxtest.New(t), t: t}
}

func (b box) write(name, text string) {
	b.t.Helper()
	b.Write(name, []byte(text))
}

// lastGood is the copy that the daemon keeps, and its file.
func (b box) lastGood() (string, os.FileInfo) {
	b.t.Helper()
	path := wire.LastGood(b.Path("state"))
	st, err := os.Stat(path)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(raw), st
}

// during runs the daemon with a configuration, waits for its status, calls f while it runs, and ends it.
func (b box) during(config string, f func(control.Status)) {
	b.t.Helper()
	b.write("ratchet.toml", config)
	ctx, stop := context.WithCancel(b.t.Context())
	var log locked
	ended := make(chan error, 1)
	go func() { ended <- daemon.Run(ctx, b.Path("ratchet.toml"), b.Path(cmp.Or(b.elsewhere, "state")), &log) }()
	st, err := b.status(ctx)
	if err == nil && f != nil {
		f(st)
	}
	stop()
	if rerr := <-ended; err != nil || rerr != nil {
		b.t.Fatalf("status: %v, end: %v\n%s", err, rerr, log.String())
	}
}

// status asks until the daemon has looked at its slots, or is in boot-safe mode.
func (b box) status(ctx context.Context) (st control.Status, err error) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var raw json.RawMessage
		if raw, err = b.ask(ctx, control.VerbStatus); err == nil {
			err = json.Unmarshal(raw, &st)
		}
		if err == nil && st.Phase == "idle" && (st.Mode == control.ModeBootSafe || st.Running.Name != "") {
			return st, nil
		}
	}
	return st, errors.Join(err, errors.New("the daemon does not come to rest"))
}

func (b box) ask(ctx context.Context, verb control.Verb) (json.RawMessage, error) {
	return b.request(ctx, verb, nil, nil, nil)
}

// request asks the daemon as a verb of the command does.
func (b box) request(ctx context.Context, verb control.Verb, args map[string]string,
	files []*os.File, progress func(json.RawMessage)) (json.RawMessage, error) {
	c, err := control.Dial(b.Path("s"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(ctx, verb, args, files, progress)
}

// locked is a log that two goroutines may write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLastGoodIsWrittenOnce: the copy of a configuration that worked is written when it changed, and not
// at each start: flash wears.
func TestLastGoodIsWrittenOnce(t *testing.T) {
	b := newBox(t)
	b.during(b.Config(), nil)
	raw, first := b.lastGood()
	if raw != b.Config() {
		t.Errorf("the copy is %q", raw)
	}
	b.during(b.Config(), nil)
	if _, again := b.lastGood(); !os.SameFile(first, again) || !first.ModTime().Equal(again.ModTime()) {
		t.Error("the second start wrote the same configuration again")
	}
	changed := b.Config() + "[log]\nlevel = \"debug\"\n"
	b.during(changed, nil)
	if raw, after := b.lastGood(); os.SameFile(first, after) || raw != changed {
		t.Errorf("a changed configuration was not kept: %q", raw)
	}
}

// TestLastGoodIsGood: no configuration that leaves the device in boot-safe mode takes the place of one that
// worked, and each is answered for from the one that worked.
func TestLastGoodIsGood(t *testing.T) {
	b := newBox(t)
	b.during(b.Config(), func(st control.Status) {
		if st.Mode != control.ModeNormal {
			t.Errorf("mode %s: %s", st.Mode, st.ModeWhy)
		}
	})
	for name, tt := range map[string]struct{ config, why string }{
		"unknown key":   {b.Config() + "[log]\nlevle = \"info\"\n", "levle"},
		"unknown tries": {strings.Replace(b.Config(), "[boot]", "[boot]\ntries = 77", 1), "77"},
		// Found when the journal is open already.
		"no such part": {strings.Replace(b.Config(), "[running]", "[running]\nroot-component = \"system\"", 1),
			"system"},
		"no release key": {strings.Replace(b.Config(), "release.pem", "nothing.pem", 1), "nothing.pem"},
		"a bad check":    {b.Config() + "[health]\ncommand = [{run = [\"true\"]}]\n", "absolute path"},
	} {
		b.during(tt.config, func(st control.Status) {
			if st.Mode != control.ModeBootSafe || !strings.Contains(st.ModeWhy, tt.why) ||
				st.Running.Name != "A" || !st.Running.Confirmed {
				t.Errorf("%s: mode %s, why %q, running %+v", name, st.Mode, st.ModeWhy, st.Running)
			}
		})
		if raw, _ := b.lastGood(); raw != b.Config() {
			t.Errorf("%s: the last good configuration is now %q", name, raw)
		}
	}
	b.during(b.Config(), func(st control.Status) {
		if st.Mode != control.ModeNormal {
			t.Errorf("after it was corrected: mode %s, %s", st.Mode, st.ModeWhy)
		}
	})
}

// TestLastGoodIsThere: a configuration that reads well says itself where the last good one is; --state is for
// one that cannot be read.
func TestLastGoodIsThere(t *testing.T) {
	b := newBox(t)
	b.during(b.Config(), nil)
	b.elsewhere = "somewhere/else"
	b.during(strings.Replace(b.Config(), "[boot]", "[boot]\ntries = 77", 1), func(st control.Status) {
		if st.Mode != control.ModeBootSafe || st.Running.Name != "A" {
			t.Errorf("mode %s, running %+v", st.Mode, st.Running)
		}
	})
}

// TestNothingGood: without any configuration that can be used the daemon stays, says why, and does nothing.
func TestNothingGood(t *testing.T) {
	b := newBox(t)
	before, err := os.ReadFile(b.Path("env0"))
	if err != nil {
		t.Fatal(err)
	}
	b.during(strings.Replace(b.Config(), "[boot]", "[boot]\ntries = 77", 1), func(st control.Status) {
		if st.Device != "box" || st.Mode != control.ModeBootSafe || st.ModeReason != reason.ConfigInvalid ||
			!strings.Contains(st.ModeWhy, "77") || len(st.Advice) != 1 || strings.Contains(st.ModeWhy, "\n") ||
			!strings.Contains(st.ModeWhy, "; and there is no last good configuration, "+b.Path("state")) ||
			!strings.Contains(st.Advice[0], "--config "+b.Path("ratchet.toml")+"`") || st.Time.UptimeSeconds == 0 {
			t.Errorf("status %+v", st)
		}
		for _, verb := range []control.Verb{control.VerbSlots, control.VerbConfirm, control.VerbRevert} {
			var e *control.Error
			_, err := b.ask(t.Context(), verb)
			if !errors.As(err, &e) || e.Reason != reason.BootSafeMode || e.Exit != control.ExitFailed {
				t.Errorf("%s: %v", verb, err)
			}
		}
	})
	if after, err := os.ReadFile(b.Path("env0")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("boot metadata was written: %v", err)
	}
	if _, err := os.Stat(wire.LastGood(b.Path("state"))); err == nil {
		t.Error("a configuration that cannot be used was kept as the last good one")
	}
}

// TestSecond: a second daemon on the same state directory ends at once, and the first goes on.
func TestSecond(t *testing.T) {
	b := newBox(t)
	b.during(b.Config(), func(control.Status) {
		var log locked
		err := daemon.Run(t.Context(), b.Path("ratchet.toml"), b.Path("state"), &log)
		if !errors.Is(err, journal.ErrLocked) || !strings.Contains(log.String(), "another ratchet daemon") {
			t.Errorf("%v\n%s", err, log.String())
		}
		if st, err := b.status(t.Context()); err != nil || st.Mode != control.ModeNormal {
			t.Errorf("the first daemon: %v, mode %s", err, st.Mode)
		}
	})
}
