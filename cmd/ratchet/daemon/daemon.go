package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/transport/network"
)

// memory limits of the runtime: a soft one, so that an install stays within 16 MiB of RSS.
const (
	gcPercent   = 40
	memoryLimit = 20 << 20
)

// Run runs the daemon with the configuration at path until ctx ends. state is where the last good
// configuration is looked for while the one at path cannot be read. Log lines go to w, in the form that the
// configuration says.
//
// An error is for the exit code: it has been logged. It is journal.ErrLocked while another daemon runs on the
// same state directory, or what ended the agent. A bad configuration is no error: Run goes on in boot-safe mode.
//
// What was missing when it started (a file, a link that udev makes late, a state directory that was read-only) is
// looked for every minute, and taken up by another start within this process when nothing is in progress.
func Run(ctx context.Context, path, state string, w io.Writer) error {
	return run(ctx, path, state, w, lookAgain)
}

func run(ctx context.Context, path, state string, w io.Writer, again time.Duration) error {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	for {
		more, err := once(ctx, path, state, w, again)
		if !more || err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// once is the daemon until ctx ends, or until what was missing is there: then again is true.
func once(ctx context.Context, path, state string, w io.Writer, pause time.Duration) (again bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d, err := assembled(ctx, path, state, w)
	if d == nil {
		return false, nil // it was told to end
	}
	d.pause = pause
	d.restart = func() { again = true; cancel() }
	if errors.Is(err, journal.ErrLocked) {
		// Two of them would confirm and disable against each other, even in boot-safe mode.
		d.log.Error("another ratchet daemon uses this state directory; this one stops", "error", err)
		return false, err
	}
	if err != nil {
		bootSafe(ctx, d, err)
		return again, nil
	}
	if err = d.serve(ctx); errors.Is(err, errStuck) && !again {
		err = nil // it was told to end
	}
	return again, err
}

// device is the daemon, assembled.
type device struct {
	path     string // of the configuration that was asked for
	config   config.Config
	log      *slog.Logger
	agent    *agent.Agent
	stepped  chan struct{}           // the clock was set
	problems func() []reason.Problem // of what is read again while it runs
	moved    func() bool             // another directory is in the place of the state directory; nil: there is none
	net      *network.Process        // holds all connections; nil: it cannot be had
	journal  journal.Store           // nil if none can be had
	unmade   []unmade                // what could not be written when it started
	lacks    []reason.Problem        // what was missing, or could not be used, when it started
	found    atomic.Pointer[[]reason.Problem]
	pause    time.Duration // between two looks
	restart  func()        // ends this run, for another one
}

// assembled is what assemble returns; nil where ctx has ended and it does not: a disk may not answer.
func assembled(ctx context.Context, path, state string, w io.Writer) (*device, error) {
	type result struct {
		d   *device
		err error
	}
	made := make(chan result, 1)
	go func() {
		d, err := assemble(path, state, w)
		made <- result{d, err}
	}()
	select {
	case r := <-made:
		return r.d, r.err
	case <-stuck(ctx):
		return nil, nil
	}
}

// assemble reads the configuration and wires the parts; where one or the other cannot be done, with the
// last good configuration, in boot-safe mode. The returned device has what could be had, also with an error.
func assemble(path, stateDir string, w io.Writer) (*device, error) {
	d := &device{path: path, stepped: make(chan struct{}, 1), log: slog.New(slog.NewTextHandler(w, nil))}
	d.lacks = d.lacking() // before it is read: what comes meanwhile is taken for missing, and starts once more
	c, raw, why := config.Load(path)
	if why == nil {
		safe := false
		if safe, why = d.wire(c, nil, w); why == nil && !safe {
			d.make(unmade{func() error { return keepLastGood(c.State.Directory, raw) }, false})
		}
		if why == nil || errors.Is(why, journal.ErrLocked) {
			return d, why
		}
		stateDir = c.State.Directory
	}
	last := wire.LastGood(stateDir)
	c, _, err := config.Load(last)
	if errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("%w; and there is no last good configuration, %s", why, last)
	}
	if err == nil {
		_, err = d.wire(c, []string{oneLine(why)}, w)
	}
	if err != nil {
		return d, fmt.Errorf("%w; and the last good configuration cannot be used: %w", why, err)
	}
	return d, nil
}

// wire makes the agent of a configuration. safe tells whether it is in boot-safe mode.
func (d *device) wire(c config.Config, why []string, w io.Writer) (safe bool, err error) {
	d.config = c
	d.log = newLogger(c.Log, w)
	var o agent.Options
	if o, d.net, err = wire.Options(&d.config, why, d.log); err == nil {
		if d.journal = o.Journal; d.journal == nil {
			d.unmade = append(d.unmade, unmade{func() error { return wire.TryJournal(&d.config, d.log) }, true})
		}
		if o.Signer == nil {
			d.unmade = append(d.unmade, unmade{func() error { return wire.TryDeviceKey(&d.config, d.log) }, true})
		}
		o.Stepped = d.stepped
		d.problems = o.Problems
		o.Problems = d.list
		d.moved = o.StateMoved
		d.agent, err = agent.New(o)
	}
	if err != nil && d.journal != nil {
		_ = d.journal.Close() // it would be in our own way
		d.journal = nil
	}
	return len(o.Safe) > 0, err
}

// keepLastGood keeps a copy of a configuration that worked, for the day on which it does not.
//
// Crash: before the rename -> the copy as it was; after -> the new one. Neither is needed while the
// configuration works.
func keepLastGood(dir string, raw []byte) error {
	path := wire.LastGood(dir)
	if old, err := hal.ReadFile(linux.FS{}, path, conf.MaxSize); err == nil && string(old) == string(raw) {
		return nil // flash wears
	}
	if err := hal.ReplaceFile(linux.FS{}, path, raw); err != nil {
		return fmt.Errorf("the last good configuration cannot be kept: %w", err)
	}
	return nil
}

// make writes something at the start, or sees to it that it is tried again.
func (d *device) make(u unmade) {
	if err := u.try(); err != nil {
		d.log.Warn("tried again later", "error", err)
		d.unmade = append(d.unmade, u)
	}
}

// newLogger logs in the form and from the level that the configuration says, else text from info on.
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
