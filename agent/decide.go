package agent

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// offer is an envelope on its way in.
type offer struct {
	envelope []byte
	origin   string
	local    map[string]slots.Source // payloads of a technician's install, by file name; nil: network
	console  bool                    // handed over at the console
	message  *transport.Message      // the message that it came in
	manifest manifest.Manifest       // once it is verified
}

// decide verifies and decides what the machine asks about. What the network sent meanwhile is taken
// first, so that a decision is made by the newest documents.
func (a *Agent) decide(ctx context.Context, ask life.Ask) life.Event {
	d := life.Decided{Ask: ask}
	if ask.Offer {
		if ask.Waiting {
			a.offered = offer{envelope: a.s.Waiting.Envelope, origin: "waiting"}
		}
		d.Ruling = a.decideOffer(ask)
		d.Moment = a.moment()
		return d
	}
	if a.s.Rec.Ext.Revert { // by an operator: it has no manifest to decide
		d.Moment, d.Ruling.Outcome = a.moment(), life.Install
		return d
	}
	if err := a.poll(); err != nil {
		return life.NotTaken{Moment: a.moment(), Text: err.Error()}
	}
	d.Ruling = a.decideOwn(ask)
	d.Moment = a.moment()
	return d
}

// decideOwn decides the update in progress once more, at a stop point.
func (a *Agent) decideOwn(ask life.Ask) life.Ruling {
	m, r := a.verify(offer{envelope: a.st.Document(store.Envelope), origin: "journal"})
	if r.Unverified {
		return r
	}
	if r.Digest != a.s.Rec.Digest {
		why := policy.Decision{Outcome: policy.Refuse, Findings: []policy.Finding{{Reason: reason.DigestMismatch, Final: true}}}
		return ruling(r, why)
	}
	rec := a.s.Rec
	d := a.decideOn(policy.Offer{Manifest: m, Stage: stages[ask.Stage], Local: rec.Ext.Local}, a.facts(m, a.slot(rec.Target)))
	a.plan = d.Plan
	return ruling(r, d)
}

var stages = map[life.Stage]policy.Stage{life.Download: policy.Download, life.Arm: policy.Arm}

// decideOffer decides an offer. One that has a verdict already, or that something else stands before,
// is not asked about.
func (a *Agent) decideOffer(ask life.Ask) life.Ruling {
	o := &a.offered
	m, r := a.verify(*o)
	if r.Unverified {
		return r
	}
	o.manifest = m
	if !o.console && !ask.Over {
		if why, ok := a.st.Verdict(r.Digest); ok {
			a.log.Debug("offer has a final verdict", "manifest", r.Digest, "reason", why)
			r.Settled = why
			return r
		}
		if r = a.s.Glance(r, a.o.Clock.Uptime()); r.Early || r.Passed {
			return r
		}
	}
	f := a.facts(m, a.other(a.s.Run))
	if a.s.Judge.Digest == r.Digest && !ask.Over {
		f.Own.Judging = a.s.Judge.Cause
	}
	d := a.decideOn(policy.Offer{Manifest: m, Stage: stages[ask.Stage], Local: o.console}, f)
	return ruling(r, d)
}

// verify turns bytes into a manifest, or says why they are none.
func (a *Agent) verify(o offer) (manifest.Manifest, life.Ruling) {
	r := life.Ruling{Envelope: o.envelope, Origin: o.origin, Console: o.console}
	env, err := manifest.Parse(o.envelope)
	if err == nil {
		var m manifest.Manifest
		if m, err = manifest.Verify(env, a.authority()); err == nil {
			r.Digest, r.Sequence, r.Version = m.Digest().String(), m.Sequence(), version(m)
			r.Garbage = []byte(m.Digest().Sum[:16])
			return m, r
		}
	}
	sum := sha256.Sum256(o.envelope)
	if o.console {
		sum = sha256.Sum256([]byte(o.origin + string(sum[:]))) // a person's attempt is on record of its own
	}
	r.Garbage, r.Unverified = sum[:16], true
	r.Outcome, r.Why, r.Said = life.Refuse, refusal(err), err.Error()
	a.log.Warn("offer refused", "reason", string(r.Why), "origin", o.origin, "error", err)
	return manifest.Manifest{}, r
}

// ruling is a decision as the machine takes it.
func ruling(r life.Ruling, d policy.Decision) life.Ruling {
	r.Outcome = life.Outcome(d.Outcome.String())
	r.Why, r.Said, r.Detail = summary(d)
	r.Rules, r.First, r.Retry, r.Ends = rules(d), r.Detail[string(r.Why)], retryAfter(d), ends(d)
	r.Images = imagesOf(d.Plan)
	return r
}

// ends is why waiting makes no sense: the plan behind the update was taken back, replaced or is over.
func ends(d policy.Decision) reason.Reason {
	for _, f := range d.Findings {
		if f.Reason.Info().Ends {
			return f.Reason
		}
	}
	return reason.None
}

// refusal maps an error of Parse, Verify or Resolve to its reason.
func refusal(err error) reason.Reason {
	var me *manifest.Error
	switch {
	case errors.Is(err, manifest.ErrDigest):
		return reason.DigestMismatch
	case errors.Is(err, trust.ErrNoSigner), errors.Is(err, manifest.ErrUnsigned):
		return reason.SignerUnknown
	case errors.Is(err, trust.ErrAlgorithm):
		return reason.AlgorithmNotAllowed
	case errors.Is(err, trust.ErrSignature):
		return reason.SignatureInvalid
	case errors.Is(err, trust.ErrMalformed):
		return reason.EnvelopeMalformed
	case errors.As(err, &me) && me.Code == manifest.CodeAlgorithm:
		return reason.AlgorithmNotAllowed
	case errors.As(err, &me) && me.Code != manifest.CodeParse:
		return reason.ManifestUnsupported
	}
	return reason.EnvelopeMalformed
}

func imagesOf(p policy.Plan) []life.SlotImage {
	var out []life.SlotImage
	for _, i := range p.Installs() {
		out = append(out, life.SlotImage{Component: i.Component, Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size})
	}
	return out
}

// version is what a manifest calls its content; "" when it does not say.
func version(m manifest.Manifest) string {
	if v := m.SetVersion(); len(v) > 0 {
		return manifest.FormatVersion(v)
	}
	return ""
}

// poll takes, at a stop point, the documents that came meanwhile; offers wait for idle.
func (a *Agent) poll() error {
	if a.o.Inbox == nil || !a.who.rooted() || len(a.s.Safe) > 0 {
		return nil
	}
	for range maxMissed {
		select {
		case m := <-a.o.Inbox.Messages():
			switch e := a.receive(m).(type) {
			case life.Came:
				a.miss()
			case life.NotTaken:
				return errors.New(e.Text)
			}
		default:
			return nil
		}
	}
	return nil
}
