package agent

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
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
			if w := (Outcome{}); v.Reason == reason.AlreadyInstalled && a.st.load(keyOffer, &w) && w.Reason != reason.None {
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
			} else if w.Sequence > m.Sequence() && w.Reason != reason.VersionCondition && w.Reason != reason.WrongSlot {
				// Those two may need the older one first, as a step.
				return a.passOver(m, o)
			}
		}
	}
	d := a.decide(m, policy.Download, o.console, a.other(a.run))
	if j, ok := a.judging(digest); ok && d.Outcome == policy.Install && !o.console {
		d.Outcome = policy.Defer
		d.Findings = append(d.Findings, policy.Finding{Reason: j.Cause, Detail: "waiting to see whether the old system reaches the broker", Retry: time.Minute})
	}
	return a.settle(m, o, d)
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

// garbageLimit bounds records of offers that nobody vouches for: each body once while it is
// remembered, over restarts too, for brokers hand retained ones in again and again; and no more than
// perHour in an hour of uptime.
type garbageLimit struct {
	seen    [][]byte // durable under keyGarbage
	times   []time.Duration
	dropped int
}

func (g *garbageLimit) allow(key []byte, now time.Duration) (dropped int, ok bool) {
	const perHour, remembered = 20, 64
	for _, k := range g.seen {
		if key != nil && bytes.Equal(k, key) {
			return 0, false
		}
	}
	for len(g.times) > 0 && now-g.times[0] >= time.Hour {
		g.times = g.times[1:]
	}
	if len(g.times) >= perHour {
		g.dropped++
		return 0, false
	}
	if key != nil {
		g.seen = append(g.seen, bytes.Clone(key))
		g.seen = g.seen[max(len(g.seen)-remembered, 0):]
	}
	g.times = append(g.times, now)
	dropped, g.dropped = g.dropped, 0
	return dropped, true
}

// facts are what this device is now, for a decision about the target.
func (a *Agent) facts(m manifest.Manifest, local bool, target SlotDef) policy.Facts {
	supply := a.o.Power.Supply()
	f := policy.Facts{Device: a.o.Facts, SlotSize: map[string]int64{}, Local: local, Metered: a.o.Metered(),
		Battery: supply.Battery, Mains: supply.Mains, SupplyKnown: supply.Known, Running: map[string]manifest.Digest{}}
	wall, q := a.o.Clock.Wall()
	f.Device.Now, f.Device.TimeKnown = wall, q != hal.TimeUnknown
	f.Device.BatteryMWh = supply.BatteryMWh
	f.Device.Components = map[string]manifest.Target{}
	for c, path := range target.Parts {
		f.Device.Components[c] = manifest.Target{Slot: target.Index}
		if dev := a.held[c]; dev != nil {
			f.SlotSize[c] = dev.Size()
		} else if dev, err := a.o.Blocks.OpenMedium(path); err == nil {
			f.SlotSize[c] = dev.Size()
			_ = dev.Close()
		} else {
			a.log.Warn("target cannot be measured", "slot", target.Name, "component", c, "error", err)
		}
	}
	var floor storedFloor
	if a.st.load(keyFloor, &floor) {
		f.Floor.Sequence = floor.Sequence
		f.Floor.Manifest, _ = manifest.ParseDigest(floor.Digest)
	}
	if a.o.Sequence > f.Floor.Sequence {
		// What the running image knows of itself counts when the journal does not (amnesia).
		f.Floor = policy.Floor{Sequence: a.o.Sequence}
		if m.Sequence() == a.o.Sequence {
			f.Floor.Manifest = m.Digest()
		}
	}
	f.Bound = func(seq uint64) (manifest.Digest, bool) {
		var s string
		if !a.st.load(prefixBound+seqKey(seq), &s) {
			return manifest.Digest{}, false
		}
		d, err := manifest.ParseDigest(s)
		return d, err == nil
	}
	f.Quarantined = func(d manifest.Digest) (reason.Reason, bool) {
		e, ok := a.q.find(d.String())
		return e.Cause, ok
	}
	var c SlotContent
	if a.st.load(prefixSlot+string(a.run), &c) && c.Confirmed {
		for _, i := range c.Images {
			f.Running[i.Component] = manifest.Digest{Alg: i.Alg, Sum: string(i.Digest)}
		}
	}
	var ok string
	f.Approved = a.st.load(keyApproved, &ok) && ok == m.Digest().String()
	return f
}

