package policy_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestDecideAsksAll: the rules first, then root, plan and pulse, then the agent's own state; at the
// console no plan and no pulse. A device without a root is asked for none of them.
func TestDecideAsksAll(t *testing.T) {
	d := newDesk(t)
	d.amend(t, func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Max: 6}} })
	rooted := policy.Standing{Root: d.root, Counter: d.root.Version() + 1, Unread: "it is gone"}
	s := good()
	s.rules.MinBattery, s.facts.Battery, s.facts.Own.Hold = 50, 1, true
	root := []reason.Reason{reason.LowBattery, reason.SignersInsufficient, reason.SequenceOutOfRange, reason.CounterUnreadable, reason.RootBehind}
	wants(t, "network", s.under(t, rooted, policy.Permit{}).Findings, append(root[:5:5], reason.PlanMissing, reason.RunningUnproven)...)
	s.local = true
	wants(t, "console", s.under(t, rooted, policy.Permit{}).Findings, append(root[:5:5], reason.RunningUnproven)...)
	s.local = false
	wants(t, "no root", s.under(t, policy.Standing{Counter: 9, Unread: "gone"}, policy.Permit{}).Findings, reason.LowBattery, reason.RunningUnproven)
}

// TestReleasable: what a root has against a manifest whatever the time is, and whatever the device.
func TestReleasable(t *testing.T) {
	d := newDesk(t)
	s := good()
	m := s.manifest(t)
	d.amend(t, func(r *trust.RootSpec) {
		r.Revoked, r.Components = []string{m.Digest().String()}, map[string]trust.SequenceRange{"rootfs": {Min: 8, Max: 9}}
		r.Issued, r.Expires = noon.AddDate(-3, 0, 0), noon.AddDate(-2, 0, 0)
	})
	wants(t, "another's", policy.Releasable(d.root, m, s.facts.Device), reason.Revoked, reason.SignersInsufficient, reason.SequenceOutOfRange)
}
