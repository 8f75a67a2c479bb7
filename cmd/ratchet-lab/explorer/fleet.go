package explorer

import (
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// fleet is the people behind a device with a trust root: the documents that its broker retains, each
// made once for a process. Signing keys and contents do not depend on the case.
type fleet struct {
	roots  [2][]byte                            // bundles: version 1, and versions 1 and 2 with another release key
	offers [2][]byte                            // the envelope of image 2, signed by the release key of each version
	plan   []byte                               // that admits it
	pulses map[campaign.State]map[uint64][]byte // by state and sequence
	keys   map[trust.Role]*trust.Signer
}

// channel of the plans of a device with a trust root.
const channel = "stable"

var fleetTime = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) // when the simulated machine is switched on

// theFleet makes the fleet at its first use.
func (p *pki) theFleet() (*fleet, error) {
	p.mu.Lock()
	f := p.fleet
	p.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f = &fleet{pulses: map[campaign.State]map[uint64][]byte{}, keys: map[trust.Role]*trust.Signer{}}
	if err := f.make(p); err != nil {
		return nil, fmt.Errorf("cannot make the fleet of the lab: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fleet = f
	return f, nil
}

func (f *fleet) make(p *pki) error {
	spec := trust.RootSpec{Version: 1, Name: "lab", Issued: fleetTime.Add(-time.Hour),
		Expires: fleetTime.AddDate(10, 0, 0), Algorithms: []int64{trust.ESP256}, Roles: map[trust.Role]trust.RoleSpec{}}
	for _, role := range trust.Roles() {
		if err := f.rekey(&spec, role); err != nil {
			return err
		}
	}
	first, err := f.root(spec)
	if err != nil {
		return err
	}
	if f.roots[0], err = trust.BuildBundle(first); err != nil {
		return err
	}
	root, err := trust.Anchor(f.roots[0])
	if err != nil {
		return err
	}
	unsigned, err := p.unsigned(Release{Sequence: 2, Image: 2})
	if err != nil {
		return err
	}
	if f.offers[0], err = author.Sign(unsigned, f.keys[trust.RoleRelease]); err != nil {
		return err
	}
	if err := f.campaign(root); err != nil {
		return err
	}
	next := root.Spec()
	if err := f.rekey(&next, trust.RoleRelease); err != nil {
		return err
	}
	second, err := f.root(root.Next(next))
	if err != nil {
		return err
	}
	if f.roots[1], err = trust.BuildBundle(first, second); err != nil {
		return err
	}
	f.offers[1], err = author.Sign(unsigned, f.keys[trust.RoleRelease])
	return err
}

// rekey gives a role a new key.
func (f *fleet) rekey(spec *trust.RootSpec, role trust.Role) error {
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		return err
	}
	var members []trust.Member
	for _, m := range spec.Members {
		if old := f.keys[role]; old == nil || m.ID() != old.Key().ID() {
			members = append(members, m)
		}
	}
	f.keys[role] = s
	m := trust.Member{Name: fmt.Sprintf("%s-%d", role, spec.Version), Keys: []trust.Key{s.Key()}}
	spec.Members = append(members, m)
	spec.Roles[role] = trust.RoleSpec{Generation: spec.Version,
		Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{m}}}}
	return nil
}

func (f *fleet) root(spec trust.RootSpec) ([]byte, error) {
	b, err := trust.BuildRoot(spec)
	if err != nil {
		return nil, err
	}
	return trust.SignRoot(b, f.keys[trust.RoleRoot])
}

func (f *fleet) campaign(root trust.Root) error {
	e, err := manifest.Parse(f.offers[0])
	if err != nil {
		return err
	}
	b, err := campaign.BuildPlan(campaign.PlanSpec{Generation: root.Generation(trust.RoleCampaign),
		Channel: channel, Sequence: 1, Manifest: e.ClaimedDigest(), ManifestSequence: 2,
		Classes: []manifest.UUID{class()}, Salt: make([]byte, campaign.SaltSize),
		Phases: []campaign.Phase{{BasisPoints: 10000}}, Issued: fleetTime, ValidUntil: fleetTime.AddDate(0, 6, 0)})
	if err != nil {
		return err
	}
	if f.plan, err = trust.SignDocument("plan", b, f.keys[trust.RoleCampaign]); err != nil {
		return err
	}
	c, err := campaign.VerifyPlan(root, f.plan)
	if err != nil {
		return err
	}
	for seq, state := range []campaign.State{campaign.StateOpen, campaign.StatePaused, campaign.StateOpen,
		campaign.StateWithdrawn} {
		b, err := campaign.BuildPulse(campaign.PulseSpec{Generation: root.Generation(trust.RolePulse), Plan: c.Digest(),
			Sequence: uint64(seq + 1), State: state, Issued: fleetTime, Expires: fleetTime.AddDate(0, 0, 7)})
		if err != nil {
			return err
		}
		if b, err = trust.SignDocument("pulse", b, f.keys[trust.RolePulse]); err != nil {
			return err
		}
		if f.pulses[state] == nil {
			f.pulses[state] = map[uint64][]byte{}
		}
		f.pulses[state][uint64(seq+1)] = b
	}
	return nil
}

// retained is what the broker hands over at each start to a device with a trust root.
func (d *Device) retained() []transport.Message {
	f := d.fleet()
	root, offer := f.roots[0], f.offers[0]
	if d.fired[rotated] > 0 {
		root, offer = f.roots[1], f.offers[1]
	}
	list := []transport.Message{{Kind: transport.Root, Body: root}, {Kind: transport.Plan, Body: f.plan},
		{Kind: transport.Pulse, Body: d.pulse()}, {Kind: transport.Offer, Body: offer}}
	for i := range list {
		list[i].Origin = "broker"
	}
	return list
}

// What happens to a campaign.
const (
	rotated   = "the release key is rotated"
	withdrawn = "the campaign is withdrawn"
	paused    = "the campaign is paused"
	resumed   = "the campaign goes on"
)

// pulse is the newest one.
func (d *Device) pulse() []byte {
	p := d.fleet().pulses
	switch {
	case d.fired[withdrawn] > 0:
		return p[campaign.StateWithdrawn][4]
	case d.fired[resumed] > 0:
		return p[campaign.StateOpen][3]
	case d.fired[paused] > 0:
		return p[campaign.StatePaused][2]
	}
	return p[campaign.StateOpen][1]
}

// fleet is there: the case would not have begun without it.
func (d *Device) fleet() *fleet {
	f, err := d.p.theFleet()
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return f
}

// retain is a new retained message that comes while the device runs.
func (d *Device) retain(kind transport.Kind, body []byte) {
	d.sendNow(transport.Message{Kind: kind, Origin: "mqtt:broker", Body: body})
}
