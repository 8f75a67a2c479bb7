package intake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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

// Document reads a root, a plan or a pulse, and returns what it changes, in this order: a root may bring those into
// force that came before it, and a plan and a pulse of its generation; a plan its pulse. One that is refused
// changes nothing but the evidence, within the rate of state.
//
// Crash: each change is durable before anything is decided by it -> before: the document comes again, with
// the same result; after: it is known.
func (in *Intake) Document(state life.State, m transport.Message) []Change {
	if !in.Rooted() || len(m.Body) == 0 {
		return nil
	}
	r := &reading{Intake: in, m: m, state: state, next: in.book}
	r.read()
	if m.Kind == transport.Root && len(r.changes) > 0 && r.changes[len(r.changes)-1].Taken {
		for _, kind := range []transport.Kind{transport.Plan, transport.Pulse} {
			if body := r.next.held[kind]; body != nil {
				r.m.Kind, r.m.Body = kind, body
				r.read()
			}
		}
	}
	return r.changes
}

// hold keeps a plan or a pulse that cannot be read under the present root: the root that it needs may be on the
// way. It is read once more when a root is taken. One of each kind is kept, and no restart keeps it.
func (r *reading) hold() { r.next.held[r.m.Kind] = bytes.Clone(r.m.Body) }

// read reads one document.
func (r *reading) read() {
	var err error
	switch r.m.Kind {
	case transport.Root:
		err = r.root()
	case transport.Plan, transport.Pulse:
		r.next.held = maps.Clone(r.next.held) // the book that it came from is a value
		if r.next.held == nil {
			r.next.held = map[transport.Kind][]byte{}
		}
		delete(r.next.held, r.m.Kind)
		// What signers say whom a newer root has replaced is not even remembered. A device that has lost its
		// journal hears what the broker has now: plans of former signers are of an older generation there.
		if r.next.Root.Version() < r.next.kept {
			_, text := r.next.Rear()
			err = &campaign.Refusal{Reason: reason.RootBehind, Detail: text}
			break
		}
		if r.m.Kind == transport.Plan {
			err = r.plan()
		} else {
			err = r.pulse(r.m.Body)
		}
	}
	var no *campaign.Refusal
	switch {
	case err == nil:
	case r.m.Kind == transport.Root:
		r.refuse(reason.RootRefused, err)
	case errors.As(err, &no):
		r.hold()
		r.refuse(no.Reason, err)
	default:
		r.hold()
		r.refuse(refusal(err), err)
	}
}

// reading is a document that is being read: the book as it will be, and the changes that lead there.
type reading struct {
	*Intake
	m       transport.Message
	state   life.State
	next    book
	changes []Change
}

//go:noinline
func (r *reading) change(c Change) {
	c.State, c.book = r.state, r.next
	r.changes = append(r.changes, c)
}

// take makes a document hold, as next has it.
//
//go:noinline
func (r *reading) take(detail map[string]string, ops ...life.Op) {
	e := evidence.Event{Kind: evidence.KindConfig, To: "taken", Actor: r.m.Origin, Detail: detail}
	r.change(Change{Events: []evidence.Event{e}, Ops: ops, Taken: true})
}

func (r *reading) refuse(why reason.Reason, err error) { r.record(why, "refuse", err) }

// record puts on record that a document was not taken, within the rate.
func (r *reading) record(why reason.Reason, to string, err error) {
	sum := sha256.Sum256(r.m.Body)
	next, ok := r.state.Recorded(sum[:16], r.o.Clock.Uptime())
	if !ok {
		r.state.Garbage = next.Garbage
		r.change(Change{})
		return
	}
	r.o.Log.Warn("document not taken", "kind", r.m.Kind.String(), "reason", string(why),
		"origin", r.m.Origin, "error", err)
	r.state = next
	e := evidence.Event{Kind: evidence.KindDecision, Reason: why, To: to, Actor: r.m.Origin,
		Detail: map[string]string{"document": r.m.Kind.String(), "why": err.Error()}}
	r.change(Change{Events: []evidence.Event{e}, Ops: []life.Op{life.PutSeen{Seen: next.Seen}}})
}

// root takes a bundle of all versions, or one version by itself, and those that came before it and follow now.
func (r *reading) root() error {
	chain, err := r.next.chain.Take(r.m.Body)
	single := trust.IsRoot(r.m.Body)
	switch {
	case errors.Is(err, trust.ErrReplay):
		return nil // an older one that is still retained somewhere: nothing new
	case single && (errors.Is(err, trust.ErrNoSigner) || errors.Is(err, trust.ErrSignature) ||
		errors.Is(err, trust.ErrVersion)):
		r.before(err)
		return nil
	case err != nil:
		return err
	}
	body := r.m.Body
	if single || len(body) > transport.MaxMessage { // each version by itself is of a size that a journal takes
		body = nil
	}
	r.step(chain, body)
	for more := true; more; {
		more = false
		for i, msg := range r.next.early {
			if chain, err := r.next.chain.Take(msg); err == nil {
				r.next.early = slices.Delete(slices.Clone(r.next.early), i, i+1)
				r.step(chain, nil)
				more = true
				break
			}
		}
	}
	return nil
}

