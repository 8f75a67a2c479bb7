package agent

import (
	"crypto/sha256"
	"errors"
	"strconv"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
)

// offer is an envelope on its way in.
type offer struct {
	envelope []byte
	origin   string
	local    map[string]slots.Source // payloads of a technician's install, by file name; nil: network
	console  bool                    // handed over at the console
	before   storedOffer             // what is known of it from earlier; zero when it is new
}

// consider verifies and decides an offer and, where the decision is to install, begins. Only the
// goroutine of Run calls it, in phase idle. The error is a *Refused when the offer was not taken.
func (a *Agent) consider(o offer) error {
	m, err := a.verify(o)
	if err != nil {
		return err
	}
	digest := m.Digest().String()
	if !o.console {
		var v storedVerdict
		if a.st.load(prefixFinal+digest, &v) {
			a.log.Debug("offer has a final verdict", "manifest", digest, "reason", v.Reason)
			if w := (Outcome{}); v.Reason.Info().Satisfied && a.st.load(keyOffer, &w) && w.Reason != reason.None {
				// What the fleet offers is what runs: an earlier refusal needs nobody any more.
				err = a.st.commit(nil, nil, func(tx journal.Tx) error { return tx.Delete(journal.State, keyOffer) })
				return errors.Join(err, &Refused{Reason: v.Reason})
			}
			return &Refused{Reason: v.Reason}
		}
		var w storedOffer
		if a.st.load(keyWaiting, &w) {
			if w.Digest == digest {
				o.before = w
				if w.Failures > 0 && a.o.Clock.Uptime() < a.retryAt {
					return &Refused{Reason: w.Reason, Deferred: true}
				}
			} else if w.Sequence > m.Sequence() && !w.Reason.Info().StepsAside {
				return a.passOver(m, o)
			}
		}
	}
	f := a.facts(m, a.other(a.run))
	if j, ok := a.judging(digest); ok {
		f.Own.Judging = j.Cause
	}
	return a.settle(m, o, a.decideOn(policy.Offer{Manifest: m, Stage: policy.Download, Local: o.console}, f))
}

// verify turns bytes into a manifest, or records why it did not. Refusals of bytes that nobody
// vouches for are recorded within a rate, so that a flood does not push out the evidence.
func (a *Agent) verify(o offer) (manifest.Manifest, error) {
	env, err := manifest.Parse(o.envelope)
	if err == nil {
		var m manifest.Manifest
		if m, err = manifest.Verify(env, a.authority()); err == nil {
			return m, nil
		}
	}
	why := refusal(err)
	sum := sha256.Sum256(o.envelope)
	if o.console {
		sum = sha256.Sum256([]byte(o.origin + string(sum[:]))) // a person's attempt is on record of its own
	}
	if dropped, ok := a.garbage.allow(sum[:16], a.o.Clock.Uptime()); ok {
		e := evidence.Event{Kind: evidence.KindDecision, Reason: why, To: "refuse", Actor: o.origin,
			Detail: map[string]string{"why": err.Error()}}
		if dropped > 0 {
			e.Detail["not-recorded-before"] = itoa(dropped)
		}
		seen := a.garbage.seen
		also := []txFunc{func(tx journal.Tx) error { return put(tx, keyGarbage, seen) }}
		if !o.console {
			also = append(also, a.notTaken(Outcome{Result: "refused", Reason: why, Detail: err.Error()}))
		}
		if nerr := a.note(e, also...); nerr != nil {
			a.fail("cannot record a refusal", nerr)
		}
		a.log.Warn("offer refused", "reason", string(why), "origin", o.origin, "error", err)
	}
	return manifest.Manifest{}, &Refused{Reason: why, Detail: err.Error()}
}

