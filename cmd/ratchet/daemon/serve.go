package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// serve runs the parts until ctx ends, and waits for all of them.
func (d *device) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wait sync.WaitGroup
	goes := func(what string, f func(context.Context) error) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if err := f(ctx); err != nil && ctx.Err() == nil {
				d.log.Error(what+" ended", "error", err)
			}
		}()
	}
	var connected <-chan struct{}
	if d.mqtt != nil {
		connected = d.mqtt.Connects()
		goes("connection to the fleet", d.mqtt.Run)
	}
	goes("report", func(ctx context.Context) error { d.agent.Reporter().Run(ctx, connected); return nil })
	goes("control socket", d.control)
	goes("systemd watchdog", systemdWatchdog)
	goes("memory", settleMemory)
	notify(sd.SdNotifyReady)
	err := d.agent.Run(ctx)
	notify(sd.SdNotifyStopping)
	cancel()
	wait.Wait()
	if d.journal != nil {
		if cerr := d.journal.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}
	if err != nil {
		d.log.Error("ended", "error", err)
		return err
	}
	d.log.Info("stopped; an update in progress continues at the next start")
	return nil
}

// control answers the technician.
func (d *device) control(ctx context.Context) error {
	return serveControl(ctx, d.config, d.log, d.handle)
}

// serveControl listens where the configuration says, and lets h answer, until ctx ends.
func serveControl(ctx context.Context, c config.Config, log *slog.Logger, h control.Handler) error {
	socket := c.Control.Socket
	if socket == "" {
		socket = control.DefaultSocket
	}
	mode, err := wire.SocketMode(&c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return err
	}
	l, err := control.Listen(socket, mode)
	if err != nil {
		return err
	}
	a := control.Access{Read: c.Control.ReadUIDs, Write: c.Control.WriteUIDs,
		ReadGroup: c.Control.ReadGIDs, WriteGroup: c.Control.WriteGIDs,
		Report: func(err error) { log.Warn("control socket", "error", err) }}
	return control.Serve(ctx, l, a, h)
}

// notify tells systemd; without systemd it does nothing.
func notify(state string) { _, _ = sd.SdNotify(false, state) }

// settleMemory gives back, once, what only the start needed.
func settleMemory(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(15 * time.Second):
	}
	debug.FreeOSMemory()
	return linux.ReleaseText()
}

// systemdWatchdog tells systemd that the process lives, at a third of the time it was given.
func systemdWatchdog(ctx context.Context) error {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return err
	}
	t := time.NewTicker(every / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			notify(sd.SdNotifyWatchdog)
		}
	}
}