// decide asks the policy, and adds what only the agent knows of its own state.
func (a *Agent) decide(m manifest.Manifest, stage policy.Stage, local bool, target SlotDef) policy.Decision {
	now, _ := a.wall()
	f := a.facts(m, local, target)
	permit := policy.Permit{}
	if local { // a permit answers a challenge on the console, and serves nobody else
		permit = a.permit
	}
	d, _ := permit.Decide(m, stage, a.o.Rules, f, now, a.standsAgainst(m, f, now)...)
	if d.Outcome == policy.Refuse {
		return d
	}
	block := func(why reason.Reason, detail string) {
		d.Outcome = policy.Defer
		d.Findings = append(d.Findings, policy.Finding{Reason: why, Detail: detail, Retry: time.Hour})
	}
	if len(a.safe) > 0 {
		block(reason.BootSafeMode, a.safe[0])
	}
	if a.hold != "" || a.run == "" {
		block(reason.RunningUnproven, "")
	}
	if a.stayed {
		block(reason.RunningUnconfirmed, "its trial failed, and there is no slot to go back to")
	}
	if free, err := a.st.j.Free(); err != nil || free < minJournal {
		block(reason.NoSpace, "journal has "+strconv.FormatInt(free, 10)+" bytes left")
	}
	return d
}

// minJournal is what must be free in the journal before an update begins: its phases and evidence fit.
const minJournal = 128 << 10

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
		switch why {
		case reason.AlreadyInstalled, reason.WrongVendor, reason.WrongClass, reason.WrongDevice, reason.SequenceBelowFloor:
			// On record as evidence; nothing that a person at this device should look at. A broker hands in
			// older releases than the device has for as long as it keeps them.
		default:
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

// summary is the first finding as reason, and all of them as text and evidence detail.
func summary(d policy.Decision) (reason.Reason, string, map[string]string) {
	if len(d.Findings) == 0 {
		return reason.None, "", nil
	}
	why := d.Findings[0].Reason
	for _, f := range d.Findings {
		if d.Outcome == policy.Refuse && f.Final {
			why = f.Reason
			break
		}
	}
	var said []string
	detail := map[string]string{}
	for _, f := range d.Findings {
		s := string(f.Reason)
		if f.Detail != "" {
			s += " (" + f.Detail + ")"
		}
		said = append(said, s)
		if len(detail) < evidence.MaxDetails {
			detail[string(f.Reason)] = f.Detail
		}
	}
	return why, strings.Join(said, "; "), detail
}

// rules names the findings without their figures, which change all the time (a charge, bytes left):
// a decision is on record again when these change.
func rules(d policy.Decision) string {
	var all []string
	for _, f := range d.Findings {
		if !slices.Contains(all, string(f.Reason)) {
			all = append(all, string(f.Reason))
		}
	}
	return strings.Join(all, " ")
}

// firstDetail is what the finding that gives the decision its reason says.
func firstDetail(d policy.Decision) string {
	why, _, detail := summary(d)
	return detail[string(why)]
}

// retryAfter is when the earliest finding may have gone: at least a minute, 15 minutes when nobody says.
func retryAfter(d policy.Decision) time.Duration {
	var t time.Duration
	for _, f := range d.Findings {
		if f.Retry > 0 && (t == 0 || f.Retry < t) {
			t = f.Retry
		}
	}
	if t == 0 {
		t = 15 * time.Minute
	}
	return max(t, time.Minute)
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

// version is what a manifest calls its content; "" when it does not say.
func version(m manifest.Manifest) string {
	if v := m.SetVersion(); len(v) > 0 {
		return manifest.FormatVersion(v)
	}
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }
