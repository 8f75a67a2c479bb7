package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// Boards that stand for one matter each, besides the bootloaders' own. All are the first target with
// something added: it boots fastest.

const (
	tpmSocket  = "tpm.sock"  // in a run's directory, where QEMU and swtpm both stand
	killWithin = time.Second // after the device told of a phase
	fullKernel = "arm64-full"
)

var matters = []target{
	matter("arm64-tpm", "arm64, a TPM 2.0 (swtpm) that counts the versions of the trust root", func(t *target) {
		t.hardware = more(t.hardware, "-chardev", "socket,id=tpm,path="+tpmSocket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis-device,tpmdev=tpm0")
		t.modules = []string{"tpm_tis"}
		t.config = "\n[counter]\nkind = \"tpm2\"\n"
		t.rooted, t.beside = true, startTPM
		t.versions = []version{{"2.0.0", ""}, {"3.0.0", ""}}
		t.scenes = func(r *rig) []scene {
			return []scene{{"TPM counter", r.playCounter}, {"TPM counter, new root", r.playNewRoot}, {"TPM counter, old state", r.playOldState}}
		}
	}),
	matter("arm64-i6300esb", "arm64, a watchdog in hardware (i6300esb), Debian's full kernel", func(t *target) {
		hardwareWatchdog(t)
		t.versions = []version{{"2.0.0", "seize"}, {"3.0.0", "undecided"}}
		t.scenes = func(r *rig) []scene {
			return []scene{{"seized kernel", r.playSeize}, {"health undecided", r.playUndecided}}
		}
	}),
	matter("arm64-orphan", "arm64, a watchdog in hardware for the agent's trial, and an agent that is killed in it", func(t *target) {
		hardwareWatchdog(t)
		t.versions = []version{{"2.0.0", "orphan"}}
		t.scenes = func(r *rig) []scene { return []scene{{"agent killed", r.playOrphan}} }
	}),
	matter("arm64-1970", "arm64, no clock: each boot is on 1 January 1970", func(t *target) {
		t.hardware = more(t.hardware, "-rtc", "base=1970-01-01T00:00:00")
		t.versions = []version{{"2.0.0", ""}, {"3.0.0", "sick"}}
		t.scenes = func(r *rig) []scene {
			return []scene{{"1970", r.play1970}}
		}
	}),
	matter("arm64-killed", "arm64, QEMU killed in each phase", func(t *target) {
		t.versions = []version{{"2.0.0", ""}}
		t.scenes = func(r *rig) []scene { return []scene{{"killed in each phase", r.playKills}} }
	}),
}

// hardwareWatchdog adds the second watchdog, which the agent arms for its trial, and one try only: each
// takes the watchdog's minute.
func hardwareWatchdog(t *target) {
	t.hardware = more(t.hardware, "-device", "i6300esb", "-action", "watchdog=reset")
	t.kernels, t.modules = fullKernel, []string{"i6300esb"}
	t.boot = strings.Replace(t.boot, "tries = 3", "tries = 1", 1)
	t.tries = 1
	t.http = "retry-max = \"5s\"\n"
	t.health = "watchdog = \"/dev/watchdog1\"\n"
}

// matter is the first target with a change.
func matter(name, what string, change func(t *target)) target {
	t := arm64UBoot
	t.name, t.what, t.smoke = name, what, false
	change(&t)
	return t
}

func more(hardware func(string) []string, args ...string) func(string) []string {
	return func(dir string) []string { return append(hardware(dir), args...) }
}

func (t target) tpm() bool { return t.beside != nil }

// watchdog are the kernel modules besides those that every board needs: its own, and the watchdog in
// software that init feeds.
func (t target) watchdog() []string { return append([]string{"softdog"}, t.modules...) }

func (t target) trusts() string {
	if t.rooted {
		return `root = "/etc/ratchet/root-bundle.cbor"`
	}
	return `keys = ["/etc/ratchet/release.pub.pem"]`
}

// anchorFile is what the desk has for the image to trust.
func (r *rig) anchorFile() string {
	if r.target.rooted {
		return filepath.Join(r.Desk(), "root-bundle.cbor")
	}
	return filepath.Join(r.Desk(), "keys", "release.pub.pem")
}

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
	cmd := exec.CommandContext(ctx, path, "socket", "--tpm2", "--tpmstate", "dir="+state, "--ctrl", "type=unixio,path="+tpmSocket)
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

// fresh boots the device as it leaves the factory.
func (r *rig) fresh(ctx context.Context, name string) error {
	r.off()
	if err := image.CopySparse(r.path("factory.img"), r.path("device.img")); err != nil {
		return err
	}
	return r.again(ctx, name, "")
}

// records waits for a record of the device's evidence after the first k.
func (r *rig) records(ctx context.Context, k int, what string, ok func(evidence.Record) bool) error {
	return r.WaitFor(ctx, bootTime, what, func() bool {
		for _, rec := range r.Net.Since(k) {
			if ok(rec) {
				return true
			}
		}
		return false
	})
}

// offerRooted publishes a version with a campaign plan and a pulse for it.
func (r *rig) offerRooted(ctx context.Context, version string) error {
	if err := r.offer(ctx, version, "none"); err != nil {
		return err
	}
	r.plans++
	return r.Campaign(ctx, fmt.Sprintf("%s-%d", version, r.plans), r.path("release-"+version+".suit"), "gateway-v1", r.plans)
}

// playKills kills QEMU in each phase of an update, a seeded while after the device has told of it. The
// host keeps what QEMU has written, so that this is no more than smoke: the power cuts on the log of
// writes are the proof.
func (r *rig) playKills(ctx context.Context) error {
	r.Chapter(fmt.Sprintf("QEMU is killed in each phase of an update, seed %d", r.o.seed))
	if err := r.fresh(ctx, "whole"); err != nil {
		return err
	}
	if err := r.update(ctx, "2.0.0", "none"); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(uint64(r.o.seed), 9))
	phases := []life.Phase{life.Preparing, life.Writing, life.Checking, life.Rebooting, life.Trial, life.Confirming}
	good := 0
	for i, p := range phases {
		while := time.Duration(rnd.Int64N(int64(killWithin)))
		end, err := r.killIn(ctx, string(p), while, i)
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err == nil && end == "updated/1; slot B runs, confirmed, B is next; verified, nothing missing" {
			good++
		} else if err != nil {
			r.Say("    %v", err)
		}
	}
	r.Expect("killed in each phase", fmt.Sprintf("%d of %d end updated, evidence verified", len(phases), len(phases)), fmt.Sprintf("%d of %d end updated, evidence verified", good, len(phases)))
	return nil
}

