package campaign

import (
	"maps"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Memory is what a device keeps of the plans and pulses that it took, so that none of them can be
// played to it again. It is a value: AcceptPlan and AcceptPulse return the next one and change
// nothing. Digests are in their text form ("sha256:<hex>"), "" is none.
//
// The caller makes the next Memory durable before anything acts on the document that caused it.
// Crash: before -> the document is taken again, with the same result; after -> it is known. A device
// that lost its Memory takes any plan of the present generation once more; what holds then are the
// root version in the hardware counter and the short life of a pulse.
type Memory struct {
	Channels  map[string]Seen          `cbor:"1,keyasint,omitempty"` // by channel
	Withdrawn []Withdrawal             `cbor:"2,keyasint,omitempty"` // the oldest first
	Times     map[trust.Role]TimeFloor `cbor:"3,keyasint,omitempty"` // of the roles campaign and pulse
}

// Seen is what was taken in one channel.
type Seen struct {
	Generation uint64    `cbor:"1,keyasint"` // of the role campaign
	Sequence   uint64    `cbor:"2,keyasint"`
	Plan       string    `cbor:"3,keyasint"`
	Pulse      SeenPulse `cbor:"4,keyasint"` // of that plan; zero: none yet
}

// SeenPulse is the newest pulse of a plan.
type SeenPulse struct {
	Generation uint64 `cbor:"1,keyasint"` // of the role pulse
	Sequence   uint64 `cbor:"2,keyasint"`
	Pulse      string `cbor:"3,keyasint"`
}

// Withdrawal is a plan that was withdrawn, and the manifest that it was about: "" once a later plan
// has named that manifest again.
type Withdrawal struct {
	Plan     string `cbor:"1,keyasint"`
	Manifest string `cbor:"2,keyasint"`
}

// TimeFloor is the latest time that documents of a role have said, within its generation: it is at
// least as late as this. A rotation of the role discards it, so a thief cannot poison time for good.
type TimeFloor struct {
	Generation uint64 `cbor:"1,keyasint"`
	Seconds    uint64 `cbor:"2,keyasint"` // since 1970
}

// Encode writes the memory for the journal.
func (m Memory) Encode() ([]byte, error) { return trust.Encode(m) }

// DecodeMemory reads what Encode wrote, of this version of the agent or of the one before or after
// it: fields that are not known are passed over. Nothing was stored: zero.
func DecodeMemory(b []byte) (Memory, error) {
	var m Memory
	switch {
	case len(b) == 0:
		return m, nil
	case len(b) > MaxMemory:
		return m, errorf("cannot read campaign memory: %d bytes, at most %d", len(b), MaxMemory)
	}
	if err := cbor.Unmarshal(b, &m); err != nil {
		return Memory{}, errorf("cannot read campaign memory: %w", err)
	}
	return m, nil
}

func (m Memory) clone() Memory {
	m.Channels, m.Times, m.Withdrawn = maps.Clone(m.Channels), maps.Clone(m.Times), slices.Clone(m.Withdrawn)
	if m.Channels == nil {
		m.Channels = map[string]Seen{}
	}
	if m.Times == nil {
		m.Times = map[trust.Role]TimeFloor{}
	}
	return m
}

// AcceptPlan takes a plan into the memory of a device that follows channel. The plan that was taken
// last, again, changes nothing. Errors are a *Refusal:
//
//   - not-in-scope: it is of another channel;
//   - plan-void: a newer one was taken (replay), another one of the same sequence (mix and match), or
//     it is of another generation than the role campaign has in r;
//   - plan-withdrawn: it was withdrawn before.
func (m Memory) AcceptPlan(r trust.Root, channel string, c Campaign) (Memory, error) {
	s, digest := c.says().spec, c.says().digest.String()
	seen := m.Channels[channel]
	switch {
	case c.IsZero():
		return m, refuse(reason.PlanMissing, "there is no plan")
	case s.Channel != channel:
		return m, refuse(reason.NotInScope, "it is for channel %s, and the device follows %s", s.Channel, channel)
	case s.Generation != r.Generation(trust.RoleCampaign):
		return m, refuse(reason.PlanVoid, "it is of generation %d, and the role campaign is at %d",
			s.Generation, r.Generation(trust.RoleCampaign))
	case m.IsWithdrawn(digest):
		return m, refuse(reason.PlanWithdrawn, "plan %d of channel %s", s.Sequence, channel)
	case s.Generation < seen.Generation, s.Generation == seen.Generation && s.Sequence < seen.Sequence:
		return m, refuse(reason.PlanVoid,
			"it is plan %d of generation %d, and plan %d of generation %d was taken before",
			s.Sequence, s.Generation, seen.Sequence, seen.Generation)
	case s.Generation == seen.Generation && s.Sequence == seen.Sequence && digest != seen.Plan:
		return m, refuse(reason.PlanVoid, "another plan with sequence %d was taken before", s.Sequence)
	}
	n := m.clone()
	if digest != seen.Plan {
		n.Channels[channel] = Seen{Generation: s.Generation, Sequence: s.Sequence, Plan: digest}
		for i, w := range n.Withdrawn {
			if w.Manifest == s.Manifest.String() {
				n.Withdrawn[i].Manifest = "" // those who sign plans want it again
			}
		}
		// A device follows one channel; those of earlier configurations are kept as long as there is room.
		for _, other := range slices.Sorted(maps.Keys(n.Channels)) {
			if len(n.Channels) > MaxChannels && other != channel {
				delete(n.Channels, other)
			}
		}
	}
	n.raise(r, trust.RoleCampaign, earliest(s.Issued, r.Expires()))
	return n, nil
}

// AcceptPulse takes a pulse of the plan c, which must be the one that was taken last in its channel.
// The pulse that was taken last, again, changes nothing. A pulse that withdraws is taken even when it
// has expired: a stop never comes too late. Errors are a *Refusal:
//
//   - pulse-void: it is of another plan (mix and match), older than one that was taken (replay), of
//     another generation than the role pulse has in r, or of a phase that the plan does not have;
//   - plan-void: c is not the plan that was taken last;
//   - plan-withdrawn: it would revive a withdrawn plan.
func (m Memory) AcceptPulse(r trust.Root, c Campaign, p Pulse) (Memory, error) {
	s, plan, digest := p.says().spec, c.says().digest.String(), p.says().digest.String()
	seen := m.Channels[c.says().spec.Channel]
	switch {
	case p.IsZero():
		return m, refuse(reason.PulseMissing, "there is no pulse")
	case c.IsZero() || seen.Plan != plan:
		return m, refuse(reason.PlanVoid, "its plan is not the one that was taken last")
	case s.Plan != c.says().digest:
		return m, refuse(reason.PulseVoid, "it belongs to another plan, %s", s.Plan)
	case s.Generation != r.Generation(trust.RolePulse):
		return m, refuse(reason.PulseVoid, "it is of generation %d, and the role pulse is at %d",
			s.Generation, r.Generation(trust.RolePulse))
	case s.Phase >= len(c.says().spec.Phases):
		return m, refuse(reason.PulseVoid, "it names phase %d, and the plan has %d", s.Phase+1,
			len(c.says().spec.Phases))
	case m.IsWithdrawn(plan) && s.State != StateWithdrawn:
		return m, refuse(reason.PlanWithdrawn, "a withdrawn plan cannot be opened again")
	case s.Generation < seen.Pulse.Generation,
		s.Generation == seen.Pulse.Generation && s.Sequence < seen.Pulse.Sequence:
		return m, refuse(reason.PulseVoid,
			"it is pulse %d of generation %d, and pulse %d of generation %d was taken before",
			s.Sequence, s.Generation, seen.Pulse.Sequence, seen.Pulse.Generation)
	case s.Generation == seen.Pulse.Generation && s.Sequence == seen.Pulse.Sequence && digest != seen.Pulse.Pulse:
		return m, refuse(reason.PulseVoid, "another pulse with sequence %d was taken before", s.Sequence)
	}
	n := m.clone()
	seen.Pulse = SeenPulse{Generation: s.Generation, Sequence: s.Sequence, Pulse: digest}
	n.Channels[c.says().spec.Channel] = seen
	if s.State == StateWithdrawn && !n.IsWithdrawn(plan) {
		if len(n.Withdrawn) >= MaxWithdrawals {
			n.Withdrawn = n.Withdrawn[1:] // its plan is void by now: a later one was taken
		}
		n.Withdrawn = append(n.Withdrawn, Withdrawal{Plan: plan, Manifest: c.says().spec.Manifest.String()})
	}
	n.raise(r, trust.RolePulse, earliest(s.Issued, c.says().spec.ValidUntil, r.Expires()))
	return n, nil
}

// IsWithdrawn tells whether a plan, by the text of its digest, was withdrawn.
//
//go:noinline
func (m Memory) IsWithdrawn(plan string) bool {
	return slices.ContainsFunc(m.Withdrawn, func(w Withdrawal) bool { return w.Plan == plan })
}

// raise notes a signed time of a role, which the caller has cut to what the role may say.
func (m Memory) raise(r trust.Root, role trust.Role, t time.Time) {
	f := TimeFloor{Generation: r.Generation(role), Seconds: seconds(t)}
	if old := m.Times[role]; old.Generation == f.Generation {
		f.Seconds = max(f.Seconds, old.Seconds)
	}
	m.Times[role] = f
}

// Floor is the earliest that it can be now, as far as documents of role and of the roles above it
// say. A role cannot make the documents of a higher one look old: a stolen pulse key ends no plan,
// and a stolen campaign key no root.
func (m Memory) Floor(r trust.Root, role trust.Role) time.Time {
	t := r.Issued()
	for _, lower := range []trust.Role{trust.RoleCampaign, trust.RolePulse} {
		if role == trust.RoleRoot {
			break
		}
		if f, ok := m.Times[lower]; ok && f.Generation == r.Generation(lower) {
			if s, ok := trust.Seconds(f.Seconds); ok && s.After(t) {
				t = s
			}
		}
		if role == lower {
			break
		}
	}
	return t
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}
