package agent_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// pasts is a journal of which every state is kept, as a medium may give it back.
type pasts struct {
	journal.Store
	mem  *journal.Memory
	list *[]*journal.Memory
}

func (p pasts) Update(fn func(journal.Tx) error) error {
	*p.list = append(*p.list, p.mem.Clone())
	return p.Store.Update(fn)
}

// keepsPasts records the states of the journal.
func (r *rig) keepsPasts() *[]*journal.Memory {
	var list []*journal.Memory
	set := r.options
	r.options = func(o *agent.Options) {
		if set != nil {
			set(o)
		}
		o.Journal = pasts{o.Journal, r.mem.(*journal.Memory), &list}
	}
	return &list
}

// exported is the device's evidence as the desk or a person gets it.
func (r *rig) exported() []byte {
	r.t.Helper()
	var b bytes.Buffer
	if _, err := r.agent().Console().Export(context.Background(), &b, 1); err != nil {
		r.t.Fatal(err)
	}
	return b.Bytes()
}

// TestJournalThatGoesBackForksNothing: the medium gives an older state of the journal back. Where records have left the
// device that are not in it, a new chain begins, which says why and names the last record; nothing else is ever signed
// under a number that was used.
func TestJournalThatGoesBackForksNothing(t *testing.T) {
	for _, left := range []bool{true, false} {
		for _, back := range []int{1, 2, 4, 9} {
			bubble(t, 711, func(r *rig) {
				list := r.keepsPasts()
				r.play(r.release(5, 2))
				var before []byte
				if left {
					before = r.exported()
				}
				r.mem = (*list)[len(*list)-back]
				r.w.PowerOn()
				r.loader()
				r.play()
				now, err := r.agent().Console().History(1000)
				for _, e := range now.Entries {
					if err == nil && e.Chain != now.Entries[0].Chain {
						t.Errorf("back by %d: records of two chains are held", back)
						break
					}
				}
				r.play(r.release(6, 3))
				story := r.told()
				if left && !strings.Contains(story, "journal-behind") {
					t.Errorf("back by %d, left %v:\n%s", back, left, story)
				}
				keys, err := trust.NewKeys([]trust.Key{r.device.Key()}, false)
				if err != nil {
					t.Fatal(err)
				}
				both := append(before, r.exported()...)
				s, err := export.Verify(bytes.NewReader(both), keys, func(evidence.Record) error { return nil })
				if errors.Is(err, export.ErrForked) || err != nil || left && len(s.Chains) != 2 {
					t.Errorf("back by %d, left %v: both deliveries: %v, %d chains", back, left, err, len(s.Chains))
				}
				for range 2 { // once, and not at every start
					r.play()
				}
				if n := strings.Count(r.told(), "journal-behind"); left && n != 1 {
					t.Errorf("%d chains began", n)
				}
				if slot := r.runs(); !r.holds(device(slot), 3) {
					t.Errorf("slot %s runs, without the newest release", slot)
				}
			})
		}
	}
}

// TestFloorOutlivesTheJournal: what was confirmed before the journal went back stays the floor.
func TestFloorOutlivesTheJournal(t *testing.T) {
	for name, back := range map[string]func([]*journal.Memory) journal.Store{
		"gone back": func(list []*journal.Memory) journal.Store { return list[len(list)-3] },
		"lost":      func([]*journal.Memory) journal.Store { return journal.NewMemory() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 712, func(r *rig) {
				list := r.keepsPasts()
				r.play(r.release(5, 2))
				r.exported()
				r.mem = back(*list)
				r.w.PowerOn()
				r.loader()
				r.play()
				if n := r.play(r.release(4, 4)); n != 0 {
					t.Errorf("an older release made the device boot %d times", n)
				}
				r.is("B", 2, "sequence-below-floor")
			})
		})
	}
}

// TestUsedPermitStaysUsed: the journal goes back to before a permit was used, or even answered. It permits nothing.
func TestUsedPermitStaysUsed(t *testing.T) {
	for _, answered := range []bool{true, false} {
		bubble(t, 713, func(r *rig) {
			f := rooted(r)
			list := r.keepsPasts()
			env := r.release(5, 2)
			plan, digest := f.plan(env, 5)
			r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
			old := r.release(3, 3)
			var permit []byte
			open, taken := 0, 0
			r.ask(func(ctx context.Context, a *agent.Agent) {
				c, err := a.Console().Challenge(ctx, "uid 0")
				open = len(*list)
				permit = f.permit(c.Challenge, f.digest(old), reason.SequenceBelowFloor)
				if err == nil {
					_, err = a.Console().Permit(ctx, permit, "uid 0")
				}
				if taken = len(*list); err != nil {
					t.Error(err)
				}
			})
			var err error
			install := func(ctx context.Context, a *agent.Agent) {
				_, err = a.Console().Install(ctx, console.LocalInstall{Envelope: old, Name: "old.suit", Actor: "uid 0",
					Payloads: map[string]slots.Source{"3.img": simSource{r, "https://images.example.com/3.img"}}},
					func(control.Progress) {})
			}
			r.ask(install)
			r.is("A", 3)
			env = r.release(7, 4)
			plan, digest = f.plan(env, 7)
			r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
			r.is("B", 4)
			at := open
			if answered {
				at = taken
			}
			r.mem = (*list)[at]
			r.hear()
			if !answered {
				r.ask(func(ctx context.Context, a *agent.Agent) {
					_, err := a.Console().Permit(ctx, permit, "uid 0")
					wantRefused(t, "the permit again", err, reason.PermitVoid)
				})
			}
			r.ask(install)
			wantRefused(t, "install", err, reason.SequenceBelowFloor)
			if r.holds("/dev/a", 3) && r.runs() == "A" {
				t.Error("the permit was used twice")
			}
		})
	}
}
