package hook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/hook"
)

// loader is the example's bootloader: it reads the file and counts down what is on trial.
type loader struct {
	file  string
	loads func(string) bool
}

func (l loader) Boot() (string, string, error) {
	for {
		b, err := os.ReadFile(l.file)
		if err != nil {
			return "", "", err
		}
		lines, again := strings.Split(string(b), "\n"), false
		for i, line := range lines {
			f := strings.Fields(line)
			if len(f) != 3 || f[1] == "0" {
				continue
			}
			if f[2] == "0" {
				lines[i] = f[0] + " " + string(f[1][0]-1) + " 0"
				if err := os.WriteFile(l.file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
					return "", "", err
				}
				again = true
			}
			if l.loads(f[0]) {
				return f[0], "ratchet.slot=" + f[0], nil
			}
		}
		if !again {
			return "", "", nil
		}
	}
}

func example(t *testing.T) (command, file string) {
	t.Helper()
	script, err := os.ReadFile("example.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	command, file = filepath.Join(dir, "hook"), filepath.Join(dir, "slots")
	if err := os.WriteFile(command, script, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("A 3 1\nB 3 1\nend\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return command, file
}

func backend(t *testing.T, o hook.Options) *hook.Backend {
	t.Helper()
	o.Slots = []bootctl.Slot{"A", "B"}
	b, err := hook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestConformance(t *testing.T) {
	boottest.Run(t, func(t *testing.T) boottest.Rig {
		command, file := example(t)
		return boottest.Rig{
			Backend: backend(t, hook.Options{Command: command}),
			Slots:   [2]bootctl.Slot{"A", "B"},
			Model:   func(loads func(string) bool) boottest.Model { return loader{file, loads} },
			Raw: func() []byte {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				return b
			},
			Damage: func() {
				if err := os.Truncate(file, 5); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

const good = `echo version=1; echo next=A; echo A.bootable=1; echo A.confirmed=1; echo A.tries=3
echo B.bootable=0; echo B.confirmed=0; echo B.tries=0; echo max-tries=3; echo power-safe=1
`

// script writes a hook of its own.
func script(t *testing.T, body string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOddHooks(t *testing.T) {
	for _, c := range []struct {
		name, body, says string
		is               error
	}{
		{"unknown key", good + "echo A.colour=red", "colour", nil},
		{"twice", good + "echo next=A", "twice", nil},
		{"missing", "echo version=1", "missing", nil},
		{"not a line", good + "echo hello", "key=value", nil},
		{"control byte", good + "printf 'weakness=\\033[2J\\n'", "byte", nil},
		{"no newline", good + "printf layout=x", "does not end", nil},
		{"version 2", strings.Replace(good, "version=1", "version=2", 1), "version", nil},
		{"next is not bootable", strings.Replace(good, "next=A", "next=B", 1), "not bootable", nil},
		{"none is next", strings.Replace(good, "next=A", "next=", 1), "none is next", nil},
		{"tries out of range", strings.Replace(good, "A.tries=3", "A.tries=10", 1), "tries", nil},
		{"tries odd", strings.Replace(good, "A.tries=3", "A.tries=03", 1), "tries", nil},
		{"flag odd", strings.Replace(good, "A.bootable=1", "A.bootable=yes", 1), "bootable", nil},
		{"unsafe without a weakness", strings.Replace(good, "power-safe=1", "power-safe=0", 1), "contradict", nil},
		{"endless", "while :; do echo " +
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx || exit 0; done", "", nil},
		{"long", good + "head -c 100000 /dev/zero | tr '\\0' x", "more than", nil},
		{"fails", "printf 'the chip\\033[1m is gone\\nmore' >&2; exit 1", "the chip?[1m is gone", nil},
		{"invalid", "exit 10", "", bootctl.ErrInvalid},
		{"changed", "exit 11", "", bootctl.ErrChanged},
		{"not verified", "exit 12", "", bootctl.ErrNotVerified},
		{"no fallback", "exit 13", "", bootctl.ErrNoFallback},
		{"killed", "kill -9 $$", "", nil},
		{"slow", "sleep 60 & sleep 60", "too long", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := backend(t, hook.Options{Command: script(t, c.body), Timeout: 300 * time.Millisecond})
			start := time.Now()
			_, err := b.State(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("State: %v, want an error with %q (%v)", err, c.says, c.is)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestEnded: a hook that is too slow is ended with what it started.
func TestEnded(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	b := backend(t,
		hook.Options{Command: script(t, "sleep 60 & echo $! >"+pid+"; wait"), Timeout: 300 * time.Millisecond})
	if _, err := b.State(t.Context()); err == nil {
		t.Fatal("State of a hook that hangs")
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("its child %d still runs", child)
}

// TestLiar: a hook that says yes and does nothing is found out.
func TestLiar(t *testing.T) {
	b := backend(t, hook.Options{Command: script(t, good)})
	if err := b.Try(t.Context(), "B", 1); !errors.Is(err, bootctl.ErrNotVerified) {
		t.Errorf("Try: %v, want %v", err, bootctl.ErrNotVerified)
	}
	if err := b.Confirm(t.Context(), "B"); !errors.Is(err, bootctl.ErrNotVerified) {
		t.Errorf("Confirm: %v, want %v", err, bootctl.ErrNotVerified)
	}
}

// TestCall: what the hook is called with.
func TestCall(t *testing.T) {
	t.Setenv("RATCHET_SECRET", "x")
	seen := filepath.Join(t.TempDir(), "seen")
	b := backend(t, hook.Options{Command: script(t, `if [ "$1" = state ]; then `+good+` exit; fi
{ echo "$@"; pwd; env | grep -v -e '^PWD=' -e '^_=' -e '^SHLVL=' -e '^OLDPWD=' | sort; cat; } >`+seen)})
	_ = b.Try(t.Context(), "B", 2)
	got, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	if want := "try B 2\n/\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n"; string(got) != want {
		t.Errorf("the hook saw %q, want %q", got, want)
	}
}

// TestCancelledBegun: what is begun is not cut off by a cancelled context.
func TestCancelledBegun(t *testing.T) {
	command, _ := example(t)
	begun := filepath.Join(t.TempDir(), "begun")
	slow := script(t, `if [ "$1" = try ]; then touch `+begun+`; sleep 0.3; fi; exec `+command+` "$@"`)
	b := backend(t, hook.Options{Command: slow})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(begun); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if err := b.Try(ctx, "B", 1); err != nil {
		t.Fatal(err)
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "B" {
		t.Errorf("next is %q (%v)", s.Next, err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []hook.Options{
		{Command: "hook", Slots: []bootctl.Slot{"A"}},
		{Command: "/hook"},
		{Command: "/hook", Slots: []bootctl.Slot{"A", "A"}},
		{Command: "/hook", Slots: []bootctl.Slot{"A B"}},
		{Command: "/hook", Slots: []bootctl.Slot{"A"}, FullTries: 10},
		{Command: "/hook", Slots: []bootctl.Slot{"A"}, Timeout: -1},
	} {
		if _, err := hook.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// TestNoHook: a hook that is not there is told by its path.
func TestNoHook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook")
	_, err := backend(t, hook.Options{Command: path}).State(t.Context())
	if err == nil || !strings.Contains(err.Error(), "cannot run the boot hook "+path+": no such file") {
		t.Errorf("%v", err)
	}
}
