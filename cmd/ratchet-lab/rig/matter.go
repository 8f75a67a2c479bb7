package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// killWithin is the longest while after the device told of a phase until it is killed.
const killWithin = time.Second

// anchorFile is what the desk has for the image to trust.
func (r *rig) anchorFile() string {
	if r.target.Rooted {
		return filepath.Join(r.Desk(), "root-bundle.cbor")
	}
	return filepath.Join(r.Desk(), "keys", "release.pub.pem")
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
	return r.Campaign(ctx, fmt.Sprintf("%s-%d", version, r.plans),
		r.path("release-"+version+".suit"), "gateway-v1", r.plans)
}

// playKills kills QEMU in each phase of an update, a seeded while after the device has told of it. The
// host keeps what QEMU has written, so that this is no more than smoke: the power cuts on the log of
// writes are the proof.
func (r *rig) playKills(ctx context.Context) error {
	r.Chapter(fmt.Sprintf("QEMU is killed in each phase of an update, seed %d", r.o.Seed))
	if err := r.fresh(ctx, "whole"); err != nil {
		return err
	}
	if err := r.update(ctx, "2.0.0", "none"); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(uint64(r.o.Seed), 9))
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
	r.Expect("killed in each phase", fmt.Sprintf("%d of %d end updated, evidence verified", len(phases), len(phases)),
		fmt.Sprintf("%d of %d end updated, evidence verified", good, len(phases)))
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
	order := []string{"preparing", "writing", "checking", "ready", "arming", "rebooting", "trial", "confirming",
		"sealing"}
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
	// This takes the power away first.
	if err := r.boot(ctx, r.path("device.img"), "", fmt.Sprintf("after-kill-%d", i)); err != nil {
		return "", err
	}
	err := r.until(ctx, updateTime, "the device to put itself right", func() bool {
		return r.resting() && r.field("last") == "updated/1" && r.field("confirmed") == "true"
	})
	end := r.ends() + "; " + r.chain(ctx)
	r.Say("    killed %d ms after it told of phase %s: %s", while.Milliseconds(), told, end)
	return end, err
}
