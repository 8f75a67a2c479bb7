package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// snapshot is what other goroutines may see of the state that Run owns.
type snapshot struct {
	phase   life.Phase
	rec     life.Record
	hold    reason.Reason
	safe    []string
	running bootctl.Slot
	since   time.Duration // uptime at which the phase was entered
	wall    time.Time
	wait    reason.Reason
	waitFor string
	barred  []string // quarantined
}

// progress is how far the present action is.
type progress struct {
	component string
	done      int64
	size      int64
	rate      int64 // bytes a second, smoothed
	at        time.Duration
}

func (p *progress) percent() int {
	if p.size <= 0 {
		return 0
	}
	return int(p.done * 100 / p.size)
}

func (a *Agent) snapshot() snapshot {
	if s := a.snap.Load(); s != nil {
		return *s
	}
	return snapshot{phase: life.Idle}
}

// publish shows the present state to others. It waits for nobody (I7).
func (a *Agent) publish() {
	old := a.snapshot()
	wall, _ := a.o.Clock.Wall()
	s := snapshot{phase: a.s.Rec.Phase, rec: a.s.Rec, hold: a.s.Hold, safe: a.s.Safe, running: a.s.Run,
		since: old.since, wall: old.wall, wait: old.wait, waitFor: old.waitFor, barred: a.q.List()}
	if old.phase != s.phase || old.wall.IsZero() {
		s.since, s.wall, s.wait, s.waitFor = a.o.Clock.Uptime(), wall, "", ""
		a.progress.Store(nil)
	}
	a.snap.Store(&s)
	a.signal()
}

func (a *Agent) waiting(why reason.Reason, text string) {
	s := a.snapshot()
	s.wait, s.waitFor = why, text
	a.snap.Store(&s)
	a.signal()
}

func (a *Agent) signal() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// showProgress smooths the rate over the calls of one action.
func (a *Agent) showProgress(component string) func(slots.Progress) {
	return func(p slots.Progress) {
		now := a.o.Clock.Uptime()
		next := progress{component: component, done: p.Written, size: p.Size, at: now}
		if old := a.progress.Load(); old != nil && old.component == component && now > old.at && p.Written >= old.done {
			rate := int64(float64(p.Written-old.done) / (now - old.at).Seconds())
			next.rate = rate
			if old.rate > 0 {
				next.rate = (3*old.rate + rate) / 4
			}
		}
		old := a.progress.Swap(&next)
		if old == nil || old.percent() != next.percent() {
			a.signal() // every percent, not every write: what the radio sends costs
		}
	}
}

const (
	statusEvery   = 2 * time.Second // at most one status in this time
	sendTimeout   = 30 * time.Second
	drainBatch    = 16 // records between two notes of how far the drain is
	drainIdle     = time.Minute
	flushBeforeUp = 2 * time.Second
)

// Report hands evidence and status to the outbox until ctx ends. It reads the journal and snapshots
// and has no say in what the agent does (I7). Evidence is delivered at least once, in order.
func (a *Agent) Report(ctx context.Context, connected <-chan struct{}) {
	if a.o.Outbox == nil || a.o.Signer == nil {
		<-ctx.Done()
		return
	}
	last := -statusEvery // uptime of the last status
	dirty, failing := true, false
	var reported []byte
	for {
		ok := a.drain(ctx) && a.sendReport(ctx, &reported)
		now := a.o.Clock.Uptime()
		if ok && dirty && now-last >= statusEvery {
			if ok = a.sendStatus(ctx); ok {
				dirty, last = false, now
			}
		}
		var again <-chan time.Time
		switch {
		case !ok && !failing: // once; then the next connection or the next record
			again = a.o.Clock.After(statusEvery)
		case ok && dirty:
			again = a.o.Clock.After(statusEvery - (now - last))
		}
		failing = !ok
		select {
		case <-ctx.Done():
			return
		case <-connected:
			dirty, failing, last = true, false, now-statusEvery
		case <-a.st.Grown():
		case <-a.changed:
			dirty = true
		case <-again:
		}
	}
}