// before keeps a single root that does not follow the newest one: the ones between may be on the way. It cannot be
// told from a forged one, so it is on record, within the rate.
func (r *reading) before(err error) {
	if slices.ContainsFunc(r.next.early, func(b []byte) bool { return bytes.Equal(b, r.m.Body) }) {
		return
	}
	early := append(slices.Clone(r.next.early), bytes.Clone(r.m.Body))
	r.next.early = early[max(len(early)-maxEarly, 0):]
	r.record(reason.RootRefused, "defer", err)
}

// step makes a chain that is longer than the one before hold. A role that was rotated voids what its former
// signers said: it is dropped from the journal too, so that a start does not take it for damaged. A permit answers
// a challenge under one root, and is void with the next.
func (r *reading) step(chain trust.Chain, bundle []byte) {
	old := r.next.Root
	r.next.chain, r.next.Root, r.next.taken = chain, r.at(chain.Newest()), nil
	ops := append(r.keep(chain, bundle), r.next.cured("root")...)
	r.next.Newest = max(r.next.Newest, chain.Newest().Version())
	detail := map[string]string{"document": "root", "from-version": fmt.Sprint(old.Version()),
		"to-version": fmt.Sprint(r.next.Root.Version())}
	if !r.next.behind() {
		ops = append(ops, r.voided(detail)...)
	}
	r.take(detail, ops...)
}

// voided takes back what a new root makes void.
func (r *reading) voided(detail map[string]string) (ops []life.Op) {
	drop := func(name store.Document) {
		if len(r.o.Store.Document(name)) > 0 {
			ops = append(ops, store.PutDocument{Name: name})
		}
		detail["voids-"+string(name)] = "yes"
	}
	c, err := campaign.VerifyPlan(r.next.Root, r.o.Store.Document(store.Plan))
	if had := !r.next.Plan.IsZero(); err != nil && had {
		drop(store.Plan)
	}
	p, bad := campaign.VerifyPulse(r.next.Root, r.o.Store.Document(store.Pulse))
	if had := !r.next.Pulse.IsZero(); (err != nil || bad != nil) && had {
		drop(store.Pulse)
		p = campaign.Pulse{}
	}
	r.next.Plan, r.next.Pulse = c, p
	if p, ok := r.o.Store.Permit(); ok {
		if _, err := campaign.VerifyPermit(r.next.Root, p.Document, challengeOf(p)); err != nil {
			ops, r.state.Permitted = append(ops, life.DropPermit{}), ""
			detail["voids-permit"] = "yes"
		}
	}
	return ops
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
	if err := r.room(); err != nil {
		return err
	}
	early := r.next.soon
	r.next.Plan, r.next.Pulse, r.next.Memory, r.next.soon = c, campaign.Pulse{}, memory, nil
	detail := map[string]string{"document": "plan", "plan": c.Digest().String(),
		"sequence": fmt.Sprint(c.Spec().Sequence)}
	ops := []life.Op{store.PutDocument{Name: store.Memory, Body: kept},
		store.PutDocument{Name: store.Plan, Body: r.m.Body}}
	r.take(detail, append(ops, r.next.cured("plan", "memory", "pulse")...)...)
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
		r.next.soon = append([]byte(nil), body...) // its plan may be on the way
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
	if was := r.next.Pulse; !stops(was, p) {
		if err := r.room(); err != nil {
			return err
		}
	}
	r.next.Pulse, r.next.Memory, r.next.soon = p, memory, nil
	s := p.Spec()
	detail := map[string]string{"document": "pulse", "plan": s.Plan.String(), "sequence": fmt.Sprint(s.Sequence),
		"state": string(s.State), "phase": fmt.Sprint(s.Phase)}
	ops := []life.Op{store.PutDocument{Name: store.Memory, Body: kept},
		store.PutDocument{Name: store.Pulse, Body: body}}
	r.take(detail, append(ops, r.next.cured("pulse", "memory")...)...)
	return nil
}

// mostTaken bounds the plans and pulses that are taken in an hour of uptime. Each is a transaction and a record, and
// whoever has stolen the key of either role can sign as many as he likes.
const mostTaken = 60

// room counts a plan or a pulse that would be taken. The next root begins anew: it may have brought other keys.
func (r *reading) room() error {
	now := r.o.Clock.Uptime()
	recent := slices.DeleteFunc(slices.Clone(r.next.taken), func(t time.Duration) bool { return now-t >= time.Hour })
	if len(recent) >= mostTaken {
		return &campaign.Refusal{Reason: reason.TooManyDocuments,
			Detail: fmt.Sprintf("%d plans and pulses were taken within an hour", len(recent))}
	}
	r.next.taken = append(recent, now)
	return nil
}

// stops tells whether a pulse forbids what the one before it allowed. That never comes too late, and only so often:
// what it stops was counted when it was taken.
func stops(was, p campaign.Pulse) bool {
	now := p.Spec().State
	return now != campaign.StateOpen && (was.IsZero() || was.Spec().State == campaign.StateOpen) ||
		now == campaign.StateWithdrawn && was.Spec().State != campaign.StateWithdrawn
}
