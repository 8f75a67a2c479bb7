package daemon

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// bootSafe is what is left when not even a last good configuration is there: nothing is written, the
// technician is answered, and systemd is not made to restart in a loop.
func bootSafe(ctx context.Context, d *device, why error) {
	why = errors.New(oneLine(why))
	d.log.Error("boot-safe mode: nothing is installed and no boot metadata is touched until this is corrected",
		"error", why)
	h := func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		switch r.Verb {
		case control.VerbStatus:
			return minimalStatus(d, why), nil
		}
		return nil, safeError(why)
	}
	go func() {
		if err := systemdWatchdog(ctx); err != nil {
			d.log.Warn("systemd watchdog", "error", err)
		}
	}()
	go func() { _ = d.watch(ctx) }()
	listening := make(chan struct{})
	go func() {
		<-listening
		notify(sd.SdNotifyReady + "\nSTATUS=boot-safe mode: " + why.Error())
	}()
	// Never just exit: the error is in the log, and a restart would not help.
	serveControl(ctx, d.config, d.log, h, listening)
}

// safeError is the answer to all but a look at the status.
func safeError(why error) error {
	i := reason.BootSafeMode.Info()
	return &control.Error{Reason: reason.BootSafeMode, Message: i.Says + " (" + why.Error() + ")", Advice: i.Advice,
		Exit: control.ExitFailed}
}

// minimalStatus says what is known without an agent: next to nothing, and what to do.
func minimalStatus(d *device, why error) control.Status {
	host, _ := os.Hostname()
	id := d.config.Device.ID
	if id == "" {
		id = host
	}
	unknown := control.SlotStatus{Tries: -1, State: "not known"}
	return control.Status{
		Schema: control.Schema, Device: id, Agent: agent.Version,
		Mode: control.ModeBootSafe, ModeReason: reason.ConfigInvalid, ModeWhy: why.Error(),
		Phase: string(life.Idle), Running: unknown, Other: unknown,
		Journal: control.JournalStatus{FreeBytes: -1},
		Time: control.TimeStatus{Wall: time.Now().UTC(), Quality: "local",
			UptimeSeconds: int64(linux.Clock{}.Uptime().Seconds())},
		Problems: []string{why.Error()}, ProblemReasons: []reason.Reason{reason.PartMissing},
		Advice: []string{"Correct what is named, and check it with `ratchet daemon --check-config --config " + d.path +
			"`. It is read again every minute."},
	}
}

// oneLine is an error in one line, for status, evidence and systemd: a configuration may have several faults.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
