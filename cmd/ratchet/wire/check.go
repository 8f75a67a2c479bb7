package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// Check looks for what is wrong with the files that the configuration names, without touching a slot.
func Check(c *config.Config) error {
	if err := checkLoader(c); err != nil {
		return err
	}
	if _, err := anchors(c); err != nil && c.Trust.Root == "" {
		return err
	}
	if _, err := root(c); err != nil {
		return err
	}
	if _, err := decryption(c); err != nil {
		return err
	}
	var errs []error
	made := connect.New(settings(c), textfile.Read, noSignature, slog.New(slog.DiscardHandler))
	for _, err := range append(made.Bad, made.Problems()...) {
		errs = append(errs, keyed(c, err))
	}
	if err := errors.Join(append(errs, lacksClientKeys(c)...)...); err != nil {
		return err
	}
	if _, err := healthPlan(c, func() (bool, time.Time) { return false, time.Time{} }); err != nil {
		return err
	}
	if err := checkUnits(c); err != nil {
		return err
	}
	if _, err := journalOptions(c); err != nil {
		return err
	}
	if err := Volatile(c); err != nil {
		return fmt.Errorf("%w. %s", err, reason.StateVolatile.Info().Advice)
	}
	if c.Boot.Backend == "hook" {
		if _, err := exec.LookPath(c.Boot.Hook); err != nil {
			return c.Errorf("boot.hook", "cannot run it: %v", err)
		}
	}
	if c.Control.Socket != "" {
		if err := control.CheckPath(c.Control.Socket); err != nil {
			return c.Errorf("control.socket", "%v", err)
		}
	}
	if _, err := SocketMode(c); err != nil {
		return err
	}
	return c.Strict()
}

func checkUnits(c *config.Config) error {
	for _, x := range unitChecks(c.Health) {
		if err := x.unit.Validate(); err != nil {
			return c.Errorf(x.key, "%v", err)
		}
	}
	return nil
}
