//go:build linux

package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// Where the sources lie below the root of a machine.
const (
	cmdlineFile = "proc/cmdline"
	chipFile    = "sys/bus/platform/devices/f8048000.rstc/power_on_reason"
	dogFile     = "sys/class/watchdog/watchdog0/bootstatus"
	dog1File    = "sys/class/watchdog/watchdog1/bootstatus"
)

// TestResetCause: only what nobody contradicts is a loss of power, and what makes no sense is unknown.
func TestResetCause(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  hal.ResetKind
		says  string
	}{
		{"nothing", nil, hal.ResetUnknown, ""},
		{"a chip that was switched on", map[string]string{chipFile: "regular power-up\n"}, hal.ResetPowerOn,
			`f8048000.rstc says "regular power-up"`},
		{"a brown-out", map[string]string{chipFile: "brown-out reset\n"}, hal.ResetPowerOn, "brown-out"},
		{"a chip's watchdog", map[string]string{chipFile: "watchdog timeout\n"}, hal.ResetWatchdog, "watchdog timeout"},
		{"a chip's software reset", map[string]string{chipFile: "software reset\n"}, hal.ResetSoftware, "software"},
		{"a button", map[string]string{chipFile: "reset button action\n"}, hal.ResetUnknown, "button"},
		{"a chip that does not know", map[string]string{chipFile: "unknown reason\n"}, hal.ResetUnknown, ""},
		{"a word of a later kernel", map[string]string{chipFile: "gremlins\n"}, hal.ResetUnknown, "gremlins"},
		{"too little power", map[string]string{dogFile: "16\n"}, hal.ResetPowerOn, "too little power"},
		{"a watchdog", map[string]string{dogFile: "32\n"}, hal.ResetWatchdog, "watchdog0"},
		{"a watchdog that also saw the power", map[string]string{dogFile: "48\n"}, hal.ResetWatchdog, "watchdog0"},
		{"the second of two", map[string]string{dogFile: "0\n", dog1File: "32\n"}, hal.ResetWatchdog, "watchdog1"},
		{"a watchdog that says nothing", map[string]string{dogFile: "0\n"}, hal.ResetUnknown, ""},
		{"too hot", map[string]string{dogFile: "1\n"}, hal.ResetUnknown, "watchdog0"},
		{"too hot, with too little power", map[string]string{dogFile: "17\n"}, hal.ResetUnknown, "watchdog0"},
		{"a loss of power, and an unknown bit", map[string]string{dogFile: "32784\n"}, hal.ResetUnknown, "32784"},
		{"an unknown bit", map[string]string{dogFile: "32768\n"}, hal.ResetUnknown, "32768"},
		{"no number", map[string]string{dogFile: "power\n"}, hal.ResetUnknown, "power"},
		{"a negative number", map[string]string{dogFile: "-16\n"}, hal.ResetUnknown, "-16"},
		{"a huge number", map[string]string{dogFile: "68719476752\n"}, hal.ResetUnknown, "68719476752"},
		{"an empty file", map[string]string{dogFile: ""}, hal.ResetUnknown, ""},
		{"the loader", map[string]string{cmdlineFile: "quiet ratchet.reset=power-on\n"}, hal.ResetPowerOn,
			`the bootloader says "power-on"`},
		{"barebox", map[string]string{cmdlineFile: "ratchet.reset=POR"}, hal.ResetPowerOn, "POR"},
		{"barebox's watchdog", map[string]string{cmdlineFile: "ratchet.reset=WDG"}, hal.ResetWatchdog, "WDG"},
		{"a loader that does not know", map[string]string{cmdlineFile: "ratchet.reset=unknown"}, hal.ResetUnknown, ""},
		{"a loader's nonsense", map[string]string{cmdlineFile: "ratchet.reset=${cause}"}, hal.ResetUnknown, "cause"},
		{"a loader that says two things", map[string]string{cmdlineFile: "ratchet.reset=POR ratchet.reset=WDG"},
			hal.ResetUnknown, "WDG"},
		{"all say power", map[string]string{cmdlineFile: "ratchet.reset=POR", chipFile: "regular power-up",
			dogFile: "16"}, hal.ResetPowerOn, ""},
		{"one says watchdog", map[string]string{cmdlineFile: "ratchet.reset=POR", chipFile: "regular power-up",
			dogFile: "32"}, hal.ResetWatchdog, "watchdog0"},
		{"one says software", map[string]string{cmdlineFile: "ratchet.reset=POR", chipFile: "software reset",
			dogFile: "16"}, hal.ResetSoftware, "rstc"},
		{"one makes no sense", map[string]string{cmdlineFile: "ratchet.reset=POR", chipFile: "\x00\xff"},
			hal.ResetUnknown, "rstc"},
		{"one does not know", map[string]string{cmdlineFile: "ratchet.reset=unknown", chipFile: "unknown reason",
			dogFile: "16", dog1File: "0"}, hal.ResetPowerOn, "watchdog0"},
	} {
		root := t.TempDir()
		for name, text := range c.files {
			put(t, filepath.Join(root, name), text)
		}
		got := linux.Reset{Root: root}.Cause()
		if got.Is() != c.want || !strings.Contains(got.Source, c.says) {
			t.Errorf("%s: %s, want %s for %q", c.name, got, c.want, c.says)
		}
	}
}

