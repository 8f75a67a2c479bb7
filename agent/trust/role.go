package trust

import (
	"slices"
	"strings"
)

// Role is what a signer may speak about. A key serves one role only, so that what is stolen in one
// place is worth nothing in another.
type Role string

const (
	RoleRoot     Role = "root"     // the next root
	RoleRelease  Role = "release"  // manifests: what an image is
	RoleCampaign Role = "campaign" // plans: who may take which manifest, offline
	RolePulse    Role = "pulse"    // pulses: whether a plan goes on now, online
	RoleRecovery Role = "recovery" // permits: this device may take that manifest in spite of a rule
)

// Roles lists all roles, the most powerful first.
func Roles() []Role {
	return []Role{RoleRoot, RoleRelease, RoleCampaign, RolePulse, RoleRecovery}
}

// Scope is a set of devices and components. Of a grant it says whom it covers: devices of one of the
// vendors and one of the classes, components equal to Component or below it ("app" covers "app" and
// "app/x"); what is empty covers all. Of a device it says what it is: all its vendors and classes.
type Scope struct {
	Vendors   [][16]byte
	Classes   [][16]byte
	Component string // as manifest.ComponentID.String
}

// IsZero tells whether the scope names nothing.
func (s Scope) IsZero() bool { return len(s.Vendors) == 0 && len(s.Classes) == 0 && s.Component == "" }

// device tells whether the grant's scope s covers the device d, its component aside.
func (s Scope) device(d Scope) bool {
	one := func(of, is [][16]byte) bool {
		return len(of) == 0 || slices.ContainsFunc(is, func(id [16]byte) bool { return slices.Contains(of, id) })
	}
	return one(s.Vendors, d.Vendors) && one(s.Classes, d.Classes)
}

// component tells whether the grant's scope s covers the component.
func (s Scope) component(name string) bool {
	return s.Component == "" || s.Component == name || strings.HasPrefix(name, s.Component+"/")
}

func (s Scope) covers(d Scope) bool { return s.device(d) && s.component(d.Component) }

// contains tells whether s covers everything that t covers.
func (s Scope) contains(t Scope) bool {
	all := func(of, sub [][16]byte) bool {
		return len(of) == 0 ||
			len(sub) > 0 && !slices.ContainsFunc(sub, func(id [16]byte) bool { return !slices.Contains(of, id) })
	}
	return all(s.Vendors, t.Vendors) && all(s.Classes, t.Classes) &&
		(s.Component == "" || t.Component != "" && s.component(t.Component))
}

// Member is one signer of a root: a key, or a pair (an ordinary key and an ML-DSA-65 key) of which
// both must sign.
type Member struct {
	Name string // for people; not an identity
	Keys []Key
}

// ID is the id of the signer's first key, the ordinary one of a pair.
//
//go:noinline
func (m Member) ID() string {
	if len(m.Keys) == 0 {
		return ""
	}
	return m.Keys[0].ID()
}

// signed tells whether every key of the signer is among the ids.
func (m Member) signed(ids map[string]bool) bool {
	for _, k := range m.Keys {
		if !ids[k.id] {
			return false
		}
	}
	return len(m.Keys) > 0
}

// Grant gives a role to signers: Threshold of Members must agree, for what Scope covers.
type Grant struct {
	Threshold int
	Members   []Member
	Scope     Scope
}

// meet returns the signers of the grant that have signed, and whether they are enough.
func (g Grant) meet(ids map[string]bool) (signers []string, err error) {
	for _, m := range g.Members {
		if m.signed(ids) {
			signers = append(signers, m.ID())
		}
	}
	if len(signers) < g.Threshold {
		return signers, errorf("signed by %d of the %d needed: %w", len(signers), g.Threshold, ErrThreshold)
	}
	return signers, nil
}

// first returns the first grant that covers what is asked. The order of a root's grants decides, as
// in a routing table: the special ones stand before the general ones.
func first(grants []Grant, d Scope) (Grant, bool) {
	for _, g := range grants {
		if g.Scope.covers(d) {
			return g, true
		}
	}
	return Grant{}, false
}