// killIn boots the factory's device, whose offer waits at the broker, kills it in a phase or a later one
// that it tells of, and boots what is left.
func (r *rig) killIn(ctx context.Context, phase string, while time.Duration, i int) (string, error) {
	r.off()
	r.Net.Forget()
	if err := image.CopySparse(r.path("factory.img"), r.path("device.img")); err != nil {
		return "", err
	}
	if err := r.boot(ctx, r.path("device.img"), "", fmt.Sprintf("kill-%d", i)); err != nil {
		return "", err
	}
	order := []string{"preparing", "writing", "checking", "ready", "arming", "rebooting", "trial", "confirming", "sealing"}
	if err := r.until(ctx, updateTime, "phase "+phase, func() bool {
		return slices.Index(order, r.field("phase")) >= slices.Index(order, phase) || r.field("last") == "updated/1"
	}); err != nil {
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(while):
	}
	told := r.field("phase")
	if err := r.boot(ctx, r.path("device.img"), "", fmt.Sprintf("after-kill-%d", i)); err != nil { // takes the power away first
		return "", err
	}
	err := r.until(ctx, updateTime, "the device to put itself right", func() bool {
		return r.resting() && r.field("last") == "updated/1" && r.field("confirmed") == "true"
	})
	end := r.ends() + "; " + r.chain(ctx)
	r.Say("    killed %d ms after it told of phase %s: %s", while.Milliseconds(), told, end)
	return end, err
}
