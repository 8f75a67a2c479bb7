package intake_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/transport"
)

// device is an intake with its journal, and the desk that it obeys.
type device struct {
	t     *testing.T
	desk  *campaigntest.Desk
	world *sim.World
	mem   journal.Store
	st    *store.Store
	in    *intake.Intake
	state life.State
	root  []byte
}

func newDevice(t *testing.T) *device {
	d := &device{t: t, desk: campaigntest.New(t), world: sim.New(1), mem: journal.NewMemory()}
	d.world.SetWall(campaigntest.Noon, hal.TimeSynced)
	var err error
	if d.root, err = trust.BuildBundle(d.desk.Roots...); err != nil {
		t.Fatal(err)
	}
	d.start()
	return d
}

// start is a start of the daemon: the journal is all that is left.
func (d *device) start() {
	d.t.Helper()
	var err error
	if d.st, err = store.Open(d.mem, "gw-1", 1<<20,
		func() evidence.Stamp { return evidence.Stamp{Quality: "synced"} }); err != nil {
		d.t.Fatal(err)
	}
	if err := d.st.Begin("", nil); err != nil {
		d.t.Fatal(err)
	}
	d.in, err = intake.New(intake.Options{Device: "gw-1", Root: d.root, Channel: "stable", Store: d.st,
		Clock: d.world.Clock(),
		Facts: manifest.Device{Vendors: []manifest.UUID{campaigntest.Vendor},
			Classes: []manifest.UUID{campaigntest.Class}},
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.t.Fatal(err)
	}
	d.state = life.State{}
}

func (d *device) read(kind transport.Kind, body []byte) []intake.Change {
	return d.in.Document(d.state, transport.Message{Kind: kind, Origin: "broker", Body: body})
}

// keep makes changes durable and adopts them.
func (d *device) keep(changes ...intake.Change) {
	d.t.Helper()
	for _, c := range changes {
		if !c.Empty() {
			if err := d.st.Commit(nil, c.Events, c.Ops...); err != nil {
				d.t.Fatal(err)
			}
		}
		d.in.Adopt(c)
		d.state = c.State
	}
}

func (d *device) pulse(c campaign.Campaign) []byte {
	msg, err := campaign.BuildPulse(d.desk.PulseSpec(c))
	return d.desk.Sign(d.t, trust.RolePulse, "pulse", msg, err)
}

// TestNothingHoldsBeforeItIsAdopted: a change whose commit failed is not in the book, so that the document
// is taken when it comes again; and a restart knows what was adopted.
func TestNothingHoldsBeforeItIsAdopted(t *testing.T) {
	d := newDevice(t)
	plan := d.desk.PlanMessage(t, d.desk.PlanSpec())
	taken := func() bool { c := d.read(transport.Plan, plan); return len(c) == 1 && c[0].Taken && !c[0].Empty() }
	for range 2 {
		if !taken() {
			t.Error("a plan that was not adopted is not taken again")
		}
	}
	d.keep(d.read(transport.Plan, plan)...)
	if c := d.read(transport.Plan, plan); len(c) != 0 {
		t.Errorf("the plan is taken twice: %+v", c)
	}
	d.start()
	if c := d.read(transport.Plan, plan); len(c) != 0 {
		t.Errorf("the plan is not known after a restart: %+v", c)
	}
	d.desk.Rotate(t, trust.RoleRelease)
	bundle, err := trust.BuildBundle(d.desk.Roots...)
	if err != nil {
		t.Fatal(err)
	}
	c := d.read(transport.Root, bundle)
	if d.in.RootVersion() != 1 {
		t.Error("a root holds before it is adopted")
	}
	d.keep(c...)
	if d.start(); d.in.RootVersion() != 2 {
		t.Errorf("root %d after a restart", d.in.RootVersion())
	}
}

// TestPulseBeforeItsPlan: the pulse is a change of its own behind the plan's; alone it changes evidence only.
func TestPulseBeforeItsPlan(t *testing.T) {
	d := newDevice(t)
	plan := d.desk.PlanMessage(t, d.desk.PlanSpec())
	pulse := d.pulse(d.desk.Plan(t, d.desk.PlanSpec()))
	d.keep(d.read(transport.Pulse, pulse)...)
	if d.st.Document(store.Pulse) != nil {
		t.Error("a pulse without a plan is kept")
	}
	c := d.read(transport.Plan, plan)
	if len(c) != 2 || c[0].Events[0].Detail["document"] != "plan" || c[1].Events[0].Detail["document"] != "pulse" {
		t.Fatalf("the changes are %+v", c)
	}
	d.keep(c[0]) // the power goes between them
	d.start()
	if c := d.read(transport.Pulse, pulse); len(c) != 1 || !c[0].Taken {
		t.Errorf("the pulse that comes again changes %+v", c)
	}
}

// TestForgedDocumentsAreRecordedWithinARate: each body once, 20 in an hour; the others change the count alone.
func TestForgedDocumentsAreRecordedWithinARate(t *testing.T) {
	d := newDevice(t)
	recorded := 0
	for i := range 30 {
		for range 2 {
			for _, c := range d.read(transport.Plan, []byte{byte(i)}) {
				if c.Taken {
					t.Fatal("taken")
				}
				if !c.Empty() {
					recorded++
				}
				d.keep(c)
			}
		}
	}
	if recorded != 20 || d.state.Garbage.Dropped != 20 || len(d.state.Seen) != 20 {
		t.Errorf("%d are recorded, %d dropped, %d remembered", recorded, d.state.Garbage.Dropped, len(d.state.Seen))
	}
}

// TestPermitAnswersOneChallenge: it holds when it is adopted, survives a restart, and answers nothing else.
func TestPermitAnswersOneChallenge(t *testing.T) {
	d := newDevice(t)
	_, text, c, err := d.in.Challenge(d.state, "uid 0")
	if err != nil {
		t.Fatal(err)
	}
	d.keep(c)
	challenge, err := campaign.ParseChallenge(text)
	if err != nil {
		t.Fatal(err)
	}
	permit := d.desk.Permit(t, d.desk.PermitSpec(challenge, campaigntest.Manifest, reason.SequenceBelowFloor))
	_, bad, err := d.in.Permit(d.state, []byte("no permit"), "uid 0")
	var no *intake.Refused
	if !errors.As(err, &no) || len(bad.Events) != 1 || len(bad.Ops) != 0 {
		t.Fatalf("no permit changes %+v (%v)", bad, err)
	}
	d.keep(bad)
	_, c, err = d.in.Permit(d.state, permit, "uid 0")
	if err != nil {
		t.Fatal(err)
	}
	if d.in.Permitted() != "" || c.State.Permitted != campaigntest.Manifest.String() {
		t.Errorf("%q is permitted before it is adopted, %q afterwards", d.in.Permitted(), c.State.Permitted)
	}
	d.keep(c)
	if d.start(); d.in.Permitted() != campaigntest.Manifest.String() {
		t.Errorf("%q is permitted after a restart", d.in.Permitted())
	}
	if _, _, err := d.in.Permit(d.state, permit, "uid 0"); !errors.As(err, &no) || no.Reason != reason.PermitVoid {
		t.Errorf("the permit a second time: %v", err)
	}
}

// TestRootsDoNotPushOutWhatIsKept: roots come one by one, so that anybody can make them many. A plan, a pulse and an
// offer that are kept stay.
func TestRootsDoNotPushOutWhatIsKept(t *testing.T) {
	in, err := intake.New(intake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []transport.Kind{transport.Plan, transport.Pulse, transport.Offer} {
		in.Keep(transport.Message{Kind: k, Origin: k.String(), Body: []byte{1}})
	}
	for n := range byte(20) {
		in.Keep(transport.Message{Kind: transport.Root, Origin: "root", Body: []byte{n}})
	}
	docs := in.MissedDocuments()
	if len(docs) != intake.MaxMissed-1 || docs[0].Kind != transport.Plan || docs[1].Kind != transport.Pulse ||
		docs[len(docs)-1].Body[0] != 19 {
		t.Errorf("kept: %v", docs)
	}
	if m, ok := in.Missed(); !ok || m.Kind != transport.Offer {
		t.Errorf("the offer is %v", m)
	}
}
