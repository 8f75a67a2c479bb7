//go:build linux

// Command units boots Debian 11, 12 and 13 in QEMU with the systemd unit of packaging/systemd, and updates them: their
// kernels are 5.10, 6.1 and 6.12, their systemd is 247, 252 and 257.
//
//	go run ./scripts/units [-suite bookworm] [-unit FILE] [-dir units-out]
//
// Each machine has a slot A that runs, read-only, a slot B, a partition for the boot metadata and one for the state.
// What a distribution installs is in both systems. Slot A takes a release at the console, of the same Debian with the
// next version, reboots by the unit, and slot B proves itself in its trial. The bootloader between is the model of
// GRUB. Every system call that the unit's filter refuses ends the process that makes it here (-refuse=false: as on a
// device).
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// suite is a release of Debian.
type suite struct{ name, says string }

var suites = []suite{{"bullseye", "Debian 11"}, {"bookworm", "Debian 12"}, {"trixie", "Debian 13"}}

// options are the flags.
type options struct {
	dir, unit, cache, programs string
	refuse, keep               bool
}

func main() {
	var o options
	only := flag.String("suite", "", "one of bullseye, bookworm, trixie; all of them otherwise")
	flag.StringVar(&o.dir, "dir", "units-out", "where what failed is kept")
	flag.StringVar(&o.unit, "unit", "", "another unit in the place of packaging/systemd/ratchet.service")
	flag.StringVar(&o.programs, "bin", "bin", "where ratchet and ratchet-release are")
	flag.BoolVar(&o.refuse, "refuse", true, "a system call that the unit refuses ends the process")
	flag.BoolVar(&o.keep, "keep", false, "keep the disks also where nothing failed")
	flag.Parse()
	if err := run(o, *only); err != nil {
		fmt.Fprintln(os.Stderr, "units:", err)
		os.Exit(1)
	}
}

func run(o options, only string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("building a root file system needs root")
	}
	for _, program := range []string{"mmdebstrap", "mke2fs", "debugfs", "qemu-system-x86_64", "swtpm",
		"systemd-sysusers"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed (scripts/deps.sh units)", program)
		}
	}
	for _, path := range []*string{&o.programs, &o.dir} {
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	o.cache = os.Getenv("RATCHET_RIG_CACHE")
	if o.cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		o.cache = filepath.Join(home, ".cache/ratchet-rig")
	}
	var failed []string
	for _, s := range suites {
		if only != "" && s.name != only {
			continue
		}
		began := time.Now()
		m := &machine{options: o, suite: s, work: filepath.Join(o.dir, s.name)}
		err := m.play()
		m.table(os.Stdout, err, time.Since(began))
		if err != nil || slices.ContainsFunc(m.checks, func(c check) bool { return !c.ok }) {
			failed = append(failed, s.says)
		} else if !o.keep {
			_ = os.RemoveAll(m.work)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s: see %s/*/console.txt", strings.Join(failed, ", "), o.dir)
	}
	return nil
}

// command runs a program; its output is part of the error.
func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
