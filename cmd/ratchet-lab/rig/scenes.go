package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Times are generous: the guests share a slow machine with others.
const (
	bootTime   = 240 * time.Second
	updateTime = 400 * time.Second
	chainTime  = 90 * time.Second
)

func (r *rig) hear(rec evidence.Record) {
	if line := stage.StoryLine(rec); line != "" && r.o.Verbose {
		r.Say("  device: %s", line)
	}
}

// offer builds, signs and publishes an image.
func (r *rig) offer(ctx context.Context, version, compress string) error {
	r.sequence++
	suit, err := r.Build(ctx, stage.Release{Name: r.path("release-" + version), Version: version, Sequence: r.sequence,
		Class: "gateway-v1", Image: r.image(version), Compress: compress})
	if err != nil {
		return err
	}
	return r.RunDesk(ctx, "publish", "--dir", r.Desk(), suit)
}

// resting tells whether the device has nothing to do but to wait for the sequence number to come.
func (r *rig) resting() bool {
	return r.field("phase") == "idle" && r.field("running") != "" && r.field("unsent") == "0"
}

// update offers a version and waits for the device's verdict about it.
func (r *rig) update(ctx context.Context, version, compress string) error {
	if err := r.offer(ctx, version, compress); err != nil {
		return err
	}
	began := time.Now()
	mark := fmt.Sprintf("/%d", r.sequence)
	err := r.until(ctx, updateTime, "the verdict about "+version, func() bool {
		return r.resting() && strings.Contains(r.field("last")+"/", mark+"/")
	})
	r.Say("    %s in %.1f s", r.ends(), time.Since(began).Seconds())
	return err
}

