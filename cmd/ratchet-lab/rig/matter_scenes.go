package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// playCounter: the counter is made on the first start, as in a factory, and raised by an update.
func (r *rig) playCounter(ctx context.Context) error {
	r.Chapter("TPM: 2.0.0 under a trust root, which the TPM counts")
	if err := r.fresh(ctx, "counter"); err != nil {
		return err
	}
	r.Expect("counter as made", "tpm2-nv/0", r.field("counter"))
	if err := r.offerRooted(ctx, "2.0.0"); err != nil {
		return err
	}
	err := r.verdict(ctx, "2.0.0")
	r.Expect("update under root 1", "updated/1; slot B runs, confirmed, B is next; counter tpm2-nv/1",
		r.ends()+"; counter "+r.field("counter"))
	r.Expect("the counter in evidence", "tpm2-nv at 1", r.noted())
	return err
}

// playNewRoot: a root of version 2 is announced, and the next update raises the counter to it.
func (r *rig) playNewRoot(ctx context.Context) error {
	r.Chapter("TPM: the trust root is rotated; 3.0.0 under root 2")
	root := filepath.Join(r.Desk(), "root-2.cbor")
	for _, args := range [][]string{{"root", "rotate", "--dir", r.Desk()},
		{"root", "sign", "--key", filepath.Join(r.Desk(), "keys", "root.pem"), root},
		{"announce", "--dir", r.Desk(), filepath.Join(r.Desk(), "root-bundle.cbor")}} {
		if err := r.RunDesk(ctx, args...); err != nil {
			return err
		}
	}
	if err := r.offerRooted(ctx, "3.0.0"); err != nil {
		return err
	}
	err := r.verdict(ctx, "3.0.0")
	r.Expect("update under root 2", "updated/2; slot A runs, confirmed, A is next; counter tpm2-nv/2",
		r.ends()+"; counter "+r.field("counter"))
	r.Expect("the counter in evidence", "tpm2-nv at 2", r.noted())
	r.Expect("evidence of both", "verified, nothing missing", r.chain(ctx))
	return err
}

// playOldState: somebody puts the whole disk back to how it left the factory, and keeps the new root
// from the device. The disk knows of root 1 only; the TPM knows better.
func (r *rig) playOldState(ctx context.Context) error {
	r.Chapter("TPM: the factory's disk is put back, and the new root is withheld")
	bundle, err := os.ReadFile(filepath.Join(r.Desk(), "root-bundle.cbor"))
	if err != nil {
		return err
	}
	r.off()
	if err := errors.Join(r.Net.Inject(wire.RootTopic(), nil), r.Net.Inject(wire.RootVersionTopic(2), nil),
		image.CopySparse(r.path("factory.img"), r.path("device.img"))); err != nil {
		return err
	}
	r.Net.Forget()
	if err := r.boot(ctx, r.path("device.img"), "", "old-state"); err != nil {
		return err
	}
	if err := r.until(ctx, bootTime, "the device's status",
		func() bool { return r.field("counter") == "tpm2-nv/2" }); err != nil {
		return err
	}
	got := "no answer"
	err = r.records(ctx, 0, "a decision", func(rec evidence.Record) bool {
		if rec.Kind == evidence.KindDecision {
			got = rec.To + " " + string(rec.Reason)
			if _, behind := rec.Detail["root-behind"]; behind {
				got = rec.To + " root-behind"
			}
		}
		return strings.Contains(got, "root-behind")
	})
	r.Expect("an old disk, the root withheld", "defer root-behind", got)
	if err != nil {
		return err
	}
	if err := r.Net.Inject(wire.RootTopic(), bundle); err != nil {
		return err
	}
	err = r.until(ctx, updateTime, "the verdict about 3.0.0",
		func() bool { return r.resting() && r.field("last") == "updated/2" })
	r.Expect("the root is back", "updated/2; slot B runs, confirmed, B is next; counter tpm2-nv/2",
		r.ends()+"; counter "+r.field("counter"))
	r.Expect("evidence of it", "verified, nothing missing", r.chain(ctx))
	return err
}

// verdict waits for the device's verdict about what was offered last.
func (r *rig) verdict(ctx context.Context, version string) error {
	mark := fmt.Sprintf("/%d/", r.sequence)
	return r.until(ctx, updateTime, "the verdict about "+version, func() bool {
		return r.resting() && strings.Contains(r.field("last")+"/", mark)
	})
}

// noted is what the last verdict on record says of the counter.
func (r *rig) noted() string {
	said := "nothing"
	for _, rec := range r.Net.Since(0) {
		if rec.Kind == evidence.KindVerdict && rec.Detail["counter"] != "" {
			said = rec.Detail["counter"]
		}
	}
	return said
}