// passOver leaves an offer aside because a newer one waits. It is on record once, within the rate of
// unverifiable ones.
func (a *Agent) passOver(m manifest.Manifest, o offer) error {
	digest := m.Digest()
	if _, ok := a.garbage.allow([]byte(digest.Sum[:16]), a.o.Clock.Uptime()); ok {
		e := evidence.Event{Kind: evidence.KindDecision, Reason: reason.Superseded, To: "defer", Manifest: digest.String(), Sequence: m.Sequence(), Actor: o.origin}
		seen := a.garbage.seen
		if err := a.note(e, func(tx journal.Tx) error { return put(tx, keyGarbage, seen) }); err != nil {
			return err
		}
	}
	return &Refused{Reason: reason.Superseded, Deferred: true}
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

// settle records a decision once per change and acts on it.
func (a *Agent) settle(m manifest.Manifest, o offer, d policy.Decision) error {
	digest := m.Digest().String()
	why, said, detail := summary(d)
	e := evidence.Event{Kind: evidence.KindDecision, Reason: why, To: d.Outcome.String(), Manifest: digest,
		Sequence: m.Sequence(), Actor: o.origin, Detail: detail}
	switch d.Outcome {
	case policy.Install:
		return a.begin(m, o, d, e)
	case policy.Defer:
		if o.console {
			if err := a.note(e); err != nil {
				return err
			}
			return &Refused{Reason: why, Detail: said, Deferred: true}
		}
		a.retryAt = a.o.Clock.Uptime() + retryAfter(d)
		w := o.before
		known, same := w.Rules == rules(d), w.Said == said
		w.Envelope, w.Digest, w.Sequence, w.Reason, w.Said, w.Rules = o.envelope, digest, m.Sequence(), why, said, rules(d)
		keep := func(tx journal.Tx) error { return put(tx, keyWaiting, w) }
		var err error
		switch {
		case known && same:
		case known: // the same rules with other figures: no new decision
			err = a.st.commit(nil, nil, keep)
		default:
			a.log.Info("offer deferred", "sequence", m.Sequence(), "reason", said)
			err = a.note(e, keep, a.notTaken(Outcome{Result: "deferred", Reason: why, Detail: firstDetail(d), Manifest: digest, Sequence: m.Sequence(), Version: version(m)}))
		}
		return errors.Join(err, &Refused{Reason: why, Detail: said, Deferred: true})
	default:
		a.log.Warn("offer refused", "sequence", m.Sequence(), "reason", said)
		if o.console {
			return errors.Join(a.note(e), &Refused{Reason: why, Detail: said})
		}
		at := a.st.lastSeq().Seq + 1
		also := []txFunc{func(tx journal.Tx) error { return errors.Join(setFinal(tx, digest, at, why), dropWaiting(tx, digest)) }}
		if !why.Info().Satisfied {
			also = append(also, keepReport(a.report(m, a.other(a.run), "refused", why)))
		}
		if !why.Info().Quiet {
			also = append(also, a.notTaken(Outcome{Result: "refused", Reason: why, Detail: firstDetail(d), Manifest: digest, Sequence: m.Sequence(), Version: version(m)}))
		}
		if _, ok := a.garbage.allow(nil, a.o.Clock.Uptime()); !ok {
			// Genuine and old ones can flood, too: more of them than verdicts are remembered.
			return errors.Join(a.st.commit(nil, nil, also...), &Refused{Reason: why, Detail: said})
		}
		return errors.Join(a.note(e, also...), &Refused{Reason: why, Detail: said})
	}
}

func dropWaiting(tx journal.Tx, digest string) error {
	var w storedOffer
	if get(tx, keyWaiting, &w) && w.Digest == digest {
		return tx.Delete(journal.State, keyWaiting)
	}
	return nil
}

// begin takes an update up: the record names it and the target before anything is touched.
//
// Crash: one commit -> before: the offer comes again; after: preparing is run again.
func (a *Agent) begin(m manifest.Manifest, o offer, d policy.Decision, e evidence.Event) error {
	target := a.other(a.run)
	digest := m.Digest().String()
	images := imagesOf(d.Plan)
	if err := a.note(e); err != nil {
		return err
	}
	a.local = o.local
	kept := a.sameCheckpoints(digest)
	w := o.before
	w.Envelope, w.Digest, w.Sequence, w.Reason, w.Said, w.Rules = o.envelope, digest, m.Sequence(), "", "", ""
	return a.move(Preparing, reason.None, func(r *Record) {
		*r = Record{Phase: Preparing, Target: target.Name, Digest: digest, Ext: Ext{BootID: a.bootID, Origin: a.run,
			Sequence: m.Sequence(), Version: version(m), Images: images, Local: o.console}}
	}, evidence.Event{Actor: o.origin}, func(tx journal.Tx) error {
		var err error
		if !kept {
			err = forget(tx, prefixCheck)
		}
		if !o.console { // what the network offers goes on waiting behind a technician's install
			err = errors.Join(err, put(tx, keyWaiting, w))
		}
		return errors.Join(err, tx.Put(journal.State, keyEnvelope, o.envelope), tx.Delete(journal.State, keyOffer),
			tx.Delete(journal.State, prefixSlot+string(target.Name)))
	})
}

// sameCheckpoints: checkpoints of a try that failed for a cause outside the image are worth keeping.
func (a *Agent) sameCheckpoints(digest string) bool {
	var w storedOffer
	return a.st.load(keyWaiting, &w) && w.Digest == digest
}

func imagesOf(p policy.Plan) []SlotImage {
	var out []SlotImage
	for _, i := range p.Installs() {
		out = append(out, SlotImage{Component: i.Component, Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size})
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

func itoa(n int) string { return strconv.Itoa(n) }

// ended makes how an update ended the last outcome.
func (a *Agent) ended(o Outcome) txFunc { return a.putOutcome(keyOutcome, o) }

// notTaken remembers the newest offer that was not taken. It stands beside the outcome of the last
// update and never replaces it: a technician asks for that one.
func (a *Agent) notTaken(o Outcome) txFunc { return a.putOutcome(keyOffer, o) }

func (a *Agent) putOutcome(key string, o Outcome) txFunc {
	wall, q := a.o.Clock.Wall()
	o.Wall, o.Quality = wall, q.String()
	return func(tx journal.Tx) error { return put(tx, key, o) }
}
