package intake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// book is who may say what to this device, and what they said last. A device with flat anchors has none: its
// root is zero, and no plan is asked for. It is a value.
type book struct {
	policy.Standing
	chain trust.Chain               // from the root of the running image to the newest one; Root is its end
	early [][]byte                  // single roots that came before the ones that they follow
	soon  []byte                    // a pulse that came before its plan
	held  map[transport.Kind][]byte // the newest plan and pulse that the present root did not admit
	kept  uint64                    // version of the newest root by the journal's own account
	void  []void                    // stored documents that do not verify
	taken []time.Duration           // uptimes at which plans and pulses were taken, of the last hour
}

// void is a stored document that no longer verifies. It stays in the journal, and is an alarm, until a good one
// takes its place.
type void struct {
	name string // root, plan, pulse, memory
	why  string
	mark string // stands for it in the list of those on record
}

// maxEarly bounds the single roots that are kept until those before them have come.
const maxEarly = 16

// openBook walks from the root that the running image brings to the newest one that was taken, and takes plan and
// pulse up again as far as they are still genuine under it. What does not verify is left out and is an alarm
// (Opened): the device never goes back to less than it trusted before, see Standing.Newest. With an error,
// which says that the image's own root cannot be used, the intake admits nothing.
func (in *Intake) openBook() error {
	chain, err := trust.NewChain(in.o.Root)
	if err != nil {
		return fmt.Errorf("cannot use the trust root of this image: %w", err)
	}
	b, st := &in.book, in.o.Store
	remembered := func(name string, version uint64) {
		if name == chain.Newest().Name() {
			b.Newest = max(b.Newest, version)
		}
	}
	remembered(st.Newest())
	b.chain = b.stored(chain, st)
	b.Root = in.at(b.chain.Newest())
	if b.kept = b.Newest; in.o.Seen != nil {
		remembered(in.o.Seen())
	}
	if b.behind() && len(b.void) == 0 {
		b.alarm("root", nil, fmt.Sprintf("root %d was verified here, and what is stored leads to root %d",
			b.Newest, b.Root.Version()))
	}
	b.Plan, err = campaign.VerifyPlan(b.Root, st.Document(store.Plan))
	in.genuine("plan", st.Document(store.Plan), err, func(r trust.Root, msg []byte) error {
		_, err := campaign.VerifyPlan(r, msg)
		return err
	})
	b.Pulse, err = campaign.VerifyPulse(b.Root, st.Document(store.Pulse))
	in.genuine("pulse", st.Document(store.Pulse), err, func(r trust.Root, msg []byte) error {
		_, err := campaign.VerifyPulse(r, msg)
		return err
	})
	if b.Memory, err = campaign.DecodeMemory(st.Document(store.Memory)); err != nil {
		// What plan and pulse say of themselves is the least that was seen.
		b.alarm("memory", st.Document(store.Memory), err.Error())
		b.Memory, _ = campaign.Memory{}.AcceptPlan(b.Root, in.o.Channel, b.Plan)
		b.Memory, _ = b.Memory.AcceptPulse(b.Root, b.Plan, b.Pulse)
	}
	return nil
}

// stored walks on along the roots that were taken before.
func (b *book) stored(chain trust.Chain, st *store.Store) trust.Chain {
	msg := st.Document(store.Root)
	next, err := chain.Take(msg)
	switch {
	case len(msg) == 0 || errors.Is(err, trust.ErrReplay): // the image brings a newer one
	case err == nil:
		chain = next
	default:
		b.alarm("root", msg, err.Error())
		if all, bad := trust.ParseBundle(msg); bad == nil && !errors.Is(err, trust.ErrFork) {
			// Agents before 0.2 kept a bundle of which only the newest versions had been verified. These were.
			b.Newest = max(b.Newest, uint64(all.Len()))
		}
	}
	for _, one := range st.Roots() {
		next, err := chain.Take(one.Body)
		switch {
		case err == nil:
			chain = next
		case errors.Is(err, trust.ErrReplay):
		case len(b.void) == 0:
			b.alarm("root", one.Body, err.Error())
		}
	}
	return chain
}

// genuine alarms when a stored document does not verify. One that verifies under an earlier root of the chain is
// not damaged: a newer image has brought the rotation that voids it. Behind its root a device cannot tell.
func (in *Intake) genuine(name string, msg []byte, err error, verify func(trust.Root, []byte) error) {
	b := &in.book
	if len(msg) == 0 || err == nil || b.behind() {
		return
	}
	for _, r := range b.chain.Roots() {
		if verify(in.at(r), msg) == nil {
			return
		}
	}
	b.alarm(name, msg, err.Error())
}

func (b *book) alarm(name string, msg []byte, why string) {
	sum := sha256.Sum256(append([]byte(why), msg...))
	b.void = append(b.void, void{name, why, fmt.Sprintf("%s %x", name, sum[:8])})
}