func (r *rig) playHealthy(ctx context.Context) error {
	r.Chapter("Healthy update: 2.0.0, every write of the disk is recorded")
	if err := image.CopySparse(r.path("factory.img"), r.path("device.img")); err != nil {
		return err
	}
	if err := r.boot(ctx, r.path("device.img"), r.path("writes.log"), "healthy"); err != nil {
		return err
	}
	if err := r.until(ctx, bootTime, "the device's first status", r.resting); err != nil {
		return err
	}
	r.Say("    %s", r.status)
	err := r.update(ctx, "2.0.0", "zstd")
	r.Expect("healthy update", "updated/1; slot B runs, confirmed, B is next; 2 boots",
		fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	if err != nil {
		return err
	}
	r.Expect("evidence of it", "verified, nothing missing", r.chain(ctx))
	r.off()
	return r.keep(disk.Healthy())
}

// keep takes a recording into the list.
func (r *rig) keep(rec *disk.Recording) error {
	n, err := disk.Entries(r.path(rec.Log))
	if err != nil {
		return err
	}
	rec.Entries = n
	r.recordings = append(r.recordings, rec)
	return nil
}

// again boots the device as it was left, and keeps its writes in log, "" for none.
func (r *rig) again(ctx context.Context, name, log string) error {
	if err := r.boot(ctx, r.path("device.img"), log, name); err != nil {
		return err
	}
	return r.until(ctx, bootTime, "the device's status", r.resting)
}

// on switches the device on where a scene before has not.
func (r *rig) on(ctx context.Context) error {
	if r.machine != nil {
		return nil
	}
	return r.again(ctx, "device", "")
}

func (r *rig) playSick(ctx context.Context) error {
	r.Chapter("Sick update: 3.0.0 boots, and its service does not answer")
	rec := disk.Sick()
	if err := image.CopySparse(r.path("device.img"), r.path(rec.Base)); err != nil {
		return err
	}
	if err := r.again(ctx, "sick", r.path(rec.Log)); err != nil {
		return err
	}
	err := errors.Join(r.update(ctx, "3.0.0", "none"), r.keep(rec))
	r.Expect("sick update", "reverted/2/health-failed; slot B runs, confirmed, B is next; 3 boots",
		fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	return err
}

func (r *rig) playPanic(ctx context.Context) error {
	r.Chapter("Kernel panic: 4.0.0 never reaches the agent")
	err := r.fallsBack(ctx, "kernel panic", "4.0.0", "trial-boots-exhausted")
	r.Expect("evidence of all", "verified, nothing missing", r.chain(ctx))
	return err
}

// fallsBack offers a version that never lasts, and expects the loader to use up its tries.
func (r *rig) fallsBack(ctx context.Context, what, version, why string) error {
	if err := r.on(ctx); err != nil {
		return err
	}
	if r.target.Forgets && why == "trial-boots-exhausted" {
		why = "fell-back"
	}
	r.boots = 0
	err := r.update(ctx, version, "none")
	r.Expect(what, fmt.Sprintf("reverted/%d/%s; slot B runs, confirmed, B is next; %d boots", r.sequence, why,
		r.target.Tries+1), fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	return err
}

func (r *rig) playHang(ctx context.Context) error {
	r.Chapter("Hang: the init of 5.0.0 hangs before the agent starts; the watchdog resets")
	return r.fallsBack(ctx, "hang before the agent", "5.0.0", "trial-boots-exhausted")
}

func (r *rig) playFreeze(ctx context.Context) error {
	r.Chapter("Hang: everything in 6.0.0 hangs after the agent has started; the watchdog resets")
	why := "trial-boots-exhausted"
	if r.target.Tries == 1 {
		why = "fell-back" // the agent was up in the only trial boot, so that it may have been the power
	}
	return r.fallsBack(ctx, "hang after the agent", "6.0.0", why)
}

func (r *rig) playDeaf(ctx context.Context) error {
	r.Chapter("Broker: 7.0.0 does not reach it")
	if err := r.on(ctx); err != nil {
		return err
	}
	r.boots = 0
	err := r.update(ctx, "7.0.0", "none")
	// The old system reaches the broker, so that the image is to blame.
	r.Expect("broker not reached", fmt.Sprintf("reverted/%d/health-failed; slot B runs, confirmed, B is next; 2 boots",
		r.sequence), fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	return err
}

func (r *rig) playDamaged(ctx context.Context) error {
	r.Chapter("Damaged image: the server sends other bytes than the manifest of 8.0.0 has")
	if err := r.on(ctx); err != nil {
		return err
	}
	r.boots = 0
	r.Net.Damage.Store(true)
	defer r.Net.Damage.Store(false)
	err := r.update(ctx, "8.0.0", "none")
	r.Expect("damaged image", fmt.Sprintf("failed/%d/image-corrupt; slot B runs, confirmed, B is next; 0 boots",
		r.sequence), fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	return err
}

func (r *rig) playForged(ctx context.Context) error {
	r.Chapter("Forged manifest: somebody changes 8.0.0 on its way")
	b, err := os.ReadFile(r.path("release-8.0.0.suit"))
	if err != nil {
		return err
	}
	b[len(b)-20] ^= 1
	k := r.Net.Count()
	if err := r.Net.Inject(wire.DeviceTopic(stage.DeviceName, wire.Offer), b); err != nil {
		return err
	}
	got := "no answer"
	err = r.WaitFor(ctx, bootTime, "a refusal", func() bool {
		for _, rec := range r.Net.Since(k) {
			if rec.Kind == evidence.KindDecision && rec.To == "refuse" {
				got = string(rec.Reason)
			}
		}
		return got != "no answer"
	})
	r.Expect("forged manifest", "digest-mismatch", got)
	r.Expect("evidence of everything", "verified, nothing missing", r.chain(ctx))
	return errors.Join(err, r.Net.Inject(wire.DeviceTopic(stage.DeviceName, wire.Offer), nil))
}

// chain has the device send all of its evidence again and holds it, as one chain, against its key.
func (r *rig) chain(ctx context.Context) string {
	if err := r.Net.Resend(); err != nil {
		return err.Error()
	}
	head, err := strconv.ParseUint(r.field("seq"), 10, 64)
	if err != nil || head == 0 {
		return "the device has no evidence"
	}
	keys, err := r.deviceKeys()
	if err != nil {
		return err.Error()
	}
	for end := time.Now().Add(chainTime); ; time.Sleep(100 * time.Millisecond) {
		all, chains, last := r.Net.Export()
		s, err := export.Verify(bytes.NewReader(all), keys, nil)
		switch {
		case err == nil && chains == 1 && last >= head && s.Missing() == 0:
			return "verified, nothing missing"
		case time.Now().After(end) || ctx.Err() != nil:
			return fmt.Sprintf("%d records of %d in %d chains, %d missing (%v)",
				s.Records, head, chains, s.Missing(), err)
		}
	}
}

func (r *rig) deviceKeys() (trust.Keys, error) {
	b, err := os.ReadFile(r.path("device.pem"))
	if err != nil {
		return trust.Keys{}, err
	}
	key, err := trust.ParsePublic(b)
	if err != nil {
		return trust.Keys{}, err
	}
	return trust.NewKeys([]trust.Key{key}, false)
}
