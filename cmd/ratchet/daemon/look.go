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

// look looks for what is missing, and shows it. mended: something that was missing at the start is there.
func (d *device) look() (mended bool) {
	now := d.lacking()
	mended = slices.ContainsFunc(d.lacks, func(s string) bool { return !slices.Contains(now, s) })
	all := slices.Concat(d.lacks, now) // what is there now is used after the next start only
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
// is there and nothing is interrupted by that.
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
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
