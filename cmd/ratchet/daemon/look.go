package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

// How often the daemon looks for what is missing, and after how many of these times at files that are in order. The
// state directory is looked at each time: what is written into one that is not the next start's is lost.
const (
	lookAgain = time.Minute
	lookOver  = 15
)

// list is what is missing or cannot be used, as it was found last.
func (d *device) list() []reason.Problem {
	if l := d.found.Load(); l != nil {
		return *l
	}
	return nil
}

// lacking is what is read at the start only, and cannot be used as it is now.
func (d *device) lacking() (out []reason.Problem) {
	c, _, err := config.Load(d.path)
	if err != nil {
		return []reason.Problem{reason.Lacks(oneLine(err))}
	}
	for _, err := range wire.Lacks(&c) {
		out = append(out, reason.Lacks(oneLine(err)))
	}
	if err := wire.Volatile(&c); err != nil {
		out = append(out, reason.Problem{Reason: reason.StateVolatile, Text: oneLine(err)})
	}
	if d.agent != nil {
		if err := d.agent.Unproven(); err != nil {
			out = append(out, reason.Lacks(oneLine(err)))
		}
	}
	return out
}

// unmade is something that could not be written at the start: the disk was full, or read-only.
type unmade struct {
	try    func() error
	starts bool // another start takes it up
}

// remake tries again what could not be written, and returns why it still cannot. mended: another start takes it up.
func (d *device) remake() (out []reason.Problem, mended bool) {
	d.unmade = slices.DeleteFunc(d.unmade, func(u unmade) bool {
		if err := u.try(); err != nil {
			out = append(out, reason.Lacks(oneLine(err)))
			return false
		}
		mended = mended || u.starts
		return !u.starts
	})
	return out, mended
}

// broken tells whether the journal has become of no use to this process: a commit that may have landed was not
// confirmed by the medium, for want of room or for an I/O error. It is what it is on the medium, and opening it
// again tells.
func (d *device) broken() bool {
	if d.journal == nil {
		return false
	}
	_, err := d.journal.Free()
	return err != nil
}

// look looks for what is missing, and shows it. mended: something that was missing at the start is there.
func (d *device) look() (mended bool) {
	now := d.lacking()
	mended = slices.ContainsFunc(d.lacks, func(p reason.Problem) bool { return !slices.Contains(now, p) })
	all := slices.Concat(d.lacks, now) // what is there now is used after the next start only
	still, made := d.remake()
	all, mended = append(all, still...), mended || made
	if d.problems != nil {
		all = append(all, d.problems()...)
	}
	if d.elsewhere() {
		all = append(all, reason.Problem{Reason: reason.StateMoved, Text: d.config.State.Directory})
	}
	all = each(all)
	if !slices.Equal(all, d.list()) {
		for _, p := range all {
			if !slices.Contains(d.list(), p) {
				d.log.Error("missing, or not usable; it is looked for again every minute", "error", p.Text,
					"reason", string(p.Reason))
			}
		}
		if len(all) == 0 {
			d.log.Info("nothing is missing any more")
		}
		d.found.Store(&all)
		if d.agent != nil {
			d.agent.Look()
		}
	}
	return mended
}

// each is the problems without those that are told before.
func each(all []reason.Problem) (out []reason.Problem) {
	for _, p := range all {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// elsewhere: what is mounted late hides the directory that the journal is in.
func (d *device) elsewhere() bool { return d.moved != nil && d.moved() }

// watch looks again and again until ctx ends, and has the daemon start once more when what was missing at its start
// is there and nothing is interrupted by that; or when another state directory is in the place of its own, and nothing
// is half done. A journal that is of no use is opened again whatever is in progress: nothing of it could be put on
// record.
//
// It starts again within the process and does not end it: who is to start it again, and how often, is the supervisor's
// to say, and a start does nothing else. The journal is closed before the other one is opened; no other file of the
// state directory stays open.
//
// Crash: before the other start -> the phase that is durable; after -> the same, taken up as by any start in this boot.
func (d *device) watch(ctx context.Context) error {
	for n := 0; ; n++ {
		mended := false
		if moved := d.elsewhere(); moved || n%lookOver == 0 || len(d.list()) > 0 {
			mended = d.look()
			if moved && (d.agent == nil || d.agent.Movable()) {
				d.log.Warn("another directory is in the place of the state directory; starting once more")
				d.restart()
				return nil
			}
		}
		if mended && (d.agent == nil || d.agent.AtRest()) {
			d.log.Info("what was missing is there now; starting once more")
			d.restart()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(d.pause):
		}
		if d.broken() {
			d.log.Error("the journal is of no use until it is opened again; starting once more")
			d.restart()
			return nil
		}
	}
}