// drain sends what was not acknowledged yet. Where it is is noted in batches: after a cut some
// records are sent twice, none is left out.
func (a *Agent) drain(ctx context.Context) bool {
	sent := a.st.Sent()
	noted := sent
	note := func() {
		if sent == noted {
			return
		}
		if now, err := a.st.NoteSent(noted, sent); err == nil {
			sent, noted = now, now
		}
	}
	defer note()
	for ctx.Err() == nil {
		type item struct {
			seq uint64
			rec []byte
		}
		var batch []item
		err := a.st.Records(sent+1, func(seq uint64, rec []byte) bool {
			batch = append(batch, item{seq, append([]byte(nil), rec...)})
			return len(batch) < drainBatch
		})
		if err != nil {
			a.log.Warn("evidence cannot be read", "error", err)
			return false
		}
		if len(batch) == 0 {
			return true
		}
		for _, i := range batch {
			msg, err := evidence.Sign(i.rec, a.o.Signer)
			if err != nil {
				a.log.Error("evidence cannot be signed", "seq", i.seq, "error", err)
				return false
			}
			if !a.send(ctx, transport.Message{Kind: transport.Evidence, Seq: i.seq, Body: msg}) {
				return false
			}
			sent = i.seq
		}
		note()
	}
	return false
}

func (a *Agent) send(ctx context.Context, m transport.Message) bool {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := a.o.Outbox.Send(ctx, m); err != nil {
		a.log.Debug("not handed over", "kind", m.Kind.String(), "seq", m.Seq, "error", err)
		return false
	}
	return true
}

func (a *Agent) sendStatus(ctx context.Context) bool {
	s := a.snapshot()
	st := evidence.Status{Device: a.o.Device, Running: string(s.running), Version: a.o.Running, Phase: string(s.phase),
		Target: string(s.rec.Target), Manifest: s.rec.Digest, Sequence: s.rec.Ext.Sequence,
		Head: a.st.Head().Evidence(), Stamp: a.stamp(), Problem: s.hold}
	if len(s.safe) > 0 {
		st.Problem = reason.BootSafeMode
	}
	if p := a.progress.Load(); p != nil {
		st.Progress = p.percent()
	}
	o, ok := a.st.Noted()
	if !ok {
		o, ok = a.st.Outcome()
	}
	if ok { // the desk asks what became of its last offer
		st.Last = evidence.Outcome{Result: o.Result, Reason: o.Reason, Sequence: o.Sequence, Time: o.Wall}
	}
	msg, err := evidence.SignStatus(st, a.o.Signer)
	if err != nil {
		a.log.Error("status cannot be signed", "error", err)
		return true // trying again does not help
	}
	return a.send(ctx, transport.Message{Kind: transport.Status, Body: msg})
}

// flush gives the reporter a moment before the machine goes down. It never holds a reboot up for long.
func (a *Agent) flush(ctx context.Context) {
	if online, _ := a.o.Online(); !online || a.o.Outbox == nil || a.o.Signer == nil {
		return
	}
	a.st.Nudge()
	for i := 0; i < 10; i++ {
		if a.st.Sent() >= a.st.Head().Seq {
			return
		}
		if !a.wait(ctx, flushBeforeUp/10) {
			return
		}
	}
}

// resend sets the drain back to a sequence number that the desk asks for.
func (a *Agent) resend(body []byte) error {
	var from uint64
	if err := cbor.Unmarshal(body, &from); err != nil || from == 0 {
		a.log.Warn("resend request is not a sequence number", "bytes", len(body))
		return nil
	}
	if from > a.st.Sent() {
		return nil
	}
	if err := a.st.Commit(nil, nil, store.PutSent{Seq: from - 1}); err != nil {
		return fmt.Errorf("cannot send evidence again: %w", err)
	}
	a.signal()
	a.st.Nudge()
	return nil
}