// Opened is what a start changes: an alarm goes on record once for each document that no longer verifies, and a
// permit that is void is dropped. settled: what runs is confirmed, so that its root is the one to remember.
//
// Crash: one journal transaction -> before: the next start finds the same; after: it is on record.
func (in *Intake) Opened(state life.State, settled bool) Change {
	c := Change{State: state, book: in.book}
	if !in.Rooted() {
		return c
	}
	known, marks := in.o.Store.Alarms(), []string(nil)
	note := func(name, why string) { c.Events = append(c.Events, in.doubt(name, why)) }
	for _, v := range in.book.void {
		marks = append(marks, v.mark)
		if !slices.Contains(known, v.mark) {
			note(v.name, v.why)
		}
	}
	if !slices.Equal(known, marks) {
		c.Ops = append(c.Ops, store.PutAlarms{Marks: marks})
	}
	if p, ok := in.o.Store.Permit(); ok && !in.book.behind() {
		ch := challengeOf(p)
		if _, err := campaign.VerifyPermit(in.book.Root, p.Document, ch); err != nil || in.used(p.Challenge) {
			switch {
			case err == nil:
				note("permit", "it was used before; the journal has gone back")
			case ch.RootVersion == 0 || ch.RootVersion >= in.book.Root.Version():
				note("permit", err.Error())
			default: // a newer image has brought the root that voids it
			}
			c.Ops, c.State.Permitted = append(c.Ops, life.DropPermit{}), ""
		}
	}
	if settled {
		in.remember(&c)
	}
	return c
}

// doubt is on record when a stored document no longer verifies.
func (in *Intake) doubt(name, why string) evidence.Event {
	in.o.Log.Error("a stored document does not verify", "document", name, "error", why)
	return evidence.Event{Kind: evidence.KindConfig, Reason: reason.DocumentVoid, To: "void", Actor: "journal",
		Detail: map[string]string{"document": name, "why": why}}
}

// Remember is what an update that has ended changes: the root that the running image has brought is kept like one
// that came over the network, so that an older image in the other slot does not go back behind it.
func (in *Intake) Remember(state life.State) Change {
	c := Change{State: state, book: in.book}
	in.remember(&c)
	return c
}

func (in *Intake) remember(c *Change) {
	if r := c.book.Root; in.Rooted() && r.Version() > c.book.Newest {
		c.book.Newest = r.Version()
		c.Ops = append(c.Ops, in.keep(c.book.chain, nil)...)
	}
}

// keep are the changes after which the journal leads along a chain, from any root that an image may bring. bundle
// is what the whole chain came in, nil where it did not come as one.
func (in *Intake) keep(chain trust.Chain, bundle []byte) []life.Op {
	newest := store.PutNewest{Name: chain.Newest().Name(), Version: max(chain.Newest().Version(), in.book.Newest)}
	if bundle != nil {
		return []life.Op{store.PutBundle{Body: bundle}, newest}
	}
	var ops []life.Op
	bundled := 0
	msg := in.o.Store.Document(store.Root)
	if all, err := trust.SplitBundle(msg); err == nil && slices.IndexFunc(all, func(one []byte) bool {
		bundled++
		return !bytes.Equal(one, chain.Message(uint64(bundled)))
	}) < 0 {
		bundled = len(all)
	} else if bundled = 0; len(msg) > 0 {
		ops = append(ops, store.PutDocument{Name: store.Root})
	}
	have := map[uint64][]byte{}
	for _, one := range in.o.Store.Roots() {
		have[one.Version] = one.Body
	}
	// No image begins before version 1, so that one is never needed.
	for v := max(chain.First(), uint64(bundled)+1, 2); v <= chain.Newest().Version(); v++ {
		if msg := chain.Message(v); !bytes.Equal(msg, have[v]) {
			ops = append(ops, store.PutRoot{Version: v, Body: msg})
		}
	}
	return append(ops, newest)
}

// behind tells whether the device has verified a newer root before than it can walk to now.
func (b book) behind() bool { return b.Root.Version() < b.Newest }

// rear is why the root cannot be relied on: it is behind the one that was verified before or the counter.
func (in *Intake) rear() (reason.Reason, string) {
	if !in.Rooted() {
		return reason.None, ""
	}
	return in.standing().Rear()
}

// Under is which root, plan and pulse are in force now; all zero on a device with flat anchors.
func (in *Intake) Under() evidence.Under {
	if !in.Rooted() {
		return evidence.Under{}
	}
	b := in.book
	return evidence.Under{Root: b.Root.Version(), Newest: max(b.Newest, b.Root.Version()),
		Plan: b.Plan.Spec().Sequence, Pulse: b.Pulse.Spec().Sequence}
}

// Plan is the plan in force, and its pulse; both may be zero.
func (in *Intake) Plan() (campaign.Campaign, campaign.Pulse) { return in.book.Plan, in.book.Pulse }

// Problem is what is wrong with what the device trusts, and in words; reason.None: nothing.
func (in *Intake) Problem() (reason.Reason, string) {
	var why []string
	for _, v := range in.book.void {
		why = append(why, v.name+": "+v.why)
	}
	text := strings.Join(why, "; ")
	switch {
	case in.book.behind():
		return reason.RootBehind, text
	case len(why) > 0:
		return reason.DocumentVoid, text
	}
	return reason.None, ""
}

// cured takes the alarms about a document back, which a good one has replaced.
func (b *book) cured(names ...string) []life.Op {
	left := slices.DeleteFunc(slices.Clone(b.void), func(v void) bool { return slices.Contains(names, v.name) })
	if len(left) == len(b.void) {
		return nil
	}
	b.void = left
	var marks []string
	for _, v := range left {
		marks = append(marks, v.mark)
	}
	return []life.Op{store.PutAlarms{Marks: marks}}
}
