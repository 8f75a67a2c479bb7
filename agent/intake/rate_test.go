package intake_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestPlansAndPulsesAreTakenWithinARate: whoever has the key of pulses can sign as many as he likes. So many of them
// are taken in an hour of uptime; one that stops the campaign and the first one under another root always are.
func TestPlansAndPulsesAreTakenWithinARate(t *testing.T) {
	d := newDevice(t)
	plan := d.desk.PlanSpec()
	taken := func(kind transport.Kind, body []byte) bool {
		changes := d.read(kind, body)
		d.keep(changes...)
		return slices.ContainsFunc(changes, func(c intake.Change) bool { return c.Taken })
	}
	if !taken(transport.Plan, d.desk.PlanMessage(t, plan)) {
		t.Fatal("the plan is not taken")
	}
	seq := uint64(0)
	say := func(s campaign.State) bool {
		seq++
		spec := d.desk.PulseSpec(d.desk.Plan(t, plan))
		spec.Sequence, spec.State = seq, s
		msg, err := campaign.BuildPulse(spec)
		return taken(transport.Pulse, d.desk.Sign(t, trust.RolePulse, "pulse", msg, err))
	}
	flood := func() (n int) {
		for i := range 300 {
			if say([]campaign.State{campaign.StateOpen, campaign.StateHalted, campaign.StatePaused}[i%3]) {
				n++
			}
		}
		return n
	}
	if n := flood(); n < 60 || n > 120 {
		t.Errorf("of 300 pulses within an hour %d were taken", n)
	}
	if say(campaign.StateOpen) {
		t.Error("one more is taken")
	}
	d.world.Advance(time.Hour)
	if !say(campaign.StateOpen) || flood() > 120 {
		t.Error("an hour later none is taken, or all")
	}
	d.world.Advance(time.Hour)
	for range 60 {
		say(campaign.StateOpen)
	}
	if !say(campaign.StateHalted) || say(campaign.StatePaused) || !say(campaign.StateWithdrawn) {
		t.Error("what stops the campaign is not taken")
	}
	plan.Sequence++
	if taken(transport.Plan, d.desk.PlanMessage(t, plan)) {
		t.Error("another plan is taken")
	}
	d.desk.Rotate(t, trust.RolePulse)
	if !taken(transport.Root, d.desk.Roots[len(d.desk.Roots)-1]) || !say(campaign.StateOpen) {
		t.Error("under another root neither the plan that came before nor its pulse is taken")
	}
}

// TestEarlyRootsAreBounded: of the roots that came before those that they follow, the sixteen newest are kept.
func TestEarlyRootsAreBounded(t *testing.T) {
	for _, many := range []int{16, 17} {
		d := newDevice(t)
		for range many + 1 {
			d.desk.Amend(t, func(*trust.RootSpec) {})
		}
		first := len(d.desk.Roots) - many
		for _, early := range d.desk.Roots[first:] {
			d.keep(d.read(transport.Root, early)...)
		}
		d.keep(d.read(transport.Root, d.desk.Roots[first-1])...)
		if whole := d.in.RootVersion() == uint64(len(d.desk.Roots)); whole != (many == 16) {
			t.Errorf("%d came early: root %d of %d", many, d.in.RootVersion(), len(d.desk.Roots))
		}
	}
}

// TestBehindItsRootNothingIsRemembered: a device that has lost the newest root it had takes no plan under an older one:
// its signers may be those that were replaced.
func TestBehindItsRootNothingIsRemembered(t *testing.T) {
	d := newDevice(t)
	d.desk.Amend(t, func(*trust.RootSpec) {})
	newest := d.desk.Roots[len(d.desk.Roots)-1]
	plan := d.desk.PlanMessage(t, d.desk.PlanSpec())
	d.keep(d.read(transport.Root, newest)...)
	version := d.in.RootVersion()
	err := d.st.Commit(nil, nil, store.PutRoot{Version: version})
	if d.start(); err != nil || d.in.RootVersion() != version-1 {
		t.Fatalf("root %d, %v", d.in.RootVersion(), err)
	}
	changes := d.read(transport.Plan, plan)
	d.keep(changes...)
	if len(changes) != 1 || changes[0].Taken || changes[0].Events[0].Reason != reason.RootBehind ||
		d.st.Document(store.Plan) != nil || d.st.Document(store.Memory) != nil {
		t.Errorf("%d changes, %s", len(changes), changes[0].Events[0].Reason)
	}
	changes = d.read(transport.Root, newest)
	d.keep(changes...)
	if len(changes) != 2 || !changes[1].Taken || d.st.Document(store.Plan) == nil {
		t.Errorf("with the newest root again there are %d changes", len(changes))
	}
}
