package intake

import (
	"crypto/sha256"
	"slices"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

var stages = map[life.Stage]policy.Stage{life.Download: policy.Download, life.Arm: policy.Arm}

// Decide decides the offer that was brought, or the one that waits. One that has a verdict already, or that
// something else stands before, is not asked about.
func (in *Intake) Decide(s life.State, ask life.Ask) life.Ruling {
	if ask.Waiting {
		in.offered = Offer{Envelope: s.Waiting.Envelope, Origin: "waiting"}
	}
	o := &in.offered
	m, r := in.verify(*o)
	if r.Unverified {
		if _, ok := s.Recorded(r.Garbage, in.o.Clock.Uptime()); ok { // a flood is not to fill the log either
			in.warn(r)
		}
		return r
	}
	o.manifest = m
	for _, c := range m.Components() {
		if name := c.String(); slices.Contains(s.Dev.Parts, name) {
			r.Writes = append(r.Writes, name)
		}
	}
	if !o.Console && !ask.Over {
		if why, ok := in.o.Store.Verdict(r.Digest); ok {
			in.o.Log.Debug("offer has a final verdict", "manifest", r.Digest, "reason", why)
			r.Settled = why
			return r
		}
		if r = s.Glance(r, in.o.Clock.Uptime()); r.Early || r.Passed {
			return r
		}
	}
	f := in.facts(s, m, in.o.Measure(Target(s)))
	d := in.decide(policy.Offer{Manifest: m, Stage: stages[ask.Stage], Local: o.Console}, f)
	return ruling(r, d)
}

// Again decides the update in progress once more, at a stop point, and returns the plan to go on by. An operator's
// way back has no manifest to decide: the root is asked about what the slot holds.
func (in *Intake) Again(s life.State, ask life.Ask) (life.Ruling, policy.Plan) {
	if s.Rec.Ext.Revert {
		if why, text := in.Barred(s.Rec.Target); why != reason.None {
			no := life.Ruling{Outcome: life.Refuse, Why: why, Said: text, First: text, Rules: string(why)}
			return no, policy.Plan{}
		}
		return life.Ruling{Outcome: life.Install}, policy.Plan{}
	}
	m, r := in.verify(Offer{Envelope: in.o.Store.Document(store.Envelope), Origin: "journal"})
	if r.Unverified {
		in.warn(r)
		return r, policy.Plan{}
	}
	if r.Digest != s.Rec.Digest {
		none := []policy.Finding{{Reason: reason.DigestMismatch, Final: true}}
		return ruling(r, policy.Decision{Outcome: policy.Refuse, Findings: none}), policy.Plan{}
	}
	o := policy.Offer{Manifest: m, Stage: stages[ask.Stage], Local: s.Rec.Ext.Local}
	f := in.facts(s, m, in.o.Measure(s.Rec.Target))
	d := in.decide(o, f)
	return ruling(r, d), d.Plan
}

// Forbids tells whether what was taken since an action of the update in progress began stops that action, and why: the
// outcome, the reason and the findings of the ruling are set. permitted: it began under a permit. The machine is taken
// as it was at the last stop point, for what the moment has against the update is asked at the next one.
func (in *Intake) Forbids(s life.State, permitted bool, machine Machine) (life.Ruling, bool) {
	if s.Rec.Ext.Revert {
		r, _ := in.Again(s, life.Ask{})
		return r, r.Outcome != life.Install
	}
	m, r := in.verify(Offer{Envelope: in.o.Store.Document(store.Envelope), Origin: "journal"})
	if r.Unverified {
		return r, r.Why.Info().Stops
	}
	lost := permitted && in.Permitted() != s.Rec.Digest
	d := in.decide(policy.Offer{Manifest: m, Local: s.Rec.Ext.Local}, in.facts(s, m, machine))
	d = d.Only(func(why reason.Reason) bool { return why.Info().Stops || lost && campaign.Liftable(why) })
	return ruling(r, d), d.Outcome != policy.Install
}

// Check says what would be decided about an offer that a person hands over, and what it needs. When it cannot
// be verified, the ruling says why.
func (in *Intake) Check(s life.State, o Offer) (manifest.Manifest, policy.Decision, life.Ruling) {
	m, r := in.verify(o)
	if r.Unverified {
		in.warn(r)
		return m, policy.Decision{}, r
	}
	f := in.facts(s, m, in.o.Measure(Target(s)))
	return m, in.decide(policy.Offer{Manifest: m, Stage: policy.Download, Local: true}, f), r
}

func (in *Intake) decide(o policy.Offer, f policy.Facts) policy.Decision {
	return policy.Decide(o, in.standing(), in.permit(), f)
}

// verify turns bytes into a manifest, or says why they are none.
func (in *Intake) verify(o Offer) (manifest.Manifest, life.Ruling) {
	r := life.Ruling{Envelope: o.Envelope, Origin: o.Origin, Console: o.Console}
	env, err := manifest.Parse(o.Envelope)
	if err == nil {
		var m manifest.Manifest
		if m, err = manifest.Verify(env, in.authority()); err == nil {
			r.Digest, r.Sequence, r.Version = m.Digest().String(), m.Sequence(), Version(m)
			r.Garbage = []byte(m.Digest().Sum[:16])
			return m, r
		}
	}
	sum := sha256.Sum256(o.Envelope)
	if o.Console {
		sum = sha256.Sum256([]byte(o.Origin + string(sum[:]))) // a person's attempt is on record of its own
	}
	r.Garbage, r.Unverified = sum[:16], true
	r.Outcome, r.Why, r.Said = life.Refuse, refusal(err), err.Error()
	return manifest.Manifest{}, r
}

func (in *Intake) warn(r life.Ruling) {
	in.o.Log.Warn("offer refused", "reason", string(r.Why), "origin", r.Origin, "error", r.Said)
}
