package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// Boards that stand for one matter each, besides the bootloaders' own. All are the first target with
// something added: it boots fastest.

const (
	tpmSocket  = "tpm.sock" // in a run's directory, where QEMU and swtpm both stand
	fullKernel = "arm64-full"
)

var matters = []Kind{
	matter("arm64-tpm", "arm64, a TPM 2.0 (swtpm) that counts the versions of the trust root", func(t *Kind) {
		t.hardware = more(t.hardware, "-chardev", "socket,id=tpm,path="+tpmSocket,
			"-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis-device,tpmdev=tpm0")
		t.modules = []string{"tpm_tis"}
		t.Config = "\n[counter]\nkind = \"tpm2\"\n"
		t.Rooted, t.beside = true, startTPM
		t.Versions = []Version{{"2.0.0", ""}, {"3.0.0", ""}}
	}),
	matter("arm64-i6300esb", "arm64, a watchdog in hardware (i6300esb), Debian's full kernel", func(t *Kind) {
		hardwareWatchdog(t)
		t.Versions = []Version{{"2.0.0", "seize"}, {"3.0.0", "undecided"}}
	}),
	matter("arm64-orphan", "arm64, a watchdog in hardware for the agent's trial, and an agent that is killed in it",
		func(t *Kind) {
			hardwareWatchdog(t)
			t.Versions = []Version{{"2.0.0", "orphan"}}
		}),
	matter("arm64-1970", "arm64, no clock: each boot is on 1 January 1970", func(t *Kind) {
		t.hardware = more(t.hardware, "-rtc", "base=1970-01-01T00:00:00")
		t.Versions = []Version{{"2.0.0", ""}, {"3.0.0", "sick"}}
	}),
	matter("arm64-killed", "arm64, QEMU killed in each phase", func(t *Kind) {
		t.Versions = []Version{{"2.0.0", ""}}
	}),
}

// hardwareWatchdog adds the second watchdog, which the agent arms for its trial, and one try only: each
// takes the watchdog's minute.
func hardwareWatchdog(t *Kind) {
	t.hardware = more(t.hardware, "-device", "i6300esb", "-action", "watchdog=reset")
	t.kernels, t.modules = fullKernel, []string{"i6300esb"}
	t.Boot = strings.Replace(t.Boot, "tries = 3", "tries = 1", 1)
	t.Tries = 1
	t.HTTP = "retry-max = \"5s\"\n"
	t.Health = "watchdog = \"/dev/watchdog1\"\n"
}

// matter is the first target with a change.
func matter(name, what string, change func(t *Kind)) Kind {
	t := arm64UBoot
	t.Name, t.What, t.Smoke, t.Matter = name, what, false, true
	change(&t)
	return t
}

func more(hardware func(string) []string, args ...string) func(string) []string {
	return func(dir string) []string { return append(hardware(dir), args...) }
}

// TPM tells whether the board has a TPM.
func (t Kind) TPM() bool { return t.beside != nil }

// startTPM starts swtpm for one life of the board; its memory is in dir.
func startTPM(ctx context.Context, dir string) (func(), error) {
	path, ok := image.Find("swtpm")
	if !ok {
		return nil, errors.New("swtpm is not installed; run scripts/deps.sh rig")
	}
	state, socket := filepath.Join(dir, "tpm"), filepath.Join(dir, tpmSocket)
	if err := errors.Join(os.MkdirAll(state, 0o700), os.RemoveAll(socket)); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--ctrl", "type=unixio,path="+tpmSocket)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return stop, nil
		} else if time.Now().After(end) {
			stop()
			return nil, fmt.Errorf("swtpm does not start: %w", err)
		}
	}
}
