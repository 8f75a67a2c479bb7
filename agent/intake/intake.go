package intake

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// Options are what an Intake works with.
type Options struct {
	Device        string          // id
	Facts         manifest.Device // vendor, class and device ids, version
	Rules         policy.Rules
	Authority     manifest.Authority // flat anchors; nil with a trust root, or when they are bad
	Root          []byte             // the trust root that the running image brings (a bundle); nil: flat anchors
	RootVersion   uint64             // with flat anchors: what the counter is raised to after a confirmed update
	RootComponent string             // the component that is mounted at "/"
	Channel       string             // of the plans that this device follows
	Sequence      uint64             // of the manifest that the running image was released under, 0: unknown

	Store       *store.Store
	Quarantined func(digest string) (cause reason.Reason, ok bool) // by manifest or image digest
	Measure     func(target bootctl.Slot) Machine
	Counter     func() (value uint64, unread string) // the rollback counter; unread: why it could not be read
	Clock       hal.Clock
	Log         *slog.Logger
}

// Machine is what the machine around the device's target is at one moment.
type Machine struct {
	Supply  hal.Supply
	Metered bool
	Index   int              // the target's number in SUIT's component-slot condition
	Sizes   map[string]int64 // bytes of each component's part; unmeasured where it could not be measured
}

// Unmeasured is the size of a part that could not be measured.
const Unmeasured = -1

// Intake belongs to the goroutine that owns the machine's state.
type Intake struct {
	o       Options
	book    book
	offered Offer
	missed  []transport.Message // offers that came while an update was in progress
}

// book is who may say what to this device, what they said last, and what a recovery permit lifts. A device
// with flat anchors has none: its root is zero, and no plan is asked for. It is a value.
type book struct {
	policy.Standing
	early  []byte // a pulse that came before its plan
	permit campaign.Permit
}

// New opens the book. It walks from the root that the running image brings to the newest one that was taken,
// and takes plan, pulse and permit up again as far as they are still genuine under it. What is damaged or void
// is left out, never an error: the next retained message brings it back. With an error, which says that the
// image's own root cannot be used, the intake admits nothing.
func New(o Options) (*Intake, error) {
	in := &Intake{o: o}
	if len(o.Root) == 0 {
		return in, nil
	}
	root, err := trust.Anchor(o.Root)
	if err != nil {
		return in, fmt.Errorf("cannot use the trust root of this image: %w", err)
	}
	_, now := in.wall()
	if b, err := trust.ParseBundle(o.Store.Document(store.Root)); err == nil {
		if newer, err := trust.Walk(root, b, now); err == nil || errors.Is(err, trust.ErrExpired) {
			root = newer
		}
	}
	b := &in.book
	b.Root = in.at(root)
	if m, err := campaign.DecodeMemory(o.Store.Document(store.Memory)); err == nil {
		b.Memory = m
	}
	if c, err := campaign.VerifyPlan(b.Root, o.Store.Document(store.Plan)); err == nil {
		b.Plan = c
	}
	if p, err := campaign.VerifyPulse(b.Root, o.Store.Document(store.Pulse)); err == nil {
		b.Pulse = p
	}
	if p, ok := o.Store.Permit(); ok && in.Rooted() {
		b.permit, _ = in.verifyPermit(p.Document, p.Challenge)
	}
	return in, nil
}

// at is the root as it concerns this device.
func (in *Intake) at(r trust.Root) trust.Root { return r.At(policy.Scope(in.o.Facts)) }

func (in *Intake) wall() (policy.Now, trust.Time) {
	wall, q := in.o.Clock.Wall()
	known := q != hal.TimeUnknown
	return policy.Now{Wall: wall, Known: known}, trust.Time{Wall: wall, Known: known}
}

// Rooted tells whether the device has a trust root.
func (in *Intake) Rooted() bool { return !in.book.Root.IsZero() }

// Root is the trust root; the zero value on a device with flat anchors.
func (in *Intake) Root() trust.Root { return in.book.Root }

// Trusts tells whether anybody can release for this device.
func (in *Intake) Trusts() bool { return in.Rooted() || in.o.Authority != nil }

