package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

const sceneTime = 30 * time.Second

// publish releases an image: build, sign, publish, as a release engineer would.
func (d *Demo) publish(ctx context.Context, version, compress string, seed byte, sick bool) error {
	d.sequence++
	return d.publishAs(ctx, version, compress, seed, sick, d.sequence, "gateway-v1")
}

func (d *Demo) publishAs(ctx context.Context, version, compress string, seed byte, sick bool, seq int,
	class string) error {
	file := filepath.Join(d.Desk(), "v"+version+".img")
	if _, err := image.Make(ctx, d.Dir, file, d.Size, d.content(version, seed, sick)); err != nil {
		return err
	}
	name := "release-" + strconv.Itoa(len(d.Rows)) + "-" + version
	suit, err := d.Build(ctx, stage.Release{Name: filepath.Join(d.Desk(), name), Version: version, Sequence: seq,
		Class: class, Image: file, Compress: compress})
	if err != nil {
		return err
	}
	if d.Rooted {
		if err := d.Campaign(ctx, name, suit, class, len(d.Rows)+1); err != nil {
			return err
		}
	}
	publish := []string{"publish", "--dir", d.Desk(), suit}
	if seq != d.sequence {
		// The desk itself refuses to offer what is older than its last offer.
		publish = slices.Insert(publish, 1, "--force")
	}
	return d.RunDesk(ctx, publish...)
}

// outcome waits for the next verdict, or refusal, after record k, and says it in words.
func (d *Demo) outcome(ctx context.Context, k int) (string, error) {
	var last evidence.Record
	err := d.WaitFor(ctx, sceneTime, "the device's verdict", func() bool {
		for _, r := range d.Net.Since(k) {
			if r.Kind == evidence.KindVerdict && r.To == "idle" || r.Kind == evidence.KindDecision && r.To == "refuse" {
				last = r
				return true
			}
		}
		return false
	})
	if err != nil {
		return err.Error(), err
	}
	if last.Kind == evidence.KindDecision {
		return "refused: " + string(last.Reason), nil
	}
	out := last.Detail["result"]
	if last.Reason != reason.None {
		out += ": " + string(last.Reason)
	}
	return out + "; slot " + d.board.slot + " runs", nil
}

// memory says what the daemon that wrote the image had resident at most.
func (d *Demo) memory() {
	d.Say("    the daemon that wrote it had %.1f MiB resident at most, and %.1f MiB with its processes (PSS)",
		float64(d.board.peak)/(1<<20), float64(d.board.all.Swap(0))/(1<<20))
	d.board.peak = 0
}

func (d *Demo) healthy(ctx context.Context) error {
	d.Chapter("1. A healthy update: 2.0.0, zstd, over HTTPS")
	k := d.Net.Count()
	if err := d.publish(ctx, "2.0.0", "zstd", 2, false); err != nil {
		return err
	}
	got, err := d.outcome(ctx, k)
	d.memory()
	d.Expect("healthy update", "updated; slot B runs", got)
	return err
}

func (d *Demo) powerCut(ctx context.Context) error {
	d.Chapter("2. The power is cut in the middle of writing 3.0.0")
	k := d.Net.Count()
	d.Net.Rate.Store(max(24<<20, d.Size))
	from := d.Net.Served.Load()
	if err := d.publish(ctx, "3.0.0", "none", 3, false); err != nil {
		return err
	}
	err := d.WaitFor(ctx, sceneTime, "half of the image", func() bool { return d.Net.Served.Load()-from > d.Size/2 })
	if err != nil {
		return err
	}
	d.board.pulled()
	d.Net.Rate.Store(0)
	d.Say("    *** power cut (SIGKILL) after %d of %d MiB; power is back", (d.Net.Served.Load()-from)>>20, d.Size>>20)
	if err := d.board.boot(); err != nil {
		return err
	}
	d.Say("    U-Boot boots slot %s", d.board.slot)
	got, err := d.outcome(ctx, k)
	for _, r := range d.Net.Since(k) {
		if at, _ := strconv.Atoi(r.Detail["resumed-from"]); r.Kind == evidence.KindProgress && at > 0 {
			got += ", resumed"
		}
	}
	d.memory()
	d.Expect("power cut while writing", "updated; slot A runs, resumed", got)
	return err
}

func (d *Demo) sick(ctx context.Context) error {
	d.Chapter("3. A sick update: 4.0.0 boots, but its service does not answer")
	k := d.Net.Count()
	if err := d.publish(ctx, "4.0.0", "zstd", 4, true); err != nil {
		return err
	}
	got, err := d.outcome(ctx, k)
	d.Expect("sick update", "reverted: health-failed; slot A runs", got)
	return err
}

// tampered changes one byte of a signed manifest on its way.
func (d *Demo) tampered(ctx context.Context) error {
	d.Chapter("4. Somebody with access to the broker changes a signed manifest")
	k := d.Net.Count()
	files, err := filepath.Glob(filepath.Join(d.Desk(), "*2.0.0.suit"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("the release 2.0.0 is not where it was put: %v %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	b[len(b)-20] ^= 1
	d.Say("publishing the altered manifest past the desk")
	if err := d.Net.Inject(wire.DeviceTopic(stage.DeviceName, wire.Offer), b); err != nil {
		return err
	}
	got, err := d.outcome(ctx, k)
	d.Expect("tampered manifest", "refused: digest-mismatch", got)
	return err
}

func (d *Demo) rollback(ctx context.Context) error {
	d.Chapter("5. An old release, genuine and signed, is offered again: a rollback")
	k := d.Net.Count()
	if err := d.publishAs(ctx, "1.5.0", "none", 5, false, 1, "gateway-v1"); err != nil {
		return err
	}
	got, err := d.outcome(ctx, k)
	d.Expect("rollback", "refused: sequence-below-floor", got)
	return err
}

func (d *Demo) foreign(ctx context.Context) error {
	d.Chapter("6. A release for another class of device")
	k := d.Net.Count()
	if err := d.publishAs(ctx, "6.0.0", "none", 6, false, 60, "toaster"); err != nil {
		return err
	}
	got, err := d.outcome(ctx, k)
	d.Expect("foreign class", "refused: wrong-class", got)
	return err
}

// audit exports the evidence at the device and verifies it at the desk.
func (d *Demo) audit(ctx context.Context) error {
	d.Chapter("7. The auditor: evidence exported on the device verifies offline at the desk")
	file := filepath.Join(d.Dir, "evidence.cbor")
	cmd := exec.CommandContext(ctx, filepath.Join(d.Bin, "ratchet"), "evidence", "export", "--socket", d.Socket(),
		"-o", file)
	d.Say("$ ratchet evidence export -o evidence.cbor")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot export: %w: %s", err, out)
	}
	got := "verified, nothing missing"
	if err := d.RunDesk(ctx, "evidence", "verify", "--key", d.board.path("state", "device.pem"), file); err != nil {
		got = err.Error()
	}
	d.Expect("evidence", "verified, nothing missing", got)
	d.Chapter("What the technician sees")
	out, err := exec.CommandContext(ctx, filepath.Join(d.Bin, "ratchet"), "status",
		"--socket", d.Socket()).CombinedOutput()
	fmt.Fprintf(d.Out, "%s", out)
	return err
}
