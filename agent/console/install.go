package console

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/transport"
)

// LocalInstall is an update that a technician hands over at the console.
type LocalInstall struct {
	Envelope []byte
	Name     string          // file name, for evidence
	Actor    string          // "uid 0 (pid 123)"
	Payloads intake.Payloads // by PayloadName of the URI; nil in a check
}

// Check verifies a local install and says what it would do and need. Nothing is written.
func (c *Console) Check(ctx context.Context, l LocalInstall) (control.InstallCheck, error) {
	var out control.InstallCheck
	_, err := c.o.Ask(ctx, func(_ context.Context, s life.State) (life.Event, error) {
		if err := mustBeIdle(s); err != nil {
			return nil, err
		}
		o := l.offer()
		m, d, r := c.o.Intake.Check(s, o)
		if r.Unverified { // an attempt is on record, whoever made it
			c.o.Intake.Bring(o)
			return life.Decided{Moment: c.moment(), Ask: life.Ask{Offer: true}, Ruling: r}, nil
		}
		out = control.InstallCheck{Schema: control.Schema, Outcome: d.Outcome.String(), Manifest: m.Digest().String(),
			Sequence: m.Sequence(), Version: intake.Version(m), Description: m.Description("en"), Signers: m.Signers(),
			Target: string(intake.Target(s)), Need: []control.Payload{}}
		for _, f := range d.Findings {
			i := f.Reason.Info()
			says := i.Says
			if f.Detail != "" {
				says += " (" + f.Detail + ")"
			}
			out.Findings = append(out.Findings,
				control.Finding{Reason: f.Reason, Says: says, Advice: i.Advice, Final: f.Final})
		}
		for _, n := range d.Needs {
			out.Need = append(out.Need,
				control.Payload{Name: PayloadName(n.URI), Component: n.Component, Bytes: n.Bytes})
		}
		for _, k := range d.Carries {
			out.Carry = append(out.Carry,
				control.Carried{Component: k.Component, Bytes: k.Size, Sequence: k.Sequence})
		}
		return nil, nil
	})
	return out, err
}

func mustBeIdle(s life.State) error {
	if p := s.Rec.Phase; p != life.Idle {
		return &intake.Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(p)}
	}
	return nil
}

func (l LocalInstall) offer() intake.Offer {
	return intake.Offer{Envelope: l.Envelope, Origin: l.Actor + " file:" + l.Name, Payloads: l.Payloads, Console: true}
}

// Install begins a local install, and follows it until the machine is told to reboot or the update
// has ended. show is called with progress. The payloads are closed when they have been read, or will not be.
func (c *Console) Install(ctx context.Context, l LocalInstall, show func(control.Progress)) (control.Done, error) {
	if l.Payloads == nil {
		l.Payloads = intake.Payloads{}
	}
	var asked atomic.Bool
	_, err := c.o.Ask(ctx, func(_ context.Context, s life.State) (life.Event, error) {
		if err := cmp.Or(ctx.Err(), mustBeIdle(s)); err != nil { // who asked has gone before it began
			return nil, err
		}
		asked.Store(true)
		c.o.Intake.Bring(l.offer())
		ask := life.Ask{Stage: life.Download, Offer: true}
		ruling := c.o.Intake.Decide(s, ask)
		return life.Decided{Moment: c.moment(), Ask: ask, Ruling: ruling}, nil
	})
	if err != nil {
		if ctx.Err() == nil || !asked.Load() { // else it may have begun, and go on without who asked
			l.Payloads.Close()
		}
		return control.Done{}, err
	}
	return c.follow(ctx, show)
}

// follow watches an update that was begun until it is out of this boot's hands. Idle means that it has
// ended already: a failure may be quicker than the first look.
func (c *Console) follow(ctx context.Context, show func(control.Progress)) (control.Done, error) {
	for {
		s := c.o.View.Snapshot()
		switch {
		case s.Phase == life.Rebooting:
			return control.Done{Schema: control.Schema, Result: "rebooting", Reboots: true,
				Says: fmt.Sprintf("Slot %s is armed; the machine reboots into it for its trial.", s.Rec.Target)}, nil
		case s.Phase == life.Idle:
			o, _ := c.o.Store.Outcome()
			return control.Done{}, &intake.Refused{Reason: o.Reason, Detail: o.Detail, Deferred: o.Result == "deferred"}
		}
		show(c.nowProgress())
		select {
		case <-ctx.Done():
			return control.Done{}, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// PayloadName is the file name under which a local install finds the payload of a URI; "" when the
// URI has none, so that no file can be meant.
func PayloadName(uri string) string {
	name, _ := transport.LocalName(uri)
	return name
}
