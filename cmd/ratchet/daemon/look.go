package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

// How often the daemon looks for what is missing, and at files that are in order.
const (
	lookAgain = time.Minute
	lookOver  = 15 * time.Minute
)

// list is what is missing or cannot be used, as it was found last.
func (d *device) list() []string {
	if l := d.found.Load(); l != nil {
		return *l
	}
	return nil
}

// lacking is what is read at the start only, and cannot be used as it is now.
func (d *device) lacking() (texts []string) {
	c, _, err := config.Load(d.path)
	if err != nil {
		return []string{oneLine(err)}
	}
	for _, err := range wire.Lacks(&c) {
		texts = append(texts, oneLine(err))
	}
	if d.agent != nil {
		if err := d.agent.Unproven(); err != nil {
			texts = append(texts, oneLine(err))
		}
	}
	return texts
}

// unmade is something that could not be written at the start: the disk was full, or read-only.
type unmade struct {
	try    func() error
	starts bool // another start takes it up
}

// remake tries again what could not be written, and returns why it still cannot. mended: another start takes it up.
func (d *device) remake() (texts []string, mended bool) {
	d.unmade = slices.DeleteFunc(d.unmade, func(u unmade) bool {
		if err := u.try(); err != nil {
			texts = append(texts, oneLine(err))
			return false
		}
		mended = mended || u.starts
		return !u.starts
	})
	return texts, mended
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
	mended = slices.ContainsFunc(d.lacks, func(s string) bool { return !slices.Contains(now, s) })
	all := slices.Concat(d.lacks, now) // what is there now is used after the next start only
	texts, made := d.remake()
	all, mended = append(all, texts...), mended || made
	if d.problems != nil {
		all = append(all, d.problems()...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if !slices.Equal(all, d.list()) {
		for _, p := range all {
			if !slices.Contains(d.list(), p) {
				d.log.Error("missing, or not usable; it is looked for again every minute", "error", p)
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

// watch looks again and again until ctx ends, and has the daemon start once more when what was missing at its start
// is there and nothing is interrupted by that. A journal that is of no use is opened again whatever is in progress:
// nothing of it could be put on record.
//
// Crash: before the other start -> the phase that is durable; after -> the same, taken up as by any start in this boot.
func (d *device) watch(ctx context.Context) error {
	for {
		mended := d.look()
		if mended && (d.agent == nil || d.agent.AtRest()) {
			d.log.Info("what was missing is there now; starting once more")
			d.restart()
			return nil
		}
		pause := lookOver
		if len(d.list()) > 0 {
			pause = d.pause
		}
		for waited := time.Duration(0); waited < pause; waited += d.pause {
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
}
