package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/slots"
)

// LocalInstall is an update that a technician hands over at the console.
type LocalInstall struct {
	Envelope []byte
	Name     string                  // file name, for evidence
	Actor    string                  // "uid 0 (pid 123)"
	Payloads map[string]slots.Source // by PayloadName of the URI; nil in a check
}

// Check verifies a local install and says what it would do and need. Nothing is written.
func (a *Agent) Check(ctx context.Context, l LocalInstall) (control.InstallCheck, error) {
	var out control.InstallCheck
	err := a.ask(ctx, func(context.Context) error {
		if a.rec.Phase != Idle {
			return &Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(a.rec.Phase)}
		}
		m, err := a.verify(offer{envelope: l.Envelope, origin: l.Actor + " file:" + l.Name, console: true})
		if err != nil {
			return err
		}
		target := a.other(a.run)
		d := a.decide(m, policy.Download, true, target)
		out = control.InstallCheck{Schema: control.Schema, Outcome: d.Outcome.String(), Manifest: m.Digest().String(), Sequence: m.Sequence(),
			Version: version(m), Description: m.Description("en"), Signers: m.Signers(), Target: string(target.Name), Need: []control.Payload{}}
		for _, f := range d.Findings {
			i := f.Reason.Info()
			says := i.Says
			if f.Detail != "" {
				says += " (" + f.Detail + ")"
			}
			out.Findings = append(out.Findings, control.Finding{Reason: f.Reason, Says: says, Advice: i.Advice, Final: f.Final})
		}
		for _, n := range d.Needs {
			out.Need = append(out.Need, control.Payload{Name: PayloadName(n.URI), Component: n.Component, Bytes: n.Bytes})
		}
		return nil
	})
	return out, err
}

// Install begins a local install, and follows it until the machine is told to reboot or the update
// has ended. show is called with progress.
func (a *Agent) Install(ctx context.Context, l LocalInstall, show func(control.Progress)) (control.Done, error) {
	if l.Payloads == nil {
		l.Payloads = map[string]slots.Source{}
	}
	err := a.ask(ctx, func(context.Context) error {
		if a.rec.Phase != Idle {
			return &Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(a.rec.Phase)}
		}
		return a.consider(offer{envelope: l.Envelope, origin: l.Actor + " file:" + l.Name, local: l.Payloads, console: true})
	})
	if err != nil {
		return control.Done{}, err
	}
	return a.follow(ctx, show)
}

