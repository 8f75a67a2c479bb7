package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// standing is who may say what to this device, and what they said last. A device with flat anchors
// has none: its root is zero, and no plan is asked for.
type standing struct {
	policy.Standing
	early []byte // a pulse that came before its plan
}

func (s standing) rooted() bool { return !s.Root.IsZero() }

func (a *Agent) wall() (policy.Now, trust.Time) {
	wall, q := a.o.Clock.Wall()
	known := q != hal.TimeUnknown
	return policy.Now{Wall: wall, Known: known}, trust.Time{Wall: wall, Known: known}
}

// authority is who may release for this device: the root's signers, or the flat anchors of a device
// without a root. Once there is a root, flat anchors are refused (Options.Validate).
func (a *Agent) authority() manifest.Authority {
	if a.who.rooted() {
		return a.who.Root.Release(policy.Scope(a.o.Facts))
	}
	return a.o.Authority
}

// openStanding walks from the root that the running image brings to the newest one that was taken,
// and takes plan and pulse up again as far as they are still genuine under it. What is damaged or
// void is left out, never an error: the next retained message brings it back.
func (a *Agent) openStanding() error {
	if len(a.o.Root) == 0 {
		return nil
	}
	root, err := trust.Anchor(a.o.Root)
	if err != nil {
		return fmt.Errorf("cannot use the trust root of this image: %w", err)
	}
	_, now := a.wall()
	raw := a.st.Document(store.Root)
	if b, err := trust.ParseBundle(raw); err == nil {
		if newer, err := trust.Walk(root, b, now); err == nil || errors.Is(err, trust.ErrExpired) {
			root = newer
		}
	}
	a.adopt(root)
	if m, err := campaign.DecodeMemory(a.st.Document(store.Memory)); err == nil {
		a.who.Memory = m
	}
	if c, err := campaign.VerifyPlan(a.who.Root, a.st.Document(store.Plan)); err == nil {
		a.who.Plan = c
	}
	if p, err := campaign.VerifyPulse(a.who.Root, a.st.Document(store.Pulse)); err == nil {
		a.who.Pulse = p
	}
	return nil
}

func (a *Agent) adopt(r trust.Root) { a.who.Root = r.At(policy.Scope(a.o.Facts)) }

// rootVersion is what the counter is raised to after a confirmed update.
func (a *Agent) rootVersion() uint64 {
	if a.who.rooted() {
		return a.who.Root.Version()
	}
	return a.o.RootVersion
}

// standing is who may say what to this device now, as the hardware counter stands. A device with flat
// anchors has none.
func (a *Agent) standing() policy.Standing {
	if !a.who.rooted() {
		return policy.Standing{}
	}
	a.who.Counter, a.who.Unread = 0, ""
	if c := a.readCounter(context.Background()); c.Error == "" {
		a.who.Counter = c.Value
	} else if !c.Weak {
		a.who.Unread = c.Error
	}
	return a.who.Standing
}

// document takes a root, a plan or a pulse, and tells whether it did. One that is refused changes nothing
// but the evidence.
//
// Crash: what is taken is durable before anything is decided by it -> before: it comes again, with
// the same result; after: it is known.
func (a *Agent) document(m transport.Message) (taken bool, err error) {
	if !a.who.rooted() || len(m.Body) == 0 {
		return false, nil
	}
	switch m.Kind {
	case transport.Root:
		taken, err = a.takeRoot(m)
	case transport.Plan:
		taken, err = a.takePlan(m)
	case transport.Pulse:
		taken, err = a.takePulse(m.Origin, m.Body)
	}
	var r *campaign.Refusal
	switch {
	case err == nil || errors.Is(err, store.ErrDurable):
		return taken, err
	case errors.As(err, &r):
		return taken, a.refuseDocument(m, r.Reason, err)
	case m.Kind == transport.Root:
		return taken, a.refuseDocument(m, reason.RootRefused, err)
	}
	return taken, a.refuseDocument(m, refusal(err), err)
}

func (a *Agent) refuseDocument(m transport.Message, why reason.Reason, err error) error {
	sum := sha256.Sum256(m.Body)
	next, ok := a.s.Recorded(sum[:16], a.o.Clock.Uptime())
	if !ok {
		a.s.Garbage = next.Garbage
		return nil
	}
	a.log.Warn("document refused", "kind", m.Kind.String(), "reason", string(why), "origin", m.Origin, "error", err)
	if err := a.note(evidence.Event{Kind: evidence.KindDecision, Reason: why, To: "refuse", Actor: m.Origin,
		Detail: map[string]string{"document": m.Kind.String(), "why": err.Error()}}, life.PutSeen{Seen: next.Seen}); err != nil {
		return err
	}
	a.s = next
	return nil
}

