package trust

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// validate checks everything about a root that needs no other one. What is written twice, out of
// order, or without effect is refused: it would be read differently by different people.
func (s RootSpec) validate() error {
	switch {
	case s.Version == 0:
		return errors.New("versions count from 1")
	case !nameOK(s.Name):
		return errorf("name %.80q: want 1 to %d visible ASCII characters", s.Name, MaxName)
	case !wholeSecond(s.Issued) || !wholeSecond(s.Expires):
		return errors.New("issued and expires are whole seconds after 1970")
	case !s.Issued.Before(s.Expires):
		return errors.New("it expires before it is issued")
	}
	if err := s.validateKeys(); err != nil {
		return err
	}
	if err := s.validateRoles(); err != nil {
		return err
	}
	if len(s.Components) > MaxComponents {
		return errorf("%d components with a range, at most %d", len(s.Components), MaxComponents)
	}
	for c, r := range s.Components {
		if !componentOK(c) || r.Min > r.Max {
			return errorf("component %.80q from %d to %d: want a component's name, and the lower number first",
				c, r.Min, r.Max)
		}
	}
	if len(s.Revoked) > MaxRevoked {
		return errorf("%d revoked manifests, at most %d: raise the lowest sequence of their component instead",
			len(s.Revoked), MaxRevoked)
	}
	for i, d := range s.Revoked {
		if _, err := digestOf(d); err != nil {
			return errorf("revoked: %w", err)
		}
		if i > 0 && d <= s.Revoked[i-1] {
			return errorf("revoked: %.40q is out of order or listed twice", d)
		}
	}
	return nil
}

// validateKeys: every key is allowed, stands in one signer only, and an ML-DSA key only behind an
// ordinary one.
func (s RootSpec) validateKeys() error {
	for i, a := range s.Algorithms {
		if !slices.Contains([]int64{legacyES256, legacyEdDSA, ESP256, Ed25519, ESP384, MLDSA65}, a) {
			return errorf("algorithm %d is not known here", a)
		}
		if i > 0 && a <= s.Algorithms[i-1] {
			return errorf("algorithm %d is out of order or listed twice", a)
		}
	}
	if len(s.Members) > MaxMembers {
		return errorf("%d signers, at most %d", len(s.Members), MaxMembers)
	}
	seen := map[string]bool{}
	for i, m := range s.Members {
		if !nameOK(m.Name) {
			return errorf("signer %d: name %.80q: want 1 to %d visible ASCII characters", i+1, m.Name, MaxName)
		}
		if len(m.Keys) != 1 && len(m.Keys) != 2 {
			return errorf("signer %s has %d keys: want one, or a pair", m.Name, len(m.Keys))
		}
		for j, k := range m.Keys {
			switch {
			case k.pub == nil:
				return errorf("signer %s: key %d is empty", m.Name, j+1)
			case (k.alg == MLDSA65) != (j == 1):
				return errorf("signer %s: a pair is an ordinary key and an ML-DSA-65 key, in this order", m.Name)
			case !slices.Contains(s.Algorithms, k.alg):
				return errorf("signer %s: algorithm %d is not among the allowed ones", m.Name, k.alg)
			case seen[k.id]:
				return errorf("signer %s: key %.16s is listed twice; it would look like two signers", m.Name, k.id)
			}
			seen[k.id] = true
		}
	}
	return nil
}

// validateRoles: thresholds can be met, every signer has exactly one role, every grant can be reached.
func (s RootSpec) validateRoles() error {
	listed, serves := map[string]int{}, map[string]Role{}
	for i, m := range s.Members {
		listed[m.ID()] = i
	}
	for _, role := range slices.Sorted(maps.Keys(s.Roles)) {
		rs := s.Roles[role]
		if !slices.Contains(Roles(), role) {
			return errorf("role %.40q is not known", role)
		}
		if len(rs.Grants) == 0 || len(rs.Grants) > MaxGrants {
			return errorf("role %s has %d grants: want 1 to %d", role, len(rs.Grants), MaxGrants)
		}
		if rs.Generation == 0 || rs.Generation > s.Version {
			return errorf("role %s has generation %d: want 1 to the version", role, rs.Generation)
		}
		for i, g := range rs.Grants {
			if err := g.validate(role); err != nil {
				return errorf("role %s, grant %d: %w", role, i+1, err)
			}
			for _, before := range rs.Grants[:i] {
				if before.Scope.contains(g.Scope) {
					return errorf("role %s, grant %d is never reached: an earlier one covers all of it", role, i+1)
				}
			}
			for _, m := range g.Members {
				at, ok := listed[m.ID()]
				if !ok || !slices.EqualFunc(m.Keys, s.Members[at].Keys, func(a, b Key) bool { return a.id == b.id }) {
					return errorf("role %s: signer %s is not in the list of signers", role, m.Name)
				}
				if r, ok := serves[m.ID()]; ok && r != role {
					return errorf("signer %s serves the roles %s and %s: one key, one role",
						m.Name, min(r, role), max(r, role))
				}
				serves[m.ID()] = role
			}
		}
	}
	if root := s.Roles[RoleRoot]; len(root.Grants) != 1 || !root.Grants[0].Scope.IsZero() {
		return errors.New("the role root needs one grant, without a scope")
	}
	if len(serves) != len(s.Members) {
		return errors.New("a signer is listed who has no role")
	}
	return nil
}

func (g Grant) validate(role Role) error {
	if g.Threshold < 1 || g.Threshold > len(g.Members) {
		return errorf("threshold %d of %d signers", g.Threshold, len(g.Members))
	}
	seen := map[string]bool{}
	for _, m := range g.Members {
		if seen[m.ID()] {
			return errorf("signer %s is listed twice", m.Name)
		}
		seen[m.ID()] = true
	}
	for _, list := range [][][16]byte{g.Scope.Vendors, g.Scope.Classes} {
		if len(list) > MaxScope {
			return errorf("scope names %d vendors or classes, at most %d", len(list), MaxScope)
		}
		for i := range list {
			if i > 0 && strings.Compare(string(list[i-1][:]), string(list[i][:])) >= 0 {
				return errors.New("scope is out of order or names something twice")
			}
		}
	}
	if c := g.Scope.Component; c != "" && (role != RoleRelease || !componentOK(c)) {
		return errorf("scope names component %.80q: only the role release has components", c)
	}
	return nil
}

// nameOK: visible ASCII, so that no name plays tricks on a terminal.
func nameOK(s string) bool {
	return s != "" && len(s) <= MaxName && strings.TrimSpace(s) == s &&
		strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// componentOK: a name as manifest.ComponentID.String writes it.
func componentOK(s string) bool {
	return s != "" && len(s) <= 5*(3*64+1) && !strings.HasPrefix(s, "/") && !strings.HasSuffix(s, "/") &&
		strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func wholeSecond(t time.Time) bool {
	_, ok := Seconds(uint64(t.Unix()))
	return ok && t.Nanosecond() == 0
}
