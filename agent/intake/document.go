package intake

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// Change is what a document or a permit changes. Nothing of it holds before it is adopted.
type Change struct {
	Events []evidence.Event // become durable together with Ops; both may be empty
	Ops    []life.Op
	State  life.State // the machine's, afterwards
	Taken  bool       // a root, a plan or a pulse was taken

	book book
}

// Empty tells whether there is nothing for the journal.
func (c Change) Empty() bool { return len(c.Events) == 0 && len(c.Ops) == 0 }

// Adopt makes a change hold that is durable now.
func (in *Intake) Adopt(c Change) { in.book = c.book }

// Document reads a root, a plan or a pulse, and returns what it changes, in this order: a plan may bring a
// pulse into force that came before it. One that is refused changes nothing but the evidence, within the
// rate of state.
//
// Crash: each change is durable before anything is decided by it -> before: the document comes again, with
// the same result; after: it is known.
func (in *Intake) Document(state life.State, m transport.Message) []Change {
	if !in.Rooted() || len(m.Body) == 0 {
		return nil
	}
	r := &reading{Intake: in, m: m, state: state, next: in.book}
	var err error
	switch m.Kind {
	case transport.Root:
		err = r.root()
	case transport.Plan:
		err = r.plan()
	case transport.Pulse:
		err = r.pulse(m.Body)
	}
	var no *campaign.Refusal
	switch {
	case err == nil:
	case errors.As(err, &no):
		r.refuse(no.Reason, err)
	case m.Kind == transport.Root:
		r.refuse(reason.RootRefused, err)
	default:
		r.refuse(refusal(err), err)
	}
	return r.changes
}

// reading is a document that is being read: the book as it will be, and the changes that lead there.
type reading struct {
	*Intake
	m       transport.Message
	state   life.State
	next    book
	changes []Change
}

func (r *reading) change(c Change) {
	c.State, c.book = r.state, r.next
	r.changes = append(r.changes, c)
}

// take makes a document hold, as next has it.
func (r *reading) take(detail map[string]string, ops ...life.Op) {
	e := evidence.Event{Kind: evidence.KindConfig, To: "taken", Actor: r.m.Origin, Detail: detail}
	r.change(Change{Events: []evidence.Event{e}, Ops: ops, Taken: true})
}

func (r *reading) refuse(why reason.Reason, err error) {
	sum := sha256.Sum256(r.m.Body)
	next, ok := r.state.Recorded(sum[:16], r.o.Clock.Uptime())
	if !ok {
		r.state.Garbage = next.Garbage
		r.change(Change{})
		return
	}
	r.o.Log.Warn("document refused", "kind", r.m.Kind.String(), "reason", string(why),
		"origin", r.m.Origin, "error", err)
	r.state = next
	e := evidence.Event{Kind: evidence.KindDecision, Reason: why, To: "refuse", Actor: r.m.Origin,
		Detail: map[string]string{"document": r.m.Kind.String(), "why": err.Error()}}
	r.change(Change{Events: []evidence.Event{e}, Ops: []life.Op{life.PutSeen{Seen: next.Seen}}})
}

func (r *reading) root() error {
	b, err := trust.ParseBundle(r.m.Body)
	if err != nil {
		return err
	}
	_, now := r.wall()
	old := r.next.Root
	root, err := trust.Walk(old, b, now)
	switch {
	case errors.Is(err, trust.ErrReplay):
		return nil // an older bundle that is still retained somewhere: nothing new
	case err != nil && !errors.Is(err, trust.ErrExpired):
		return err
	case root.Version() == old.Version():
		return nil
	}
	r.next.Root = r.at(root)
	// A role that was rotated voids what its former signers said.
	if c, err := campaign.VerifyPlan(r.next.Root, r.o.Store.Document(store.Plan)); err != nil {
		r.next.Plan, r.next.Pulse = campaign.Campaign{}, campaign.Pulse{}
	} else if r.next.Plan = c; !r.next.Pulse.IsZero() {
		if _, err := campaign.VerifyPulse(r.next.Root, r.o.Store.Document(store.Pulse)); err != nil {
			r.next.Pulse = campaign.Pulse{}
		}
	}
	detail := map[string]string{"document": "root", "from-version": fmt.Sprint(old.Version()),
		"to-version": fmt.Sprint(root.Version())}
	r.take(detail, store.PutDocument{Name: store.Root, Body: r.m.Body})
	return nil
}

func (r *reading) plan() error {
	c, err := campaign.VerifyPlan(r.next.Root, r.m.Body)
	if err != nil {
		return err
	}
	if c.Digest() == r.next.Plan.Digest() {
		return nil
	}
	memory, err := r.next.Memory.AcceptPlan(r.next.Root, r.o.Channel, c)
	if err != nil {
		return err
	}
	kept, err := memory.Encode()
	if err != nil {
		return err
	}
	early := r.next.early
	r.next.Plan, r.next.Pulse, r.next.Memory, r.next.early = c, campaign.Pulse{}, memory, nil
	detail := map[string]string{"document": "plan", "plan": c.Digest().String(),
		"sequence": fmt.Sprint(c.Spec().Sequence)}
	r.take(detail, store.PutDocument{Name: store.Memory, Body: kept},
		store.PutDocument{Name: store.Plan, Body: r.m.Body})
	if early != nil {
		return r.pulse(early)
	}
	return nil
}

func (r *reading) pulse(body []byte) error {
	p, err := campaign.VerifyPulse(r.next.Root, body)
	if err != nil {
		return err
	}
	if p.Spec().Plan != r.next.Plan.Digest() {
		r.next.early = append([]byte(nil), body...) // its plan may be on the way
		r.change(Change{})
	}
	if p.Spec() == r.next.Pulse.Spec() {
		return nil
	}
	memory, err := r.next.Memory.AcceptPulse(r.next.Root, r.next.Plan, p)
	if err != nil {
		return err
	}
	kept, err := memory.Encode()
	if err != nil {
		return err
	}
	r.next.Pulse, r.next.Memory, r.next.early = p, memory, nil
	s := p.Spec()
	detail := map[string]string{"document": "pulse", "plan": s.Plan.String(), "sequence": fmt.Sprint(s.Sequence),
		"state": string(s.State), "phase": fmt.Sprint(s.Phase)}
	r.take(detail, store.PutDocument{Name: store.Memory, Body: kept}, store.PutDocument{Name: store.Pulse, Body: body})
	return nil
}
