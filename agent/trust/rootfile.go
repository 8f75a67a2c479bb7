package trust

import (
	"slices"
)

// BuildRoot makes a root that nobody has signed yet.
func BuildRoot(s RootSpec) ([]byte, error) {
	payload, err := s.encode()
	if err != nil {
		return nil, errorf("cannot build root: %w", err)
	}
	if _, err := parseRoot(payload); err != nil {
		return nil, errorf("internal error: cannot read back root: %w", err)
	}
	return BuildDocument("root", payload)
}

// SignRoot adds a signature to a root. Several people sign the same file one after another; the
// signers of the version before it sign too. A root that no device could take is not signed.
func SignRoot(msg []byte, s *Signer) ([]byte, error) {
	d, err := open("root", msg)
	if err != nil {
		return nil, errorf("cannot sign root: %w", err)
	}
	if _, err := parseRoot(d.payload); err != nil {
		return nil, errorf("cannot sign root: a device would refuse it: %w", err)
	}
	return SignDocument("root", msg, s)
}

// Next prepares the root that follows r: s with the version after r's, r's name, and the generation of
// each role, which is r's where the grants stay as they are. A role named in renew begins a new
// generation in any case, which voids all that it has signed so far.
func (r Root) Next(s RootSpec, renew ...Role) RootSpec {
	s = s.clone()
	s.Version, s.Name, s.Development = r.Version()+1, r.Name(), r.Development()
	for role, rs := range s.Roles {
		rs.Generation = s.Version
		old, ok := r.is().spec.Roles[role]
		if ok && sameGrants(old.Grants, rs.Grants) && !slices.Contains(renew, role) {
			rs.Generation = old.Generation
		}
		s.Roles[role] = rs
	}
	return s
}

// Review is what people look at before they sign a root and before they publish it.
type Review struct {
	Spec RootSpec
	Own  Quorum // by the root's own signers
	Old  Quorum // by those of the version before it; zero without one
	Err  error  // what a device that trusts the version before it would say; nil: it takes the root
}

// Quorum is how far a document is signed.
type Quorum struct {
	Signed    []Member // those whose every key has signed
	Missing   []Member
	Threshold int
}

// Met tells whether the signatures suffice.
func (q Quorum) Met() bool { return q.Threshold > 0 && len(q.Signed) >= q.Threshold }

// ReviewRoot reads a root that may not be signed by enough people yet. old is the version before it,
// zero for a first root.
func ReviewRoot(msg []byte, old Root) (Review, error) {
	d, err := open("root", msg)
	if err != nil {
		return Review{}, errorf("cannot read root: %w", err)
	}
	n, err := parseRoot(d.payload)
	if err != nil {
		return Review{}, errorf("cannot read root: %w", err)
	}
	v := Review{Spec: n.Spec(), Own: d.quorum(n.is().spec.Roles[RoleRoot].Grants[0])}
	if old.IsZero() {
		v.Err = n.own(d)
		return v, nil
	}
	v.Old = d.quorum(old.is().spec.Roles[RoleRoot].Grants[0])
	_, v.Err = old.next(d)
	return v, nil
}

func (d document) quorum(g Grant) Quorum {
	ids, _ := d.signedBy(g.Members)
	q := Quorum{Threshold: g.Threshold}
	for _, m := range g.Members {
		if m.signed(ids) {
			q.Signed = append(q.Signed, m)
		} else {
			q.Missing = append(q.Missing, m)
		}
	}
	return q
}

// ReviewDocument tells how far a document of another kind is signed by the signers of a role for a
// device.
func (r Root) ReviewDocument(role Role, kind string, msg []byte) (Quorum, error) {
	d, err := open(kind, msg)
	if err != nil {
		return Quorum{}, errorf("cannot read %s: %w", kind, err)
	}
	g, ok := first(r.is().spec.Roles[role].Grants, r.is().device)
	if !ok {
		return Quorum{}, errorf("cannot read %s: the root gives nobody the role %s for such a device: %w",
			kind, role, ErrNoSigner)
	}
	return d.quorum(g), nil
}
