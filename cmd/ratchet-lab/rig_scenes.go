package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Times are generous: the guests share a slow machine with others.
const (
	bootTime   = 90 * time.Second
	updateTime = 240 * time.Second
	chainTime  = 30 * time.Second
)

func (r *rig) hear(rec evidence.Record) {
	if line := storyLine(rec); line != "" && r.o.verbose {
		r.say("  device: %s", line)
	}
}

// offer builds, signs and publishes an image.
func (r *rig) offer(ctx context.Context, version, compress string) error {
	r.sequence++
	toml, suit := r.path("release-"+version+".toml"), r.path("release-"+version+".suit")
	text := fmt.Sprintf("version = %q\nsequence = %d\nclass = \"gateway-v1\"\n\n[[component]]\nname = \"rootfs\"\nfile = %q\ncompress = %q\n", version, r.sequence, r.image(version), compress)
	if err := os.WriteFile(toml, []byte(text), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{{"build", "--dir", r.desk(), "-o", suit, toml}, {"sign", "--dir", r.desk(), suit}, {"publish", "--dir", r.desk(), suit}} {
		if err := r.release(ctx, args...); err != nil {
			return err
		}
	}
	return nil
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
	r.say("    %s in %.1f s", r.ends(), time.Since(began).Seconds())
	return err
}

func (r *rig) playHealthy(ctx context.Context) error {
	r.chapter("Healthy update: 2.0.0, every write of the disk is recorded")
	if err := copySparse(r.path("factory.img"), r.path("device.img")); err != nil {
		return err
	}
	if err := r.boot(ctx, r.path("device.img"), r.path("writes.log"), "healthy"); err != nil {
		return err
	}
	if err := r.until(ctx, bootTime, "the device's first status", r.resting); err != nil {
		return err
	}
	r.say("    %s", r.status)
	err := r.update(ctx, "2.0.0", "zstd")
	r.expect("healthy update", "updated/1; slot B runs, confirmed, B is next; 2 boots", fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	if err != nil {
		return err
	}
	r.expect("evidence of it", "verified, nothing missing", r.chain(ctx))
	r.off()
	return nil
}

// again boots the device as it was left.
func (r *rig) again(ctx context.Context, name string) error {
	if err := r.boot(ctx, r.path("device.img"), "", name); err != nil {
		return err
	}
	return r.until(ctx, bootTime, "the device's status", r.resting)
}

func (r *rig) playSick(ctx context.Context) error {
	r.chapter("Sick update: 3.0.0 boots, and its service does not answer")
	if err := r.again(ctx, "sick"); err != nil {
		return err
	}
	err := r.update(ctx, "3.0.0", "none")
	r.expect("sick update", "reverted/2/health-failed; slot B runs, confirmed, B is next; 3 boots", fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	return err
}

func (r *rig) playPanic(ctx context.Context) error {
	r.chapter("Kernel panic: 4.0.0 never reaches the agent")
	tries := 3
	if !r.target.uboot() {
		tries = 1
	}
	r.boots = 0
	err := r.update(ctx, "4.0.0", "none")
	r.expect("kernel panic", fmt.Sprintf("reverted/3/trial-boots-exhausted; slot B runs, confirmed, B is next; %d boots", tries+1), fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	r.expect("evidence of all", "verified, nothing missing", r.chain(ctx))
	r.off()
	return err
}

// chain has the device send all of its evidence again and holds it, as one chain, against its key.
func (r *rig) chain(ctx context.Context) string {
	if err := r.net.resend(); err != nil {
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
		all, chains, last := r.net.export()
		s, err := evidence.VerifyExport(bytes.NewReader(all), keys, nil)
		switch {
		case err == nil && chains == 1 && last >= head && s.Missing() == 0:
			return "verified, nothing missing"
		case time.Now().After(end) || ctx.Err() != nil:
			return fmt.Sprintf("%d records of %d in %d chains, %d missing (%v)", s.Records, head, chains, s.Missing(), err)
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
