package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Challenge opens a new challenge, which voids the one before, and returns it as a person copies it.
func (c *Console) Challenge(ctx context.Context, actor string) (control.Challenge, error) {
	out := control.Challenge{Schema: control.Schema, Device: c.o.Device}
	err := c.do(ctx, func(s life.State) error {
		version, text, change, err := c.o.Intake.Challenge(s, actor)
		if err != nil {
			return err
		}
		out.RootVersion, out.Challenge = version, text
		return c.o.Adopt(change)
	})
	if out.Challenge == "" {
		return control.Challenge{}, err
	}
	return out, err
}

// Permit takes a permit that answers the open challenge. It is used by the next local install of the
// manifest that it names.
func (c *Console) Permit(ctx context.Context, document []byte, actor string) (control.Done, error) {
	done := control.Done{Schema: control.Schema}
	err := c.do(ctx, func(s life.State) error {
		p, change, refused := c.o.Intake.Permit(s, document, actor)
		if err := c.o.Adopt(change); err != nil || refused != nil {
			return errors.Join(err, refused)
		}
		done.Reason = reason.Permitted
		done.Says = fmt.Sprintf("The permit is good: the next `ratchet install` of %s may go on although these rules "+
			"forbid it: %s.", p.Spec().Manifest, strings.Join(intake.Lifts(p), ", "))
		return nil
	})
	return done, err
}