// TestResetFile: a board's own word stands alone; without it, or with another one, nothing is known.
func TestResetFile(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, dogFile), "16")
	path := filepath.Join(root, "cause")
	for text, want := range map[string]hal.ResetKind{
		"power-on\n": hal.ResetPowerOn, "watchdog": hal.ResetWatchdog, "panic": hal.ResetPanic,
		"software\n": "software",
		"unknown":    "unknown", "POR": "power-on", "power-on PMIC: VSYS low\n": "power-on",
		"power-on\nwatchdog\n": "power-on",
		"":                     "unknown", "power": "unknown", "\x00\x01": "unknown", "power-on,watchdog": "unknown",
		strings.Repeat("power-on", 1<<20): "unknown",
	} {
		put(t, path, text)
		got := linux.Reset{Root: root, File: path}.Cause()
		if got.Is() != want || len(got.Source) > 600 {
			t.Errorf("%.40q: %.200s, want %s", text, got, want)
		}
	}
	if got := (linux.Reset{Root: root, File: path + "-"}).Cause(); got.Is() != hal.ResetUnknown ||
		!strings.Contains(got.Source, "no such file") {
		t.Errorf("without the file: %s", got)
	}
}

// TestPanicRecords: records of panics are counted in pstore and in systemd's archive, and those of orderly shutdowns
// are not.
func TestPanicRecords(t *testing.T) {
	root := t.TempDir()
	if got := (linux.Reset{Root: root}).Cause().Panics; got != (hal.Panics{}) {
		t.Errorf("%+v", got)
	}
	newest := time.Unix(1_700_000_000, 0)
	for name, text := range map[string]string{
		"sys/fs/pstore/dmesg-ramoops-0":                            "====1700000000.000000-D\nPanic#1 Part1\n",
		"sys/fs/pstore/dmesg-ramoops-1":                            "Oops#2 Part1\n",
		"sys/fs/pstore/dmesg-efi-1":                                "\x78\x9c\x00\x01",
		"sys/fs/pstore/console-ramoops-0":                          "[    0.0] Linux\n",
		"sys/fs/pstore/dmesg-efi-2":                                "Restart#1 Part1\n<6>[ 100.0] reboot: Restarting",
		"sys/fs/pstore/dmesg-ramoops-2":                            "====1700000000.000000-D\nShutdown#4 Part1\n",
		"var/lib/systemd/pstore/1700000000/dmesg.txt":              "Panic#3 Part1\n",
		"var/lib/systemd/pstore/1700000000/001/dmesg.txt":          "Panic#4 Part1\n",
		"var/lib/systemd/pstore/1700000000/001/dmesg-efi-17000001": "Poweroff#4 Part1\n",
	} {
		put(t, filepath.Join(root, name), text)
		at := newest.Add(-time.Hour)
		if strings.HasSuffix(name, "001/dmesg.txt") {
			at = newest
		}
		if strings.Contains(text, "Poweroff") {
			at = newest.Add(time.Hour)
		}
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	want := hal.Panics{Count: 5, Newest: newest.UnixNano()}
	if got := (linux.Reset{Root: root}).Cause().Panics; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// FuzzReset: whatever stands in the files, a loss of power is told only in the words for it.
func FuzzReset(f *testing.F) {
	f.Add("power-on", "regular power-up", "16")
	f.Add("POR", "", "0x10")
	f.Add("\x00", "regular power-up\n", "48")
	f.Fuzz(func(t *testing.T, loader, chip, dog string) {
		root := t.TempDir()
		put(t, filepath.Join(root, cmdlineFile), "ratchet.reset="+loader)
		put(t, filepath.Join(root, chipFile), chip)
		put(t, filepath.Join(root, dogFile), dog)
		got := linux.Reset{Root: root}.Cause()
		chip = strings.TrimSpace(chip)
		if got.Is() == hal.ResetPowerOn && chip != "regular power-up" && chip != "brown-out reset" &&
			chip != "unknown reason" {
			t.Errorf("%s, with %q", got, chip)
		}
		if len(got.Source) > 2048 {
			t.Errorf("%d bytes for people", len(got.Source))
		}
	})
}
