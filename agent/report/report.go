package report

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// Options are what a Reporter works with.
type Options struct {
	Device  string           // id
	Version string           // of the running system, for people
	Signer  *trust.Signer    // nil: nothing is sent
	Outbox  transport.Outbox // nil: evidence waits
	Online  func() (bool, time.Time)
	Clock   hal.Clock
	Stamp   func() evidence.Stamp
	Store   *store.Store
	Seen    func() (evidence.Head, error) // how far records may leave the device; it is durable when it returns
	View    *view.View
	// Problems are what is missing or cannot be used now; from any goroutine
	Problems func() []reason.Problem
	Log      *slog.Logger
}

// Reporter hands evidence, reports and status over. Run is one goroutine; Flush and Resend may be called from
// another one.
type Reporter struct {
	o    Options
	mute bool // the key has not signed; of Run

	mu    sync.Mutex
	again uint64          // the desk asks for records from here on; 0: it does not
	asked []time.Duration // uptimes of the requests of the last hour
}

// New makes a reporter. It sends nothing before Run.
func New(o Options) *Reporter { return &Reporter{o: o} }

const (
	statusEvery   = 2 * time.Second // at most one status in this time
	sendTimeout   = 30 * time.Second
	drainBatch    = 16 // records between two notes of how far the drain is
	signAgain     = time.Minute
	flushBeforeUp = 2 * time.Second
	resendRate    = 8 // requests for records that are followed in an hour
)

// Run hands evidence and status to the outbox until ctx ends. It reads the journal and snapshots
// and has no say in what the agent does (I7). Evidence is delivered at least once, in order.
func (r *Reporter) Run(ctx context.Context, connected <-chan struct{}) {
	if r.o.Outbox == nil || r.o.Signer == nil {
		<-ctx.Done()
		return
	}
	last := -statusEvery // uptime of the last status
	dirty, failing := true, false
	var reported []byte
	for {
		r.mute = false
		ok := r.drain(ctx) && r.sendReport(ctx, &reported)
		now := r.o.Clock.Uptime()
		if ok && dirty && now-last >= statusEvery {
			if ok = r.sendStatus(ctx); ok {
				dirty, last = false, now
			}
		}
		var again <-chan time.Time
		switch {
		case r.mute:
			again = r.o.Clock.After(signAgain)
		case !ok && !failing: // once; then the next connection or the next record
			again = r.o.Clock.After(statusEvery)
		case ok && dirty:
			again = r.o.Clock.After(statusEvery - (now - last))
		}
		failing = !ok
		select {
		case <-ctx.Done():
			return
		case <-connected:
			dirty, failing, last = true, false, now-statusEvery
		case <-r.o.Store.Grown():
		case <-r.o.View.Changed():
			dirty = true
		case <-again:
		}
	}
}

