package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
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
	_, err := a.ask(ctx, func(context.Context) (life.Event, error) {
		if err := a.mustBeIdle(); err != nil {
			return nil, err
		}
		o := l.offer()
		m, d, r := a.in.Check(a.s, o)
		if r.Unverified { // an attempt is on record, whoever made it
			a.in.Bring(o)
			return life.Decided{Moment: a.moment(), Ask: life.Ask{Offer: true}, Ruling: r}, nil
		}
		out = control.InstallCheck{Schema: control.Schema, Outcome: d.Outcome.String(), Manifest: m.Digest().String(), Sequence: m.Sequence(),
			Version: intake.Version(m), Description: m.Description("en"), Signers: m.Signers(), Target: string(a.other(a.s.Run).Name), Need: []control.Payload{}}
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
		return nil, nil
	})
	return out, err
}

func (a *Agent) mustBeIdle() error {
	if p := a.s.Rec.Phase; p != life.Idle {
		return &intake.Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(p)}
	}
	return nil
}

func (l LocalInstall) offer() intake.Offer {
	return intake.Offer{Envelope: l.Envelope, Origin: l.Actor + " file:" + l.Name, Payloads: l.Payloads, Console: true}
}

// Install begins a local install, and follows it until the machine is told to reboot or the update
// has ended. show is called with progress.
func (a *Agent) Install(ctx context.Context, l LocalInstall, show func(control.Progress)) (control.Done, error) {
	if l.Payloads == nil {
		l.Payloads = map[string]slots.Source{}
	}
	_, err := a.ask(ctx, func(ctx context.Context) (life.Event, error) {
		if err := a.mustBeIdle(); err != nil {
			return nil, err
		}
		a.in.Bring(l.offer())
		return a.decide(life.Ask{Stage: life.Download, Offer: true}), nil
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
		s := a.view.Snapshot()
		switch {
		case s.Phase == life.Rebooting:
			return control.Done{Schema: control.Schema, Result: "rebooting", Reboots: true,
				Says: fmt.Sprintf("Slot %s is armed; the machine reboots into it for its trial.", s.Rec.Target)}, nil
		case s.Phase == life.Idle:
			o, _ := a.st.Outcome()
			return control.Done{}, &intake.Refused{Reason: o.Reason, Detail: o.Detail, Deferred: o.Result == "deferred"}
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
	return a.person(ctx, life.Asked{Verb: life.VerbConfirm, Actor: actor, Note: note}, nil)
}

// Revert goes back to what the other slot holds, or ends an update that is not armed yet.
func (a *Agent) Revert(ctx context.Context, actor, note string) (control.Done, error) {
	if p := a.view.Snapshot().Phase; p == life.Preparing || p == life.Writing || p == life.Checking {
		by := actor
		if note != "" {
			by += ": " + note
		}
		if a.abort.fire(by) {
			return control.Done{Schema: control.Schema, Says: "The update in progress is ended; the running system was not touched."}, nil
		}
	}
	return a.person(ctx, life.Asked{Verb: life.VerbRevert, Actor: actor, Note: note}, func(ctx context.Context, e *life.Asked) error {
		if a.s.Rec.Phase != life.Idle || a.s.Run == "" {
			return nil
		}
		st, err := a.o.Boot.State(ctx)
		e.Boot, e.BootOK, e.BootText = st, err == nil, errText(err)
		e.Barred, e.BarredBy = a.in.Barred(a.other(a.s.Run).Name)
		return nil
	})
}

// Approve gives a person's consent to one manifest, by digest, or to the one that waits.
func (a *Agent) Approve(ctx context.Context, digest, actor, note string) (control.Done, error) {
	return a.person(ctx, life.Asked{Verb: life.VerbApprove, Actor: actor, Note: note, Digest: digest}, func(_ context.Context, e *life.Asked) error {
		if digest == "" {
			return nil
		}
		if _, err := manifest.ParseDigest(digest); err != nil {
			return &intake.Refused{Reason: reason.RequestBad, Detail: err.Error()}
		}
		_, e.Final = a.st.Verdict(digest)
		return nil
	})
}

// person asks the machine; fill adds what it needs to know.
func (a *Agent) person(ctx context.Context, e life.Asked, fill func(context.Context, *life.Asked) error) (control.Done, error) {
	is, err := a.ask(ctx, func(ctx context.Context) (life.Event, error) {
		e.Moment = a.moment()
		if fill != nil {
			if err := fill(ctx, &e); err != nil {
				return nil, err
			}
		}
		return e, nil
	})
	return control.Done{Schema: control.Schema, Says: is.Says, Reboots: is.Reboots}, err
}

// exportBatch is how many records are read from the journal at once.
const exportBatch = 16

// Export writes the evidence from a sequence number on, signed, as a CBOR sequence. Records that a
// device without a key cannot sign are left out and counted.
func (a *Agent) Export(ctx context.Context, w io.Writer, from uint64) (control.EvidenceExport, error) {
	out := control.EvidenceExport{Schema: control.Schema}
	head := a.st.Head()
	out.Chain = fmt.Sprintf("%x", head.Chain)
	for next := max(from, head.First, 1); next <= head.Seq && ctx.Err() == nil; {
		type item struct {
			seq uint64
			rec []byte
		}
		var batch []item
		err := a.st.Records(next, func(seq uint64, rec []byte) bool {
			batch = append(batch, item{seq, append([]byte(nil), rec...)})
			return len(batch) < exportBatch
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

// Challenge opens a new challenge, which voids the one before, and returns it as a person copies it.
func (a *Agent) Challenge(ctx context.Context, actor string) (control.Challenge, error) {
	out := control.Challenge{Schema: control.Schema, Device: a.o.Device}
	err := a.do(ctx, func(context.Context) error {
		version, text, c, err := a.in.Challenge(a.s, actor)
		if err != nil {
			return err
		}
		out.RootVersion, out.Challenge = version, text
		_, err = a.take(c)
		return err
	})
	if out.Challenge == "" {
		return control.Challenge{}, err
	}
	return out, err
}

// Permit takes a permit that answers the open challenge. It is used by the next local install of the
// manifest that it names.
func (a *Agent) Permit(ctx context.Context, document []byte, actor string) (control.Done, error) {
	done := control.Done{Schema: control.Schema}
	err := a.do(ctx, func(context.Context) error {
		p, c, refused := a.in.Permit(a.s, document, actor)
		if _, err := a.take(c); err != nil || refused != nil {
			return errors.Join(err, refused)
		}
		done.Reason = reason.Permitted
		done.Says = fmt.Sprintf("The permit is good: the next `ratchet install` of %s may go on although these rules forbid it: %s.",
			p.Spec().Manifest, strings.Join(intake.Lifts(p), ", "))
		return nil
	})
	return done, err
}