// playSeize: the kernel of the new system stops for good before any user space that could feed or arm
// anything but the initramfs. Only hardware resets it.
func (r *rig) playSeize(ctx context.Context) error {
	r.Chapter("Watchdog: the kernel of 2.0.0 seizes up, with panic=0; the i6300esb resets")
	if err := r.fresh(ctx, "seize"); err != nil {
		return err
	}
	r.boots = 0
	err := r.update(ctx, "2.0.0", "none")
	r.Expect("seized kernel", "reverted/1/trial-boots-exhausted; slot A runs, confirmed, A is next; 2 boots",
		fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	armed := "nobody"
	for _, line := range r.said {
		if _, who, ok := strings.Cut(line, "armed by "); ok {
			armed = who
		}
	}
	r.Expect("armed by", "the initramfs: i6300ESB timer; the kernel seizes up", armed)
	return err
}

// playOrphan: in the trial somebody kills the agent, and all else goes on: nobody is left to confirm or
// to revert. The agent's own watchdog is still armed. The offer is tried once more by itself, since that
// may have been the power, and then no more, whatever the manifest.
func (r *rig) playOrphan(ctx context.Context) error {
	r.Chapter("Confirm never comes: the agent of 2.0.0 is killed in the trial")
	if err := r.fresh(ctx, "orphan"); err != nil {
		return err
	}
	r.boots = 0
	err := r.update(ctx, "2.0.0", "none")
	r.Expect("agent killed in the trial", "reverted/1/fell-back; slot A runs, confirmed, A is next; 2 boots",
		fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	if err != nil {
		return err
	}
	err = r.until(ctx, updateTime, "the second try", func() bool { return r.field("phase") != "idle" })
	if err == nil {
		err = r.until(ctx, updateTime, "its verdict", r.resting)
	}
	r.Expect("tried once more by itself", "reverted/1/fell-back; slot A runs, confirmed, A is next; 4 boots",
		fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	if err != nil {
		return err
	}
	return r.neverAgain(ctx, "the same image in another release", "2.0.0")
}

// unsay removes a signed release, which the desk would not write over, so that its image can be
// released again under the next sequence number.
func (r *rig) unsay(version string) error {
	return os.RemoveAll(r.path("release-" + version + ".suit"))
}

// neverAgain offers a quarantined image under another manifest.
func (r *rig) neverAgain(ctx context.Context, what, version string) error {
	k := r.Net.Count()
	r.boots = 0
	if err := errors.Join(r.unsay(version), r.offer(ctx, version, "none")); err != nil {
		return err
	}
	got := "no answer"
	err := r.records(ctx, k, "a decision", func(rec evidence.Record) bool {
		if rec.Kind == evidence.KindDecision && rec.Sequence == uint64(r.sequence) {
			got = rec.To + " " + string(rec.Reason)
		}
		return got != "no answer"
	})
	r.Expect(what, "refuse quarantined; 0 boots", fmt.Sprintf("%s; %d boots", got, r.boots))
	r.Expect("evidence of it", "verified, nothing missing", r.chain(ctx))
	return err
}

// playUndecided: a health check of the new system never answers.
func (r *rig) playUndecided(ctx context.Context) error {
	r.Chapter("Confirm never comes: the health check of 3.0.0 never answers")
	r.boots = 0
	err := r.update(ctx, "3.0.0", "none")
	r.Expect("health never decides",
		fmt.Sprintf("reverted/%d/health-failed; slot A runs, confirmed, A is next; 2 boots", r.sequence),
		fmt.Sprintf("%s; %d boots", r.ends(), r.boots))
	if err != nil {
		return err
	}
	return r.neverAgain(ctx, "the same image in another release", "3.0.0")
}

// play1970: no clock at all, and servers whose certificates begin half a century later.
func (r *rig) play1970(ctx context.Context) error {
	r.Chapter("No clock: 2.0.0 and a sick 3.0.0 on 1 January 1970")
	if err := r.fresh(ctx, "1970"); err != nil {
		return err
	}
	err := r.update(ctx, "2.0.0", "zstd")
	r.Expect("update without a clock", "updated/1; slot B runs, confirmed, B is next; time unknown",
		r.ends()+"; time "+r.field("time"))
	if err != nil {
		return err
	}
	err = r.update(ctx, "3.0.0", "none")
	r.Expect("sick update without a clock", "reverted/2/health-failed; slot B runs, confirmed, B is next; time unknown",
		r.ends()+"; time "+r.field("time"))
	marked, all := 0, 0
	for _, rec := range r.Net.Since(0) {
		all++
		if rec.Quality == "unknown" && rec.Wall.Year() == 1970 {
			marked++
		}
	}
	r.Expect("records marked with a time that is not known", fmt.Sprintf("all %d", all), fmt.Sprintf("all %d", marked))
	r.Expect("evidence of it", "verified, nothing missing", r.chain(ctx))
	return err
}
