package health

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Unit holds when all systemd units are active, and with NoneFailed, when additionally the whole
// system is up and no unit has failed (`systemctl is-system-running` says "running").
//
// `systemctl is-active A B` exits with 0 when only one of them is active, so the states that it
// prints are read, one line for each unit, and not its exit status.
type Unit struct {
	Title      string // name of the check, default "unit <first unit>"
	Units      []string
	NoneFailed bool
	Systemctl  string // program, default "systemctl"
	Network    bool   // what they do depends on something beyond this device, see Remote
}

// Name is the check's name.
func (u Unit) Name() string {
	switch {
	case u.Title != "":
		return u.Title
	case len(u.Units) > 0:
		return plain("unit "+u.Units[0], maxName)
	}
	return "no failed units"
}

// Validate refuses names that are no full unit names (systemd.unit(5)) and a check of nothing.
func (u Unit) Validate() error {
	if len(u.Units) == 0 && !u.NoneFailed {
		return errors.New("a unit check without a unit")
	}
	if len(u.Units) > 32 {
		return errorf("%d units in one check are more than 32", len(u.Units))
	}
	for _, name := range u.Units {
		if !unitName(name) {
			return errorf("%q is not the name of a systemd unit: write it in full, like %q",
				plain(name, maxName), "sshd.service")
		}
	}
	return nil
}

// unitTypes are the suffixes of systemd.unit(5).
var unitTypes = []string{"service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer",
	"slice", "scope"}

// unitName tells whether s is a unit's full name: at most 255 characters, letters, digits and
// ":-_.\@", with a type. It cannot be taken for an option or a pattern.
func unitName(s string) bool {
	dot := strings.LastIndexByte(s, '.')
	if dot <= 0 || len(s) > 255 || s[0] == '-' || !slices.Contains(unitTypes, s[dot+1:]) {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.ContainsRune(`:-_.\@`, c))
	})
}

// Run asks systemctl once or twice.
func (u Unit) Run(ctx context.Context) error {
	if err := u.Validate(); err != nil {
		return err
	}
	if len(u.Units) > 0 {
		if err := u.active(ctx); err != nil {
			return err
		}
	}
	if u.NoneFailed {
		return u.noneFailed(ctx)
	}
	return nil
}

func (u Unit) active(ctx context.Context) error {
	out, err := u.ask(ctx, append([]string{"is-active", "--"}, u.Units...)...)
	states := strings.Split(strings.TrimSpace(out), "\n")
	if len(states) != len(u.Units) {
		return u.unclear(ctx, out, err)
	}
	for i, state := range states {
		switch {
		case state == "active" || state == "reloading" || state == "refreshing":
		case state == "" || strings.ContainsRune(state, ' '):
			return u.unclear(ctx, out, err)
		default:
			return errorf("unit %s is %s", u.Units[i], plain(state, maxSaid))
		}
	}
	return nil
}

func (u Unit) noneFailed(ctx context.Context) error {
	out, err := u.ask(ctx, "is-system-running")
	state := lastLine(out)
	switch state {
	case "running":
		return nil
	case "degraded":
		out, err := u.ask(ctx, "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager")
		var names []string
		for line := range strings.Lines(out) {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); unitName(name) && len(names) < 5 {
				names = append(names, name)
			}
		}
		if err != nil || len(names) == 0 {
			return errors.New("a unit has failed (systemctl --failed)")
		}
		return errorf("failed units: %s", strings.Join(names, ", "))
	case "":
		return u.unclear(ctx, out, err)
	}
	return errorf("the system is %s", state)
}

// ask runs systemctl and returns its output. A non-zero exit is part of many of its answers.
func (u Unit) ask(ctx context.Context, args ...string) (string, error) {
	program := u.Systemctl
	if program == "" {
		program = "systemctl"
	}
	return run(ctx, append([]string{program}, args...), nil)
}

// unclear is the error of an answer that was none.
func (u Unit) unclear(ctx context.Context, out string, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && lastLine(out) != "":
		return errorf("%w: %s", err, lastLine(out))
	case err != nil:
		return err
	}
	return errorf("systemctl gives an answer that is not understood: %q", lastLine(out))
}