// RootVersion is what the counter is raised to after a confirmed update.
func (in *Intake) RootVersion() uint64 {
	if in.Rooted() {
		return in.book.Root.Version()
	}
	return in.o.RootVersion
}

// authority is who may release for this device: the root's signers, or the flat anchors of a device
// without a root. Once there is a root, flat anchors are refused (agent.Options.Validate).
func (in *Intake) authority() manifest.Authority {
	if in.Rooted() {
		return in.book.Root.Release(policy.Scope(in.o.Facts))
	}
	return in.o.Authority
}

// standing is who may say what to this device now, as the hardware counter stands. A device with flat
// anchors has none.
func (in *Intake) standing() policy.Standing {
	if !in.Rooted() {
		return policy.Standing{}
	}
	s := in.book.Standing
	s.Counter, s.Unread = in.o.Counter()
	return s
}

// Permitted is the manifest that a permit allows, "" for none.
func (in *Intake) Permitted() string {
	if in.book.permit.IsZero() {
		return ""
	}
	return in.book.permit.Spec().Manifest.String()
}

// UsedPermit forgets the permit, which the machine has used up.
func (in *Intake) UsedPermit() { in.book.permit = campaign.Permit{} }

// Offer is an envelope on its way in.
type Offer struct {
	Envelope []byte
	Origin   string             // who brought it
	Console  bool               // handed over at the console
	Payloads Payloads           // of a technician's install; nil: network
	Message  *transport.Message // the message that it came in, nil where it came in none

	manifest manifest.Manifest // once it is verified
}

// Bring makes an offer the one that is decided next.
func (in *Intake) Bring(o Offer) { in.offered = o }

// Payloads are the payloads of a technician's install, by the name of their file.
type Payloads map[string]slots.Source

// Close closes those that can be closed: nobody reads them any more. It does no harm twice.
func (p Payloads) Close() {
	for _, source := range p {
		if c, ok := source.(io.Closer); ok {
			_ = c.Close() // they were only read
		}
	}
}

// Payloads are the ones that came with the offer that was decided last.
func (in *Intake) Payloads() Payloads { return in.offered.Payloads }

// MaxMissed bounds the offers that are kept while an update is in progress; the broker has them all.
const MaxMissed = 8

// Miss keeps the offer that is being decided until the update in progress has ended.
func (in *Intake) Miss() {
	if in.offered.Message == nil {
		return
	}
	if in.missed = append(in.missed, *in.offered.Message); len(in.missed) > MaxMissed {
		in.missed = in.missed[1:]
	}
}

// Missed takes up the first offer that was kept; false when there is none.
func (in *Intake) Missed() (m transport.Message, ok bool) {
	if len(in.missed) == 0 {
		return m, false
	}
	m, in.missed = in.missed[0], in.missed[1:]
	return m, true
}

// Refused is the answer to an offer or a request that was not taken, with its stable reason.
type Refused struct {
	Reason   reason.Reason
	Detail   string
	Deferred bool // it may be taken later
}

// Error implements error.
func (e *Refused) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}

// Barred is why the trust root does not admit what a slot is known to hold, and which slot or number it is
// about; reason.None when it does, or when nothing is known.
func (in *Intake) Barred(slot bootctl.Slot) (reason.Reason, string) {
	c, _ := in.o.Store.Content(slot)
	if !in.Rooted() || len(c.Images) == 0 {
		return reason.None, ""
	}
	for _, i := range c.Images {
		seq, m := i.Of(c.Sequence, c.Manifest)
		if in.book.Root.Revoked(m) {
			return reason.Revoked, "what slot " + string(slot) + " holds of " + i.Component
		}
		if lowest, _ := in.book.Root.SequenceRange(i.Component); seq < lowest {
			return reason.SequenceOutOfRange,
				fmt.Sprintf("slot %s holds %s %d, the root admits %d and higher", slot, i.Component, seq, lowest)
		}
	}
	return reason.None, ""
}

// Target is the slot that does not run: the target of whatever is offered.
func Target(s life.State) bootctl.Slot {
	if s.Dev.Slots[0] == s.Run {
		return s.Dev.Slots[1]
	}
	return s.Dev.Slots[0]
}
