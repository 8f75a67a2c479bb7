package intake

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

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

	Store *store.Store
	// the newest root that is known apart from the journal; nil: none
	Seen func() (name string, version uint64)
	// whether the permit that answered a challenge was used; nil: none was
	Used        func(challenge string) bool
	Quarantined func(digest string) (cause reason.Reason, ok bool) // by manifest or image digest
	Measure     func(target bootctl.Slot) Machine
	Counter     func() (value uint64, unread string) // the rollback counter; unread: why it could not be read
	Clock       hal.Clock
	Zone        func() *time.Location // of windows that name none; nil: UTC
	Log         *slog.Logger
}

// Machine is what the machine around the device's target is at one moment.
type Machine struct {
	Supply  hal.Supply
	Metered bool
	Index   int               // the target's number in SUIT's component-slot condition
	Sizes   map[string]int64  // bytes of each component's part; unmeasured where it could not be measured
	Unread  map[string]string // why a part could not be measured

	StateMoved bool // another directory is where the state directory was at the start
}

// Unmeasured is the size of a part that could not be measured.
const Unmeasured = -1

// Intake belongs to the goroutine that owns the machine's state.
type Intake struct {
	o       Options
	book    book
	offered Offer
	missed  []transport.Message // that came while an update was in progress, and are read later
}

// New opens the book of who may say what, from what was taken before.
func New(o Options) (*Intake, error) {
	in := &Intake{o: o}
	if len(o.Root) == 0 {
		return in, nil
	}
	return in, in.openBook()
}

// at is the root as it concerns this device.
func (in *Intake) at(r trust.Root) trust.Root { return r.At(policy.Scope(in.o.Facts)) }

func (in *Intake) wall() policy.Now {
	wall, q := in.o.Clock.Wall()
	now := policy.Now{Wall: wall, Known: q != hal.TimeUnknown}
	if in.o.Zone != nil {
		now.Zone = in.o.Zone()
	}
	return now
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
	return in.under(in.book)
}

// under is the standing of a book, as the hardware counter stands.
func (in *Intake) under(b book) policy.Standing {
	s := b.Standing
	if in.o.Counter != nil {
		s.Counter, s.Unread = in.o.Counter()
	}
	return s
}

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
//
//go:noinline
func (p Payloads) Close() {
	for _, source := range p {
		if c, ok := source.(io.Closer); ok {
			_ = c.Close() // they were only read
		}
	}
}

// Payloads are the ones that came with the offer that was decided last.
func (in *Intake) Payloads() Payloads { return in.offered.Payloads }

// MaxMissed bounds the messages that are kept while an update is in progress; the broker has them all.
const MaxMissed = 8

// Miss keeps the offer that is being decided until the update in progress has ended.
func (in *Intake) Miss() {
	if in.offered.Message != nil {
		in.Keep(*in.offered.Message)
	}
}

// Keep keeps a message to be read later. A newer one of the same origin takes the place of the older, as it has at
// the broker; of roots, which come one by one, only the same again does. So only they can be many, and where there are
// too many the oldest of them goes: a root can be asked for by itself, and a plan, a pulse or an offer cannot.
func (in *Intake) Keep(m transport.Message) {
	if len(m.Body) == 0 { // an empty retained message means nothing
		return
	}
	in.missed = slices.DeleteFunc(in.missed, func(old transport.Message) bool {
		same := m.Kind != transport.Root || bytes.Equal(old.Body, m.Body)
		return old.Kind == m.Kind && old.Origin == m.Origin && same
	})
	in.missed = append(in.missed, m)
	for len(in.missed) > MaxMissed {
		oldest := slices.IndexFunc(in.missed, func(m transport.Message) bool { return m.Kind == transport.Root })
		in.missed = slices.Delete(in.missed, max(oldest, 0), max(oldest, 0)+1)
	}
}

// Missed takes up the first message that was kept; false when there is none.
func (in *Intake) Missed() (m transport.Message, ok bool) {
	if len(in.missed) == 0 {
		return m, false
	}
	m, in.missed = in.missed[0], in.missed[1:]
	return m, true
}

// MissedDocuments takes up all roots, plans and pulses that were kept.
func (in *Intake) MissedDocuments() (docs []transport.Message) {
	in.missed = slices.DeleteFunc(in.missed, func(m transport.Message) bool {
		if m.Kind == transport.Offer {
			return false
		}
		docs = append(docs, m)
		return true
	})
	return docs
}

// Unremembered tells whether the trust root is one that the running image has brought, and that no update which has
// ended has kept (Remember). As long as that image may be left again, no document is taken on that root's word: the
// system before could not follow.
func (in *Intake) Unremembered() bool {
	return in.Rooted() && in.book.Root.Version() > in.book.Newest
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
// about; reason.None when it does. Where the journal does not know what the slot holds, a root that forbids
// anything does not admit it.
func (in *Intake) Barred(slot bootctl.Slot) (reason.Reason, string) {
	if why, text := in.rear(); why != reason.None || !in.Rooted() {
		return why, text
	}
	root := in.book.Root
	c, _ := in.o.Store.Content(slot)
	if len(c.Images) == 0 && root.Forbids() {
		return reason.RevertImpossible, fmt.Sprintf("it is not known which release slot %s holds, and root %d "+
			"forbids some", slot, root.Version())
	}
	for _, i := range c.Images {
		seq, m := i.Of(c.Sequence, c.Manifest)
		if root.Revoked(m) {
			return reason.Revoked, "what slot " + string(slot) + " holds of " + i.Component
		}
		if lowest, _ := root.SequenceRange(i.Component); seq < lowest {
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
