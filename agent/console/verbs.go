package console

import (
	"context"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Confirm ends a trial at once, on an operator's word.
func (c *Console) Confirm(ctx context.Context, actor, note string) (control.Done, error) {
	return c.person(ctx, life.Asked{Verb: life.VerbConfirm, Actor: actor, Note: note}, nil)
}

// Revert goes back to what the other slot holds, or ends an update that is not armed yet.
func (c *Console) Revert(ctx context.Context, actor, note string) (control.Done, error) {
	asked := life.Asked{Verb: life.VerbRevert, Actor: actor, Note: note}
	return c.person(ctx, asked, func(ctx context.Context, s life.State, e *life.Asked) error {
		if s.Rec.Phase != life.Idle || s.Run == "" {
			return nil
		}
		st, err := c.o.Boot.State(ctx)
		e.Boot, e.BootOK, e.BootText = st, err == nil, errText(err)
		e.Barred, e.BarredBy = c.o.Intake.Barred(intake.Target(s))
		return nil
	})
}

// Approve gives a person's consent to one manifest, by digest, or to the one that waits.
func (c *Console) Approve(ctx context.Context, digest, actor, note string) (control.Done, error) {
	asked := life.Asked{Verb: life.VerbApprove, Actor: actor, Note: note, Digest: digest}
	return c.person(ctx, asked, func(_ context.Context, _ life.State, e *life.Asked) error {
		if digest == "" {
			return nil
		}
		if _, err := manifest.ParseDigest(digest); err != nil {
			return &intake.Refused{Reason: reason.RequestBad, Detail: err.Error()}
		}
		_, e.Final = c.o.Store.Verdict(digest)
		return nil
	})
}

// Retry has an update tried again at once, by digest or the one that waits: its failures are forgotten. What is
// quarantined or has a final verdict is given back where the person is sure.
func (c *Console) Retry(ctx context.Context, digest string, sure bool, actor, note string) (control.Done, error) {
	asked := life.Asked{Verb: life.VerbRetry, Actor: actor, Note: note, Digest: digest, Sure: sure}
	return c.person(ctx, asked, func(_ context.Context, s life.State, e *life.Asked) error {
		if digest == "" {
			e.Digest = s.Retries()
		} else if _, err := manifest.ParseDigest(digest); err != nil {
			return &intake.Refused{Reason: reason.RequestBad, Detail: err.Error()}
		}
		e.Cause, _ = c.o.Quarantined(e.Digest)
		e.Verdict, _ = c.o.Store.Verdict(e.Digest)
		return nil
	})
}

// person asks the machine; fill adds what it needs to know.
func (c *Console) person(ctx context.Context, e life.Asked,
	fill func(context.Context, life.State, *life.Asked) error) (control.Done, error) {
	is, err := c.o.Ask(ctx, func(ctx context.Context, s life.State) (life.Event, error) {
		e.Moment = c.moment()
		if fill != nil {
			if err := fill(ctx, s, &e); err != nil {
				return nil, err
			}
		}
		return e, nil
	})
	return control.Done{Schema: control.Schema, Says: is.Says, Reboots: is.Reboots}, err
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
