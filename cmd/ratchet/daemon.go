package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

const daemonUsage = `ratchet daemon [--config FILE] [--state DIR] [--check-config]

Runs the agent in the foreground until SIGTERM; under systemd as Type=notify. It never exits by
itself: with a bad configuration, record or trust anchor it goes on in boot-safe mode, keeps the
running system bootable, and says so in "ratchet status". Only a second daemon on the same state
directory ends, with exit code 1.

  --config FILE    configuration (default /etc/ratchet/ratchet.toml)
  --state DIR      where to look for the last good configuration when FILE is bad (default /var/lib/ratchet)
  --check-config   check the configuration and the files that it names, and exit: 0 good, 1 bad
`

// memory limits of the runtime: a soft one, so that an install stays within 16 MiB of RSS.
const (
	gcPercent   = 40
	memoryLimit = 20 << 20
)

func runDaemon(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("daemon", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	path := f.String("config", "/etc/ratchet/ratchet.toml", "")
	state := f.String("state", "/var/lib/ratchet", "")
	check := f.Bool("check-config", false, "")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, daemonUsage)
		return 0
	} else if err != nil || f.NArg() > 0 {
		fmt.Fprintf(stderr, "ratchet daemon: %v\n%s", errors.Join(err, unexpected(f)), daemonUsage)
		return 2
	}
	if *check {
		return checkConfig(*path, stdout, stderr)
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	d, err := assemble(*path, *state, stderr)
	if errors.Is(err, journal.ErrLocked) {
		// Two of them would confirm and disable against each other, even in boot-safe mode.
		d.log.Error("another ratchet daemon runs on this state directory; this one ends", "error", err)
		return 1
	}
	if err != nil {
		return bootSafe(ctx, d, err, stderr)
	}
	return d.serve(ctx)
}

func unexpected(f *flag.FlagSet) error {
	if f.NArg() == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q", f.Arg(0))
}

func checkConfig(path string, stdout, stderr io.Writer) int {
	c, _, err := config.Load(path)
	if err == nil {
		err = wire.Check(&c)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ratchet: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s is good: device %s, slots in %s\n", path, c.Device.ID, c.Boot.Backend)
	return 0
}

// device is the daemon, assembled.
type device struct {
	config  config.Config
	log     *slog.Logger
	agent   *agent.Agent
	mqtt    *mqtt.Client
	journal io.Closer
}

// assemble reads the configuration and wires the parts; where one or the other cannot be done, with the
// last good configuration, in boot-safe mode. The returned device has what could be had, also with an error.
func assemble(path, stateDir string, stderr io.Writer) (*device, error) {
	d := &device{log: slog.New(slog.NewTextHandler(stderr, nil))}
	c, raw, why := config.Load(path)
	if why == nil {
		safe := false
		if safe, why = d.wire(c, nil, stderr); why == nil && !safe {
			keepLastGood(c.State.Directory, raw, d.log)
		}
		if why == nil || errors.Is(why, journal.ErrLocked) {
			return d, why
		}
		stateDir = c.State.Directory
	}
	c, _, err := config.Load(wire.LastGood(stateDir))
	if err == nil {
		_, err = d.wire(c, []string{why.Error()}, stderr)
	}
	if err != nil {
		return d, errors.Join(why, err)
	}
	return d, nil
}

// wire makes the agent of a configuration. safe tells whether it is in boot-safe mode.
func (d *device) wire(c config.Config, why []string, stderr io.Writer) (safe bool, err error) {
	d.config = c
	d.log = newLogger(c.Log, stderr)
	var o agent.Options
	if o, d.mqtt, err = wire.Options(&d.config, why, d.log); err == nil {
		if o.Journal != nil {
			d.journal = o.Journal
		}
		d.agent, err = agent.New(o)
	}
	if err != nil && d.journal != nil {
		_ = d.journal.Close() // it would be in our own way
		d.journal = nil
	}
	return len(o.Safe) > 0, err
}

// keepLastGood keeps a copy of a configuration that worked, for the day on which it does not.
func keepLastGood(dir string, raw []byte, log *slog.Logger) {
	path := wire.LastGood(dir)
	if old, err := hal.ReadFile(linux.FS{}, path, config.MaxSize); err == nil && string(old) == string(raw) {
		return // flash wears
	}
	if err := hal.ReplaceFile(linux.FS{}, path, raw); err != nil {
		log.Warn("the last good configuration cannot be kept", "error", err)
	}
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{}
	var l slog.Level
	if l.UnmarshalText([]byte(c.Level)) == nil {
		o.Level = l
	}
	if c.JSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// serve runs the parts until ctx ends, and waits for all of them.
func (d *device) serve(ctx context.Context) int {
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
		return 1
	}
	d.log.Info("ended cleanly; what was in progress goes on at the next start")
	return 0
}

func (d *device) control(ctx context.Context) error {
	return serveControl(ctx, d.config, d.log, d.handle)
}

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
	a := control.Access{Read: c.Control.ReadUIDs, Write: c.Control.WriteUIDs, ReadGroup: c.Control.ReadGIDs, WriteGroup: c.Control.WriteGIDs,
		Report: func(err error) { log.Warn("control socket", "error", err) }}
	return control.Serve(ctx, l, a, h)
}

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

// bootSafe is what is left when not even a last good configuration is there: nothing is written, the
// technician is answered, and systemd is not made to restart in a loop.
func bootSafe(ctx context.Context, d *device, why error, stderr io.Writer) int {
	d.log.Error("boot-safe mode: nothing is installed and no boot metadata is touched until this is corrected", "error", why)
	notify(sd.SdNotifyReady + "\nSTATUS=boot-safe mode: " + why.Error())
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
	if err := serveControl(ctx, d.config, d.log, h); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "ratchet: %v\n", err)
		<-ctx.Done() // never just exit: the error is in the log, and a restart would not help
	}
	return 0
}