// follow watches an update that was begun until it is out of this boot's hands. Idle means that it has
// ended already: a failure may be quicker than the first look.
func (a *Agent) follow(ctx context.Context, show func(control.Progress)) (control.Done, error) {
	for {
		s := a.snapshot()
		switch {
		case s.phase == Rebooting:
			return control.Done{Schema: control.Schema, Result: "rebooting", Reboots: true,
				Says: fmt.Sprintf("Slot %s is armed; the machine reboots into it for its trial.", s.rec.Target)}, nil
		case s.phase == Idle:
			var o Outcome
			a.st.load(keyOutcome, &o)
			return control.Done{}, &Refused{Reason: o.Reason, Detail: o.Detail, Deferred: o.Result == "deferred"}
		}
		show(a.nowProgress())
		select {
		case <-ctx.Done():
			return control.Done{}, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// Confirm ends a trial at once, on an operator's word.
func (a *Agent) Confirm(ctx context.Context, actor, note string) (control.Done, error) {
	err := a.ask(ctx, func(context.Context) error {
		switch {
		case a.hold != "":
			return &Refused{Reason: a.hold, Detail: "nothing is changed in this boot"}
		case a.rec.Phase != Trial:
			return &Refused{Reason: reason.NothingToDo, Detail: "nothing is on trial; the phase is " + string(a.rec.Phase)}
		}
		return a.move(Confirming, reason.OperatorConfirm, func(r *Record) { r.Ext.Cause = reason.OperatorConfirm }, evidence.Event{Kind: evidence.KindOperator, Actor: actor, Detail: noted(note)})
	})
	return control.Done{Schema: control.Schema, Says: "The running system is being confirmed without waiting for its health checks."}, err
}

// Revert goes back to what the other slot holds, or ends an update that is not armed yet.
func (a *Agent) Revert(ctx context.Context, actor, note string) (control.Done, error) {
	if p := a.snapshot().phase; p == Preparing || p == Writing || p == Checking {
		by := actor
		if note != "" {
			by += ": " + note
		}
		if a.abort.fire(by) {
			return control.Done{Schema: control.Schema, Says: "The update in progress is ended; the running system was not touched."}, nil
		}
	}
	done := control.Done{Schema: control.Schema}
	err := a.ask(ctx, func(ctx context.Context) error {
		e := evidence.Event{Kind: evidence.KindOperator, To: "revert", Actor: actor, Detail: noted(note)}
		switch p := a.rec.Phase; {
		case a.hold != "":
			return &Refused{Reason: a.hold, Detail: "nothing is changed in this boot"}
		case p == Trial:
			done.Reboots = true
			done.Says = fmt.Sprintf("The trial of slot %s is ended; the machine reboots into slot %s.", a.rec.Target, a.other(a.rec.Target).Name)
			return a.move(Reverting, reason.OperatorRevert, func(r *Record) { r.Ext.Cause = reason.OperatorRevert }, e)
		case p.beforeArm(): // no action is in progress, or it would have been ended above
			done.Says = "The update is ended before it was armed; the running system was not touched."
			return errors.Join(a.note(e), a.aborted(actor))
		case p == Idle:
			done.Reboots = true
			done.Says = fmt.Sprintf("Slot %s is checked, and then tried like an update.", a.other(a.run).Name)
			return a.goBack(ctx, e)
		}
		return &Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(a.rec.Phase)}
	})
	return done, err
}

// goBack takes the other slot up as if it had just been written: it is read back against what it is
// known to hold, armed, tried and confirmed or left again (loss 25).
func (a *Agent) goBack(ctx context.Context, e evidence.Event) error {
	if a.hold != "" || len(a.safe) > 0 || a.run == "" {
		return &Refused{Reason: reason.RunningUnproven, Detail: "the device is not in a state to go back"}
	}
	target := a.other(a.run)
	var c SlotContent
	if a.st.load(prefixSlot+string(target.Name), &c) && !c.Confirmed {
		return &Refused{Reason: reason.RevertImpossible, Detail: "what slot " + string(target.Name) + " holds was never confirmed here"}
	}
	st, err := a.o.Boot.State(ctx)
	if err != nil {
		return &Refused{Reason: reason.BootMetadataInvalid, Detail: err.Error()}
	}
	if !st.Slots[a.run].Confirmed {
		return &Refused{Reason: reason.RunningUnconfirmed, Detail: "slot " + string(a.run)}
	}
	if t := st.Slots[target.Name]; len(c.Images) == 0 && !(t.Bootable && t.Confirmed) {
		return &Refused{Reason: reason.RevertImpossible, Detail: "slot " + string(target.Name) + " is disabled, and what it holds is not known"}
	}
	if a.who.rooted() && len(c.Images) > 0 {
		lowest, _ := a.who.Root.SequenceRange(a.o.RootComponent)
		switch {
		case a.who.Root.Revoked(c.Manifest):
			return &Refused{Reason: reason.Revoked, Detail: "what slot " + string(target.Name) + " holds"}
		case c.Sequence < lowest:
			return &Refused{Reason: reason.SequenceOutOfRange, Detail: fmt.Sprintf("slot %s holds %d, the root admits %d and higher", target.Name, c.Sequence, lowest)}
		}
	}
	return a.move(Checking, reason.OperatorRevert, func(r *Record) {
		*r = Record{Phase: Checking, Target: target.Name, Digest: c.Manifest, Ext: Ext{BootID: a.bootID, Origin: a.run,
			Sequence: c.Sequence, Version: c.Version, Images: c.Images, Revert: true}}
	}, e)
}

// Approve gives a person's consent to one manifest, by digest, or to the one that waits.
func (a *Agent) Approve(ctx context.Context, digest, actor, note string) (control.Done, error) {
	err := a.ask(ctx, func(ctx context.Context) error {
		var w storedOffer
		waits := a.st.load(keyWaiting, &w) && w.Digest != a.rec.Digest // else it is in progress
		switch {
		case digest == "" && a.rec.Phase == Ready:
			digest = a.rec.Digest
		case digest == "" && waits:
			digest = w.Digest
		case digest == "":
			return &Refused{Reason: reason.NothingToDo, Detail: "no update waits for approval"}
		}
		if _, err := manifest.ParseDigest(digest); err != nil {
			return &Refused{Reason: reason.RequestBad, Detail: err.Error()}
		}
		var final storedVerdict
		if digest != a.rec.Digest && !(waits && digest == w.Digest) && !a.st.load(prefixFinal+digest, &final) {
			// There is room for one approval: it is not wasted on what nobody offers.
			return &Refused{Reason: reason.NothingToDo, Detail: "no update with this digest was offered here"}
		}
		e := evidence.Event{Kind: evidence.KindOperator, To: "approved", Actor: actor, Manifest: digest, Detail: noted(note)}
		err := a.note(e, func(tx journal.Tx) error {
			return errors.Join(put(tx, keyApproved, digest), tx.Delete(journal.State, prefixFinal+digest))
		})
		if err == nil && a.rec.Phase == Idle {
			a.wakeWaiting()
		}
		return err
	})
	return control.Done{Schema: control.Schema, Says: "The update is approved; it goes on when nothing else stands against it."}, err
}

func noted(note string) map[string]string {
	if note == "" {
		return nil
	}
	return map[string]string{"note": note}
}

// Export writes the evidence from a sequence number on, signed, as a CBOR sequence. Records that a
// device without a key cannot sign are left out and counted.
func (a *Agent) Export(ctx context.Context, w io.Writer, from uint64) (control.EvidenceExport, error) {
	out := control.EvidenceExport{Schema: control.Schema}
	head := a.st.lastSeq()
	out.Chain = fmt.Sprintf("%x", head.Chain)
	for next := max(from, head.First, 1); next <= head.Seq && ctx.Err() == nil; {
		type item struct {
			seq uint64
			rec []byte
		}
		var batch []item
		err := a.st.records(next, func(seq uint64, rec []byte) bool {
			batch = append(batch, item{seq, append([]byte(nil), rec...)})
			return len(batch) < drainBatch
		})
		if err != nil {
			return out, fmt.Errorf("cannot export evidence: %w", err)
		}
		if len(batch) == 0 {
			break
		}
		for _, i := range batch {
			next = i.seq + 1
			if a.o.Signer == nil {
				out.Unsigned++
				continue
			}
			msg, err := evidence.Sign(i.rec, a.o.Signer)
			if err != nil {
				return out, fmt.Errorf("cannot export evidence: %w", err)
			}
			if _, err := w.Write(msg); err != nil {
				return out, fmt.Errorf("cannot export evidence: %w", err)
			}
			if out.First == 0 {
				out.First = i.seq
			}
			out.Last = i.seq
			out.Records++
			out.Bytes += int64(len(msg))
		}
	}
	return out, ctx.Err()
}
