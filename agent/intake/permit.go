package intake

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Challenge opens a new challenge, which voids the one before. It returns the version of the root and the
// text that a person copies.
func (in *Intake) Challenge(state life.State, actor string) (version uint64, text string, c Change, err error) {
	if !in.Rooted() {
		return 0, "", c, &Refused{Reason: reason.PermitVoid,
			Detail: "this device has no trust root, and so nobody who could permit anything"}
	}
	ch := campaign.Challenge{Device: in.o.Device, RootVersion: in.book.Root.Version()}
	copy(ch.Journal[:], in.o.Store.Head().Chain)
	if _, err := rand.Read(ch.Nonce[:]); err != nil {
		return 0, "", c, fmt.Errorf("cannot make a challenge: %w", err)
	}
	if text, err = ch.Text(); err != nil {
		return 0, "", c, err
	}
	c = Change{State: state, book: in.book, Ops: []life.Op{store.PutChallenge{Text: text}},
		Events: []evidence.Event{{Kind: evidence.KindOperator, To: "challenge", Actor: actor}}}
	return ch.RootVersion, text, c, nil
}

// Permit reads a permit that answers the open challenge. It is used by the next local install of the manifest
// that it names. With an error that says why it is refused, the change has that on record.
//
// Crash: one transaction -> before: the challenge is open; after: it is answered, and answers nothing else.
func (in *Intake) Permit(state life.State, document []byte, actor string) (campaign.Permit, Change, error) {
	c := Change{State: state, book: in.book}
	text, ok := in.o.Store.Challenge()
	if !ok {
		return campaign.Permit{}, c,
			&Refused{Reason: reason.PermitVoid, Detail: "no challenge is open; ask for one first"}
	}
	p, err := in.verifyPermit(document, text)
	if err == nil && in.used(text) {
		err = &campaign.Refusal{Reason: reason.PermitVoid, Detail: "it was used before"}
	}
	if err != nil {
		why := refusal(err)
		var no *campaign.Refusal
		if errors.As(err, &no) {
			why = no.Reason
		}
		c.Events = []evidence.Event{{Kind: evidence.KindDecision, Reason: why, To: "refuse", Actor: actor,
			Detail: map[string]string{"document": "permit", "why": err.Error()}}}
		return campaign.Permit{}, c, &Refused{Reason: why, Detail: err.Error()}
	}
	s := p.Spec()
	c.State.Permitted = s.Manifest.String()
	c.Events = []evidence.Event{{Kind: evidence.KindOperator, Reason: reason.Permitted, To: "permitted", Actor: actor,
		Manifest: s.Manifest.String(), Detail: map[string]string{
			"lifts": strings.Join(Lifts(p), " "), "signers": strings.Join(p.Signers(), " ")}}}
	c.Ops = []life.Op{store.PutChallenge{}, store.PutPermit{Permit: store.Permit{Document: document, Challenge: text}}}
	return p, c, nil
}

// Lifts names the rules that a permit lifts.
//
//go:noinline
func Lifts(p campaign.Permit) (lifts []string) {
	for _, l := range p.Spec().Lifts {
		lifts = append(lifts, string(l))
	}
	return lifts
}

// Permitted is the manifest that a permit allows, "" for none.
func (in *Intake) Permitted() string {
	if p := in.permit(); !p.IsZero() {
		return p.Spec().Manifest.String()
	}
	return ""
}

// permit is the permit that is not used up, as far as it holds under the root of this moment. It is read from the
// journal and verified each time that it is used: nothing in memory can hold when the journal no longer does.
func (in *Intake) permit() campaign.Permit {
	p, ok := in.o.Store.Permit()
	if !ok || !in.Rooted() || in.used(p.Challenge) {
		return campaign.Permit{}
	}
	permit, _ := in.verifyPermit(p.Document, p.Challenge)
	return permit
}

// used tells whether the permit that answered a challenge was used, whatever the journal says.
func (in *Intake) used(challenge string) bool { return in.o.Used != nil && in.o.Used(challenge) }

func (in *Intake) verifyPermit(document []byte, challenge string) (campaign.Permit, error) {
	if why, text := in.rear(); why != reason.None {
		return campaign.Permit{}, &campaign.Refusal{Reason: why, Detail: text}
	}
	c, err := campaign.ParseChallenge(challenge)
	if err != nil {
		return campaign.Permit{}, err
	}
	return campaign.VerifyPermit(in.book.Root, document, c)
}

// challengeOf is the challenge that a stored permit answers; one that cannot be read answers nothing.
func challengeOf(p store.Permit) campaign.Challenge {
	c, _ := campaign.ParseChallenge(p.Challenge)
	return c
}