func (a *Agent) takeRoot(m transport.Message) (bool, error) {
	b, err := trust.ParseBundle(m.Body)
	if err != nil {
		return false, err
	}
	_, now := a.wall()
	old := a.who.Root
	root, err := trust.Walk(old, b, now)
	switch {
	case errors.Is(err, trust.ErrReplay):
		return false, nil // an older bundle that is still retained somewhere: nothing new
	case err != nil && !errors.Is(err, trust.ErrExpired):
		return false, err
	case root.Version() == old.Version():
		return false, nil
	}
	detail := map[string]string{"document": "root", "from-version": fmt.Sprint(old.Version()), "to-version": fmt.Sprint(root.Version())}
	if err := a.taken(m.Origin, detail, store.PutDocument{Name: store.Root, Body: m.Body}); err != nil {
		return false, err
	}
	a.adopt(root)
	// A role that was rotated voids what its former signers said.
	if c, err := campaign.VerifyPlan(a.who.Root, a.st.Document(store.Plan)); err != nil {
		a.who.Plan, a.who.Pulse = campaign.Campaign{}, campaign.Pulse{}
	} else if a.who.Plan = c; !a.who.Pulse.IsZero() {
		if _, err := campaign.VerifyPulse(a.who.Root, a.st.Document(store.Pulse)); err != nil {
			a.who.Pulse = campaign.Pulse{}
		}
	}
	return true, nil
}

func (a *Agent) takePlan(m transport.Message) (bool, error) {
	c, err := campaign.VerifyPlan(a.who.Root, m.Body)
	if err != nil {
		return false, err
	}
	if c.Digest() == a.who.Plan.Digest() {
		return false, nil
	}
	memory, err := a.who.Memory.AcceptPlan(a.who.Root, a.o.Channel, c)
	if err != nil {
		return false, err
	}
	kept, err := memory.Encode()
	if err != nil {
		return false, err
	}
	detail := map[string]string{"document": "plan", "plan": c.Digest().String(), "sequence": fmt.Sprint(c.Spec().Sequence)}
	if err := a.taken(m.Origin, detail, store.PutDocument{Name: store.Memory, Body: kept}, store.PutDocument{Name: store.Plan, Body: m.Body}); err != nil {
		return false, err
	}
	a.who.Plan, a.who.Pulse, a.who.Memory = c, campaign.Pulse{}, memory
	if early := a.who.early; early != nil {
		a.who.early = nil
		_, err := a.takePulse(m.Origin, early)
		return true, err
	}
	return true, nil
}

func (a *Agent) takePulse(origin string, body []byte) (bool, error) {
	p, err := campaign.VerifyPulse(a.who.Root, body)
	if err != nil {
		return false, err
	}
	if p.Spec().Plan != a.who.Plan.Digest() {
		a.who.early = append([]byte(nil), body...) // its plan may be on the way
	}
	if p.Spec() == a.who.Pulse.Spec() {
		return false, nil
	}
	memory, err := a.who.Memory.AcceptPulse(a.who.Root, a.who.Plan, p)
	if err != nil {
		return false, err
	}
	kept, err := memory.Encode()
	if err != nil {
		return false, err
	}
	s := p.Spec()
	detail := map[string]string{"document": "pulse", "plan": s.Plan.String(), "sequence": fmt.Sprint(s.Sequence), "state": string(s.State), "phase": fmt.Sprint(s.Phase)}
	if err := a.taken(origin, detail, store.PutDocument{Name: store.Memory, Body: kept}, store.PutDocument{Name: store.Pulse, Body: body}); err != nil {
		return false, err
	}
	a.who.Pulse, a.who.Memory, a.who.early = p, memory, nil
	return true, nil
}

// taken makes a document durable.
func (a *Agent) taken(origin string, detail map[string]string, ops ...life.Op) error {
	e := evidence.Event{Kind: evidence.KindConfig, To: "taken", Actor: origin, Detail: detail}
	if err := a.note(e, ops...); err != nil {
		return err
	}
	a.log.Info("document taken", "document", detail["document"], "origin", origin)
	return nil
}
