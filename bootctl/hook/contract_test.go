package hook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/hook"
)

var ab = []bootctl.Slot{"A", "B"}

// says is what a hook prints of a state: next, then A and B, each bootable (b) or not (x), its tries, confirmed (+)
// or not (-), and ! where they are used up. max is what the loader counts.
func says(state string, max int) string {
	f := strings.Fields(state)
	out := fmt.Sprintf("version=1\nnext=%s\nmax-tries=%d\npower-safe=1\n", strings.Trim(f[0], "."), max)
	for i, slot := range ab {
		s := f[1+i]
		used := strings.HasSuffix(s, "!")
		s = strings.TrimSuffix(s, "!")
		out += fmt.Sprintf("%[1]s.bootable=%[2]d\n%[1]s.tries=%[3]s\n%[1]s.confirmed=%[4]d\n%[1]s.exhausted=%[5]d\n",
			slot,
			strings.Count(s[:1], "b"), s[1:len(s)-1], strings.Count(s, "+"), map[bool]int{true: 1}[used])
	}
	return out
}

// TestContract: when each verb calls the hook and with what, what it takes for done, and what it refuses to begin.
func TestContract(t *testing.T) {
	const notDone = "not verified"
	for _, c := range []struct {
		what, before, verb string
		call               string // "": none
		after              string // the hook's state then
		want               string // "": done
	}{
		{"disable a trial", "B b3+ b1-", "disable", "disable B", "A b3+ x0-", ""},
		{"disable a confirmed slot", "A b3+ b3+", "disable", "disable B", "A b3+ x0-", ""},
		{"disable what is used up", "A b3+ x0-!", "disable", "disable B", "A b3+ x0-", ""},
		{"disable what is confirmed and does not boot", "A b3+ x0+", "disable", "disable B", "A b3+ x0-", ""},
		{"disable what is disabled", "A b3+ x0-", "disable", "", "", ""},
		{"disable a trial beside a trial", "B b3- b1-", "disable", "disable B", "A b3- x0-", ""},
		{"disable the last confirmed one", "B b3- b1+", "disable", "", "", "no other confirmed slot is bootable"},
		{"disable the last one", "B x0+ b1-", "disable", "", "", "no other confirmed slot is bootable"},
		{"it still boots", "B b3+ b1-", "disable", "disable B", "A b3+ b1-", notDone},
		{"the other one went", "B b3+ b1-", "disable", "disable B", ". x0+ x0-", notDone},

		{"arm", "A b3+ x0-", "try", "try B 2", "B b3+ b2-", ""},
		{"arm again", "B b3+ b2-", "try", "", "", ""},
		{"arm again, no counter", "B b-1+ b-1-", "try", "", "", ""},
		{"arm again, the fallback is low", "B b2+ b2-", "try", "try B 2", "B b3+ b2-", ""},
		{"arm again, the fallback is not counted", "B b-1+ b2-", "try", "", "", ""},
		{"armed with other tries", "B b3+ b1-", "try", "try B 2", "B b3+ b2-", ""},
		{"armed and not next", "A b3+ b2-", "try", "try B 2", "B b3+ b2-", ""},
		{"arm what is confirmed", "B b3+ b2+", "try", "try B 2", "B b3+ b2-", ""},
		{"arm over a trial", "A b3- x0-", "try", "", "", "no other confirmed slot is bootable"},
		{"arm over a confirmed slot that does not boot", "B x0+ b2-", "try", "", "",
			"no other confirmed slot is bootable"},
		{"not armed", "A b3+ x0-", "try", "try B 2", "A b3+ x0-", notDone},
		{"armed with too many", "A b3+ x0-", "try", "try B 2", "B b3+ b3-", notDone},
		{"armed as confirmed", "A b3+ x0-", "try", "try B 2", "B b3+ b2+", notDone},
		{"armed, and not first", "A b3+ x0-", "try", "try B 2", "A b3+ b2-", notDone},
		{"armed, and the fallback went", "A b3+ x0-", "try", "try B 2", "B x0+ b2-", notDone},
		{"armed, and the fallback is not confirmed", "A b3+ x0-", "try", "try B 2", "B b3- b2-", notDone},
		{"armed, and not counted", "A b3+ x0-", "try", "try B 2", "B b3+ b-1-", ""},

		{"confirm", "B b3+ b1-", "confirm", "confirm B 3", "B b3+ b3+", ""},
		{"confirm again", "B b3+ b3+", "confirm", "", "", ""},
		{"confirm again, no counter", "B b3+ b-1+", "confirm", "", "", ""},
		{"confirm again, low", "B b3+ b2+", "confirm", "confirm B 3", "B b3+ b3+", ""},
		{"confirm again, not next", "A b3+ b3+", "confirm", "confirm B 3", "B b3+ b3+", ""},
		{"confirmed and not first", "B b3+ b1-", "confirm", "confirm B 3", "A b3+ b3+", notDone},
		{"first and not confirmed", "B b3+ b1-", "confirm", "confirm B 3", "B b3+ b3-", notDone},

		{"refresh, nothing is wrong", "B b3+ b3+", "refresh", "", "", ""},
		{"refresh, no counter", "B b3+ b-1+", "refresh", "", "", ""},
		{"refresh, low", "B b3+ b2+", "refresh", "refresh B 3", "B b3+ b3+", ""},
		{"refresh, out of order", "A b3+ x3+", "refresh", "refresh B 3", "A b3+ b3+", ""},
		{"refresh of a trial", "B b3+ b1-", "refresh", "", "", ""},
		{"refreshed and does not boot", "B b3+ b2+", "refresh", "refresh B 3", "A b3+ x3+", notDone},
		{"refreshed and not confirmed", "B b3+ b2+", "refresh", "refresh B 3", "B b3+ b3-", notDone},
		{"restore", "invalid", "refresh", "refresh B 3", "B x0- b3+", ""},
		{"restored, and another one boots", "invalid", "refresh", "refresh B 3", "B b3+ b3+", notDone},
		{"restored, and it does not boot", "invalid", "refresh", "refresh B 3", ". x0- x3+", notDone},
	} {
		dir := t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		put := func(name, state string) {
			text := "exit 10\n"
			if state != "invalid" && state != "" {
				text = "cat <<end\n" + says(state, 9) + "end\n"
			}
			if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put("now", c.before)
		put("then", c.after)
		b := backend(t, hook.Options{Command: script(t, "cd "+dir+`
if [ "$1" = state ]; then . ./now; exit; fi
echo "$@" >>calls; mv then now
`)})
		var err error
		switch c.verb {
		case "disable":
			err = b.Disable(t.Context(), "B")
		case "try":
			err = b.Try(t.Context(), "B", 2)
		case "confirm":
			err = b.Confirm(t.Context(), "B")
		case "refresh":
			err = b.Refresh(t.Context(), "B")
		}
		calls, _ := os.ReadFile(in("calls"))
		if got := strings.TrimSpace(string(calls)); got != c.call {
			t.Errorf("%s: it called %q, want %q", c.what, got, c.call)
		}
		switch {
		case c.want == notDone && !errors.Is(err, bootctl.ErrNotVerified), c.want == "" && err != nil,
			c.want != "" && c.want != notDone && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestFewTries: a loader that counts less than is asked for gets its own number, and refuses a longer trial.
func TestFewTries(t *testing.T) {
	for _, c := range []struct {
		full, max int
		want      string
	}{{0, 9, "3"}, {0, 3, "3"}, {0, 2, "2"}, {1, 9, "1"}, {9, 9, "9"}} {
		calls := filepath.Join(t.TempDir(), "calls")
		b := backend(t, hook.Options{FullTries: c.full, Command: script(t, `if [ "$1" = state ]; then cat <<end
`+says("B b1+ b1-", c.max)+`end
exit; fi; echo "$@" >>`+calls+"\nexit 1\n")})
		_ = b.Confirm(t.Context(), "B")
		_ = b.Refresh(t.Context(), "A")
		want := "confirm B " + c.want + "\n"
		if c.want != "1" { // else A is full
			want += "refresh A " + c.want + "\n"
		}
		if got, err := os.ReadFile(calls); err != nil || string(got) != want {
			t.Errorf("%+v: %q, %v; want %q", c, got, err, want)
		}
		for tries, ok := range map[int]bool{0: false, 1: true, c.max: true, c.max + 1: false} {
			err := b.Try(t.Context(), "B", tries)
			if refused := err != nil && strings.Contains(err.Error(), fmt.Sprintf("%d tries are outside of 1 to %d",
				tries, c.max)); refused == ok {
				t.Errorf("%+v: %d tries: %v", c, tries, err)
			}
		}
	}
	for full, ok := range map[int]bool{-1: false, 0: true, 1: true, 9: true, 10: false} {
		if _, err := hook.New(hook.Options{Command: "/hook", Slots: ab, FullTries: full}); (err == nil) != ok {
			t.Errorf("%d tries: %v", full, err)
		}
	}
}

// TestParseState: the output to the letter, and what is one byte beside it.
func TestParseState(t *testing.T) {
	base := says("A b3+ b2-", 9)
	with := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(base) }
	for _, c := range []struct{ what, out, says string }{
		{"as it should be", base, ""},
		{"no exhausted", with("A.exhausted=0\n", "", "B.exhausted=0\n", ""), ""},
		{"every printable byte", base + "layout= ~\n", ""},
		{"a byte above", base + "layout=\x7f\n", "line 13 has the byte 0x7f"},
		{"a byte below", base + "layout=\x1f\n", "line 13 has the byte 0x1f"},
		{"no key", base + "=x\n", "line 13 is not key=value"},
		{"no value", base + "layout\n", "line 13 is not key=value"},
		{"no version", with("version=1\n", ""), `version`},
		{"another version", with("version=1", "version=01"), `it speaks version "01" of the contract`},
		{"tries of -1", with("B.tries=2", "B.tries=-1"), ""},
		{"tries of -2", with("B.tries=2", "B.tries=-2"), "B.tries"},
		{"tries of 9", with("B.tries=2", "B.tries=9"), ""},
		{"tries of 10", with("B.tries=2", "B.tries=10"), "B.tries"},
		{"no tries", with("B.tries=2", "B.tries=0"), "slot B is bootable with no tries left"},
		{"used up", with("B.exhausted=0", "B.exhausted=1"), "slot B is bootable with no tries left"},
		{"no loader counts 0", with("max-tries=9", "max-tries=0"), "max-tries"},
		{"no loader counts 10", with("max-tries=9", "max-tries=10"), "max-tries"},
		{"max-tries of 1", with("max-tries=9", "max-tries=1"), ""},
		{"a flag of 2", with("B.confirmed=0", "B.confirmed=2"), `B.confirmed is "2", 0 or 1 is wanted`},
		{"next is nobody", with("next=A", "next=C"), `the next slot "C" is not bootable`},
		{"nothing boots and nothing is next", with("next=A", "next=", "A.bootable=1", "A.bootable=0", "B.bootable=1",
			"B.bootable=0"), ""},
		{"all that is allowed", base + "layout=" + strings.Repeat("x", 16384-len(base)-len("layout=\n")) + "\n", ""},
		{"a byte more", base + "layout=" + strings.Repeat("x", 16385-len(base)-len("layout=\n")) + "\n",
			"more than 16384 bytes"},
	} {
		_, err := hook.ParseState([]byte(c.out), ab)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
	}
	s, err := hook.ParseState([]byte(with("power-safe=1",
		"power-safe=0")+"weakness=torn\nlayout=eeprom\ncounts-confirmed=1\nwatchdog=1\nreboot-arg=tryboot\n"), ab)
	want := bootctl.Caps{Backend: "hook", Layout: "eeprom", Weakness: "torn", MaxTries: 9, CountsConfirmed: true,
		Watchdog: true, RebootArg: "tryboot"}
	if err != nil || s.Caps != want {
		t.Errorf("%+v, %v; want %+v", s.Caps, err, want)
	}
	s, err = hook.ParseState([]byte(base), ab)
	if want = (bootctl.Caps{Backend: "hook", Layout: "behind a hook", PowerSafe: true, MaxTries: 9}); err != nil ||
		s.Caps != want {
		t.Errorf("%+v, %v; want %+v", s.Caps, err, want)
	}
	if b := s.Slots["B"]; b != (bootctl.SlotState{Bootable: true, Tries: 2}) || s.Next != "A" {
		t.Errorf("%+v", s)
	}
}

// TestNotBegun: a context that has ended begins nothing, and a call that fails is told before anything is read again.
func TestNotBegun(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	b := backend(t, hook.Options{Command: script(t, `echo "$1" >>`+calls+`
if [ "$1" = state ]; then cat <<end
`+says("A b3+ x0-", 9)+`end
exit; fi; echo "the chip is gone" >&2; exit 1
`)})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.State(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("State: %v", err)
	}
	if err := b.Try(ended, "B", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Try: %v", err)
	}
	if _, err := os.Stat(calls); err == nil {
		t.Error("the hook was called")
	}
	if err := b.Try(t.Context(), "B", 1); err == nil || errors.Is(err, bootctl.ErrNotVerified) ||
		!strings.Contains(err.Error(), "the chip is gone") {
		t.Errorf("Try: %v", err)
	}
	got, err := os.ReadFile(calls)
	if f := strings.Fields(string(got)); err != nil || !slices.Equal(f, []string{"state", "try"}) {
		t.Errorf("calls %q, %v", f, err)
	}
}
