package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestPruneKeepsTheHead: where not even one record fits the limit, the newest one stays: the chain goes on
// from it, and its loss could not be told from a hole (I10).
func TestPruneKeepsTheHead(t *testing.T) {
	bubble(t, 651, func(r *rig) {
		r.options = func(o *agent.Options) { o.EvidenceMax = 1 }
		r.play(r.release(2, 2))
		if n := len(r.story()); n != 1 {
			t.Errorf("%d records are kept, want the newest", n)
		}
		r.awake(func(ctx context.Context, a *agent.Agent) {
			var b bytes.Buffer
			head := a.Console().Status(ctx).Evidence.Seq
			out, err := a.Console().Export(ctx, &b, 1)
			if err != nil || out.First != head || b.Len() == 0 {
				t.Errorf("the export begins at %d, the head is %d: %v", out.First, head, err)
			}
		})
	})
}

// slowOutbox takes a while for each record, on the device's clock, and tells hook before it is done.
type slowOutbox struct {
	outbox
	clock hal.Clock
	takes time.Duration
	hook  func(seq uint64)
}

func (o *slowOutbox) Send(ctx context.Context, m transport.Message) error {
	if m.Kind != transport.Evidence {
		return nil
	}
	if o.takes > 0 {
		select {
		case <-o.clock.After(o.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if o.hook != nil {
		o.hook(m.Seq)
	}
	return o.outbox.Send(ctx, m)
}

// reports lets the reporter of an agent run until the returned function is called.
func reports(ctx context.Context, a *agent.Agent) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); a.Reporter().Run(ctx, nil) }()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// TestResendInTheMiddleOfADrain: the desk asks for records again while others are being sent. Its word
// stands: what it asked for is sent again, and nothing is left out.
func TestResendInTheMiddleOfADrain(t *testing.T) {
	bubble(t, 652, func(r *rig) {
		box := &slowOutbox{clock: r.w.Clock()}
		asked, taken := false, make(chan struct{})
		r.options = func(o *agent.Options) { o.Outbox = box }
		r.awake(func(ctx context.Context, a *agent.Agent) {
			stop := reports(ctx, a)
			defer stop()
			settle := func() {
				synctest.Wait()
				for range 8 {
					if d, ok := r.w.NextTimer(); ok {
						r.w.Advance(min(d, 5*time.Second))
						synctest.Wait()
					}
				}
			}
			settle()
			if got := box.sent(); got != "[1 2]" {
				t.Fatalf("sent %s at the beginning", got)
			}
			box.hook = func(seq uint64) {
				if seq == 3 && !asked {
					asked = true
					r.inbox <- transport.Message{Kind: transport.Resend, Origin: "test", Body: []byte{0x01}}
					<-taken // this record is on its way all the while
				}
			}
			r.hand([]byte("garbage")) // its refusal is the third record
			close(taken)
			settle()
			if got := box.sent(); !asked || got != "[1 2 3 1 2 3]" {
				t.Errorf("asked for all while the third was sent: sent %s", got)
			}
		})
	})
}

// watchedPower tells when a reboot is asked for.
type watchedPower struct {
	hal.Power
	asked func()
}

func (p watchedPower) Reboot(ctx context.Context, arg string) error {
	p.asked()
	return p.Power.Reboot(ctx, arg)
}

// TestEvidenceLeavesBeforeTheReboot: what is on record is sent before the machine goes down, the reboot
// that is asked for included; a broker that takes nothing holds a reboot up for two seconds, and no more (I7).
func TestEvidenceLeavesBeforeTheReboot(t *testing.T) {
	for name, tt := range map[string]struct {
		takes  time.Duration
		online bool
		all    bool
		most   time.Duration
	}{
		"a quick broker":      {50 * time.Millisecond, true, true, time.Second},
		"a broker that hangs": {time.Hour, true, false, 2 * time.Second},
		"no broker":           {time.Hour, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 653, func(r *rig) {
				r.online = tt.online
				box := &slowOutbox{clock: r.w.Clock(), takes: tt.takes}
				var head uint64
				var last string
				var armed, asked time.Duration
				var agents *agent.Agent
				r.options = func(o *agent.Options) {
					o.Outbox = box
					o.Boot = fakeBoot{Backend: o.Boot, try: func(real func() error) error {
						armed = r.w.Clock().Uptime()
						return real()
					}}
					o.Power = watchedPower{o.Power, func() {
						asked = r.w.Clock().Uptime()
						head, last = agents.Console().Status(context.Background()).Evidence.Seq, box.sent()
					}}
				}
				env := r.release(2, 2)
				var stop func()
				r.boot(nil, func(a *agent.Agent) bool {
					if agents = a; stop == nil {
						stop = reports(context.Background(), a)
						go func() { r.inbox <- offered(env) }()
					}
					return false
				})
				stop()
				var want []uint64
				for i := range head {
					want = append(want, i+1)
				}
				if got := last == fmt.Sprint(want); head == 0 || got != tt.all {
					t.Errorf("the last record is %d, sent before the reboot: %s", head, last)
				}
				if took := asked - armed; took > tt.most {
					t.Errorf("the reboot was held up for %v, at most %v is allowed", took, tt.most)
				}
			})
		})
	}
}

// TestRecordAndEvidenceAgree cuts the power at each operation of an update. Whatever was cut, the record names
// the phase that the newest transition on record leads to: both are there, or neither (I5, I6).
func TestRecordAndEvidenceAgree(t *testing.T) {
	for _, sick := range []bool{false, true} {
		ops := operations(t, uboot{}, sick)
		for op := int64(1); op <= ops && !t.Failed(); op += stride() {
			bubble(t, 680+uint64(op), func(r *rig) {
				r.sick[2] = sick
				r.w.CutAt(r.w.Ops()+op, modes()[op%3])
				cut := false
				r.outage = func() { cut = true }
				envs := [][]byte{r.release(2, 2)}
				for r.live(&envs, nil) && !cut {
					r.loader()
				}
				record, evidence := r.phaseOnRecord(), r.phaseInEvidence()
				if record != evidence {
					t.Errorf("sick=%v, cut at %d: the record says %q, the evidence %q\n%s",
						sick, op, record, evidence, r.told())
				}
			})
		}
	}
}

// phaseOnRecord is the phase that the journal's record names (docs/formats/state.md).
func (r *rig) phaseOnRecord() string {
	r.t.Helper()
	core := map[int]any{1: "idle"}
	err := r.mem.View(func(tx journal.Tx) error {
		if b := tx.Get(journal.State, "record"); len(b) > 0 {
			return cbor.Unmarshal(b, &core)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(core[1])
}

// phaseInEvidence is where the newest transition on record leads.
func (r *rig) phaseInEvidence() string {
	r.t.Helper()
	phase := "idle"
	if r.phaseless() {
		return phase
	}
	for _, line := range r.story() {
		if from, to, ok := strings.Cut(strings.Fields(line)[1], ">"); ok && from != "" && to != "" {
			phase = to
		}
	}
	return phase
}

// phaseless: nothing is in the journal yet.
func (r *rig) phaseless() (none bool) {
	_ = r.mem.View(func(tx journal.Tx) error { none = tx.Get(journal.State, "head") == nil; return nil })
	return none
}