// drain sends what was not acknowledged yet. Where it is is noted in batches: after a cut some
// records are sent twice, none is left out.
func (r *Reporter) drain(ctx context.Context) bool {
	if online, _ := r.o.Online(); !online {
		return false // how far records may leave is noted only when they can
	}
	sent := r.o.Store.Sent()
	noted := sent
	note := func() {
		if sent <= noted { // what was asked for again needs no note: after a cut it is asked for again
			return
		}
		if now, err := r.o.Store.NoteSent(noted, sent); err == nil {
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
		if from := r.wanted(); from > 0 && from <= sent {
			sent = from - 1
		}
		head, err := r.o.Seen()
		if err != nil {
			r.o.Log.Warn("evidence waits", "error", err)
			return false
		}
		err = r.o.Store.Records(sent+1, func(seq uint64, rec []byte) bool {
			if seq > head.Seq {
				return false
			}
			batch = append(batch, item{seq, append([]byte(nil), rec...)})
			return len(batch) < drainBatch
		})
		if err != nil {
			r.o.Log.Warn("evidence cannot be read", "error", err)
			return false
		}
		if len(batch) == 0 {
			return true
		}
		for _, i := range batch {
			msg, err := evidence.Sign(i.rec, r.o.Signer)
			if err != nil {
				return r.unsigned(transport.Evidence, err)
			}
			if !r.send(ctx, transport.Message{Kind: transport.Evidence, Seq: i.seq, Body: msg}) {
				return false
			}
			sent = i.seq
		}
		note()
	}
	return false
}

func (r *Reporter) send(ctx context.Context, m transport.Message) bool {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := r.o.Outbox.Send(ctx, m); err != nil {
		r.o.Log.Debug("not handed over", "kind", m.Kind.String(), "seq", m.Seq, "error", err)
		return false
	}
	return true
}

func (r *Reporter) sendStatus(ctx context.Context) bool {
	head, err := r.o.Seen()
	if err != nil {
		r.o.Log.Warn("the status names an older record", "error", err)
	}
	s := r.o.View.Snapshot()
	st := evidence.Status{Device: r.o.Device, Running: string(s.Running), Version: r.o.Version, Phase: string(s.Phase),
		Target: string(s.Rec.Target), Manifest: s.Rec.Digest, Sequence: s.Rec.Ext.Sequence,
		Head: head, Stamp: r.o.Stamp(), Problem: s.Hold}
	for _, f := range s.Floors {
		if st.Floors == nil {
			st.Floors = map[string]uint64{}
		}
		st.Floors[f.Component] = f.Sequence
	}
	switch {
	case len(s.Safe) > 0:
		st.Problem = reason.BootSafeMode
	case st.Problem == reason.None:
		st.Problem = r.o.View.Trust().Problem
	}
	if st.Problem == reason.None {
		for _, p := range r.o.Problems() {
			if st.Problem == reason.None || st.Problem == reason.StateVolatile { // what passes is told first
				st.Problem = p.Reason
			}
		}
	}
	if p := r.o.View.Progress(); p != nil {
		st.Progress = p.Percent()
	}
	o, ok := r.o.Store.Noted()
	if !ok {
		o, ok = r.o.Store.Outcome()
	}
	if ok { // the desk asks what became of its last offer
		st.Last = evidence.Outcome{Result: o.Result, Reason: o.Reason, Sequence: o.Sequence, Time: o.Wall}
	}
	msg, err := evidence.SignStatus(st, r.o.Signer)
	if err != nil {
		return r.unsigned(transport.Status, err)
	}
	return r.send(ctx, transport.Message{Kind: transport.Status, Body: msg})
}

// unsigned has what the key did not sign tried again: a TPM may be busy, locked out, or not there now.
func (r *Reporter) unsigned(what transport.Kind, err error) (sent bool) {
	r.mute = true
	r.o.Log.Error("cannot be signed; tried again", "kind", what.String(), "after", signAgain, "error", err)
	return false
}

// Flush gives the reporter a moment before the machine goes down. It never holds a reboot up for long.
func (r *Reporter) Flush(ctx context.Context) {
	if online, _ := r.o.Online(); !online || r.o.Outbox == nil || r.o.Signer == nil {
		return
	}
	r.o.Store.Nudge()
	for i := 0; i < 10; i++ {
		if r.o.Store.Sent() >= r.o.Store.Head().Seq {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-r.o.Clock.After(flushBeforeUp / 10):
		}
	}
}

// Resend has records handed over again from a sequence number that the desk asks for. It writes nothing: a request
// that a power cut takes away is made again. So many in an hour are followed, for each may be answered by all that
// is held.
func (r *Reporter) Resend(body []byte) error {
	var from uint64
	if err := cbor.Unmarshal(body, &from); err != nil || from == 0 {
		r.o.Log.Debug("resend request is not a sequence number", "bytes", len(body))
		return nil
	}
	if from > r.o.Store.Sent() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.again != 0 && from >= r.again {
		return nil // it is about to be followed
	}
	now := r.o.View.Uptime()
	r.asked = slices.DeleteFunc(r.asked, func(t time.Duration) bool { return now-t >= time.Hour })
	if len(r.asked) >= resendRate {
		return nil
	}
	r.asked, r.again = append(r.asked, now), from
	r.o.View.Signal()
	r.o.Store.Nudge()
	return nil
}

// wanted takes up what was asked for again, 0 for nothing.
func (r *Reporter) wanted() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := r.again
	r.again = 0
	return from
}

// sendReport hands the newest SUIT report over, signed, once in a life of the daemon.
func (r *Reporter) sendReport(ctx context.Context, sent *[]byte) bool {
	b := r.o.Store.Document(store.Report)
	if len(b) == 0 || bytes.Equal(b, *sent) {
		return true
	}
	msg, err := r.o.Signer.Sign1(b, nil, manifest.ReportType)
	if err != nil {
		return r.unsigned(transport.Report, err)
	}
	if !r.send(ctx, transport.Message{Kind: transport.Report, Body: msg}) {
		return false
	}
	*sent = b
	return true
}
