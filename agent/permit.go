package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Challenge opens a new challenge, which voids the one before, and returns it as a person copies it.
func (a *Agent) Challenge(ctx context.Context, actor string) (control.Challenge, error) {
	var out control.Challenge
	err := a.do(ctx, func(context.Context) error {
		if !a.who.rooted() {
			return &Refused{Reason: reason.PermitVoid, Detail: "this device has no trust root, and so nobody who could permit anything"}
		}
		c := campaign.Challenge{Device: a.o.Device, RootVersion: a.who.Root.Version()}
		copy(c.Journal[:], a.st.Head().Chain)
		if _, err := rand.Read(c.Nonce[:]); err != nil {
			return fmt.Errorf("cannot make a challenge: %w", err)
		}
		text, err := c.Text()
		if err != nil {
			return err
		}
		out = control.Challenge{Schema: control.Schema, Challenge: text, Device: a.o.Device, RootVersion: c.RootVersion}
		return a.note(evidence.Event{Kind: evidence.KindOperator, To: "challenge", Actor: actor}, store.PutChallenge{Text: text})
	})
	return out, err
}

// Permit takes a permit that answers the open challenge. It is used by the next local install of the
// manifest that it names.
func (a *Agent) Permit(ctx context.Context, document []byte, actor string) (control.Done, error) {
	done := control.Done{Schema: control.Schema}
	err := a.do(ctx, func(context.Context) error {
		text, ok := a.st.Challenge()
		if !ok {
			return &Refused{Reason: reason.PermitVoid, Detail: "no challenge is open; ask for one first"}
		}
		p, err := a.verifyPermit(document, text)
		if err != nil {
			var r *campaign.Refusal
			why := refusal(err)
			if errors.As(err, &r) {
				why = r.Reason
			}
			return errors.Join(a.note(evidence.Event{Kind: evidence.KindDecision, Reason: why, To: "refuse", Actor: actor, Detail: map[string]string{"document": "permit", "why": err.Error()}}),
				&Refused{Reason: why, Detail: err.Error()})
		}
		var lifts []string
		for _, l := range p.Spec().Lifts {
			lifts = append(lifts, string(l))
		}
		done.Reason = reason.Permitted
		done.Says = fmt.Sprintf("The permit is good: the next `ratchet install` of %s may go on although these rules forbid it: %s.", p.Spec().Manifest, strings.Join(lifts, ", "))
		// Crash: one transaction -> before: the challenge is open; after: it is answered, and answers nothing else.
		err = a.note(evidence.Event{Kind: evidence.KindOperator, Reason: reason.Permitted, To: "permitted", Actor: actor, Manifest: p.Spec().Manifest.String(),
			Detail: map[string]string{"lifts": strings.Join(lifts, " "), "signers": strings.Join(p.Signers(), " ")}},
			store.PutChallenge{}, store.PutPermit{Permit: store.Permit{Document: document, Challenge: text}})
		if err == nil {
			a.permit, a.s.Permitted = p, p.Spec().Manifest.String()
		}
		return err
	})
	return done, err
}

func (a *Agent) verifyPermit(document []byte, challenge string) (campaign.Permit, error) {
	c, err := campaign.ParseChallenge(challenge)
	if err != nil {
		return campaign.Permit{}, err
	}
	return campaign.VerifyPermit(a.who.Root, document, c)
}

// openPermit takes a permit up again after a restart, as far as it still holds.
func (a *Agent) openPermit() {
	if s, ok := a.st.Permit(); ok && a.who.rooted() {
		if a.permit, _ = a.verifyPermit(s.Document, s.Challenge); !a.permit.IsZero() {
			a.s.Permitted = a.permit.Spec().Manifest.String()
		}
	}
}
