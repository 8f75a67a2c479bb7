package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// serve runs the parts until ctx ends, and waits for all of them.
func (d *device) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := d.agent.Unproven(); err != nil {
		d.lacks = append(d.lacks, reason.Lacks(oneLine(err)))
	}
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
	if d.net != nil {
		connected = d.net.Connects()
		goes("network process", d.net.Run)
	}
	goes("report", func(ctx context.Context) error { d.agent.Reporter().Run(ctx, connected); return nil })
	listening := make(chan struct{})
	goes("control socket", func(ctx context.Context) error {
		serveControl(ctx, d.config, d.log, d.handle, listening)
		return nil
	})
	goes("systemd watchdog", systemdWatchdog)
	goes("memory", settleMemory)
	goes("watch over the clock", func(ctx context.Context) error { return linux.WatchClock(ctx, d.stepped) })
	goes("search for what is missing", d.watch)
	select { // whoever waits for the unit can ask it something
	case <-listening:
	case <-ctx.Done():
	}
	notify(sd.SdNotifyReady)
	err, all := until(ctx, d.agent.Run, func() {
		notify(sd.SdNotifyStopping)
		cancel()
		wait.Wait()
	})
	if !all {
		// A power cut at any moment does no harm, and neither does this.
		d.log.Warn("stopped in the middle of something that does not end; it is taken up at the next start")
		return errors.Join(err, errStuck)
	}
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

// errStuck: the parts of this run have not all ended.
var errStuck = errors.New("something of this run does not end")

// until runs the agent, and then what ends all else. all is false where one of them does not end lastWord after ctx.
func until(ctx context.Context, agent func(context.Context) error, end func()) (err error, all bool) {
	ran, ended := make(chan error, 1), make(chan struct{})
	go func() {
		ran <- agent(ctx)
		end()
		close(ended)
	}()
	select {
	case <-ended:
		return <-ran, true
	case <-stuck(ctx):
	}
	select {
	case err = <-ran:
	default:
	}
	return err, false
}

// lastWord is how long the daemon may take to end. systemd kills at 90 s, other supervisors sooner.
const lastWord = 4 * time.Second

// stuck is closed when the daemon should have ended: a disk or a program may answer late, or never.
func stuck(ctx context.Context) <-chan struct{} {
	late := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, func() { close(late) }) })
	return late
}

// listenAgain is how often a control socket that cannot be had is tried again.
const listenAgain = time.Minute

// serveControl lets h answer on the control socket until ctx ends. A socket that cannot be had is tried again: its
// folder may be mounted late. listening is closed when it answers, or could not be had at once.
func serveControl(ctx context.Context, c config.Config, log *slog.Logger, h control.Handler,
	listening chan<- struct{}) {
	said := ""
	for {
		l, err := listenControl(c)
		if listening != nil {
			close(listening)
			listening = nil
		}
		if err == nil {
			a := control.Access{Read: c.Control.ReadUIDs, Write: c.Control.WriteUIDs,
				ReadGroup: c.Control.ReadGIDs, WriteGroup: c.Control.WriteGIDs,
				Report: func(err error) { log.Warn("control socket", "error", err) }}
			err = control.Serve(ctx, l, a, h)
		}
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); text != said {
			said = text
			log.Error("the control socket does not answer", "error", err, "retry", listenAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenAgain):
		}
	}
}

// listenControl opens the control socket where the configuration says.
func listenControl(c config.Config) (net.Listener, error) {
	socket := c.Control.Socket
	if socket == "" {
		socket = control.DefaultSocket
	}
	mode, err := wire.SocketMode(&c)
	if err != nil {
		return nil, err
	}
	return control.Listen(socket, mode)
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
