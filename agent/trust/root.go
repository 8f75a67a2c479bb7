package trust

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"math"
	"slices"
	"time"
)

// Root is a version of the trust root that Anchor or a Chain has verified. The zero value trusts nobody. It is a
// pointer to what never changes, so that it is cheap to hand on.
type Root struct{ verified *root }

type root struct {
	spec   RootSpec
	digest [sha256.Size]byte // of the payload as it was received
	device Scope             // who asks, see At
}

var nobody root

//go:noinline
func (r Root) is() *root { return cmp.Or(r.verified, &nobody) }

// Version counts from 1, one step at a time.
//
//go:noinline
func (r Root) Version() uint64 { return r.is().spec.Version }

// Name tells this chain of roots from others; it never changes within a chain.
func (r Root) Name() string { return r.is().spec.Name }

// Development tells whether the chain is one for development, whose keys are kept with less care. It
// never changes within a chain: a device for production is built with another root.
func (r Root) Development() bool { return r.is().spec.Development }

// Issued is when this version was made, as its signers say.
func (r Root) Issued() time.Time { return r.is().spec.Issued }

// Expires is the first second at which this version is no longer current. An expired root is genuine: it is kept, and
// a newer one may follow it. What is taken under it is for the caller's policy, who has the clock.
func (r Root) Expires() time.Time { return r.is().spec.Expires }

// IsZero tells whether this is no root.
func (r Root) IsZero() bool { return r.is().spec.Version == 0 }

// Digest is the SHA-256 of the root's payload, for showing and comparing.
func (r Root) Digest() [sha256.Size]byte { return r.is().digest }

// Role returns the grants of a role in their order: the first that covers a device and a component
// decides for it. Nil: nobody has the role.
func (r Root) Role(role Role) []Grant { return slices.Clone(r.is().spec.Roles[role].Grants) }

// Generation is the version of the root in which the signers of a role were last changed, 0 when
// nobody has the role. Documents name the generation of their role, so that nothing that was signed
// before a rotation counts after it, and counters of documents begin again with it.
//
//go:noinline
func (r Root) Generation(role Role) uint64 { return r.is().spec.Roles[role].Generation }

// Algorithms lists the algorithm identifiers that signatures may have.
func (r Root) Algorithms() []int64 { return slices.Clone(r.is().spec.Algorithms) }

// Revoked tells whether a manifest, by its digest ("sha256:<hex>"), must never be installed again.
func (r Root) Revoked(digest string) bool { return slices.Contains(r.is().spec.Revoked, digest) }

// Forbids tells whether the root revokes any manifest or has a lowest sequence for any component.
func (r Root) Forbids() bool {
	for _, s := range r.is().spec.Components {
		if s.Min > 0 {
			return true
		}
	}
	return len(r.is().spec.Revoked) > 0
}

// SequenceRange returns the lowest and the highest sequence that a manifest with this component
// (manifest.ComponentID.String) may have. The lowest is the hard floor against rollback; the highest
// keeps a stolen release key from using up all numbers.
func (r Root) SequenceRange(component string) (lowest, highest uint64) {
	if s, ok := r.is().spec.Components[component]; ok {
		return s.Min, s.Max
	}
	return 0, math.MaxUint64
}

// Spec returns what the root says, for showing it and for making the next one from it.
func (r Root) Spec() RootSpec { return r.is().spec.clone() }

// At returns the root as it stands for a device: vendors and classes of device decide which grants
// cover it. Without At only grants without a scope do.
func (r Root) At(device Scope) Root {
	at := *r.is()
	at.device = Scope{Vendors: slices.Clone(device.Vendors), Classes: slices.Clone(device.Classes)}
	return Root{&at}
}

// Verify checks that a document of a kind ("plan", "pulse" ...) is signed by enough signers of a role
// for this device, and returns its payload and their ids. It says nothing about replay or time.
// Errors: ErrMalformed, ErrNoSigner, ErrThreshold, ErrSignature, ErrAlgorithm, ErrEmpty.
func (r Root) Verify(role Role, kind string, msg []byte) (payload []byte, signers []string, err error) {
	d, err := open(kind, msg)
	if err != nil {
		return nil, nil, errorf("cannot verify %s: %w", kind, err)
	}
	g, ok := first(r.is().spec.Roles[role].Grants, r.is().device)
	if !ok {
		return nil, nil, errorf("cannot verify %s: root %d gives nobody the role %s for this device: %w",
			kind, r.Version(), role, ErrNoSigner)
	}
	if signers, err = d.meets(g); err != nil {
		return nil, nil, errorf("cannot verify %s: %w", kind, err)
	}
	return d.payload, signers, nil
}

// next verifies the root that follows r: r's root role first, over bytes that are not parsed yet;
// then the form; then the new root's own root role.
func (r Root) next(d document) (Root, error) {
	if _, err := d.meets(r.is().spec.Roles[RoleRoot].Grants[0]); err != nil {
		return Root{}, errorf("by the signers of version %d: %w", r.Version(), err)
	}
	n, err := parseRoot(d.payload)
	if err != nil {
		return Root{}, err
	}
	switch {
	case n.Version() != r.Version()+1:
		return Root{}, errorf("it says that it is version %d, after version %d: %w",
			n.Version(), r.Version(), ErrVersion)
	case n.Name() != r.Name() || n.Development() != r.Development():
		return Root{}, errorf("it belongs to %q, not to %q: %w", n.Name(), r.Name(), ErrFork)
	}
	for _, role := range Roles() {
		now, there := n.is().spec.Roles[role] // one that is not there was taken from everybody
		same := sameGrants(r.is().spec.Roles[role].Grants, now.Grants)
		if g := now.Generation; there && g != n.Version() && !(same && g == r.Generation(role)) {
			return Root{}, errorf("generation of role %s is %d, which is neither the old one "+
				"unchanged nor version %d: %w", role, g, n.Version(), ErrMalformed)
		}
	}
	if err := n.own(d); err != nil {
		return Root{}, err
	}
	return n.At(r.is().device), nil
}

// own checks the root's signatures by its own root role.
func (r Root) own(d document) error {
	if _, err := d.meets(r.is().spec.Roles[RoleRoot].Grants[0]); err != nil {
		return errorf("by its own signers: %w", err)
	}
	return nil
}

// sameGrants compares by keys, thresholds and scopes; names do not matter.
func sameGrants(a, b []Grant) bool {
	return slices.EqualFunc(a, b, func(a, b Grant) bool {
		return a.Threshold == b.Threshold && a.Scope.Component == b.Scope.Component &&
			slices.Equal(a.Scope.Vendors, b.Scope.Vendors) && slices.Equal(a.Scope.Classes, b.Scope.Classes) &&
			maps.Equal(keysOf(a), keysOf(b))
	})
}

// keysOf maps each key of a grant to the signer that it belongs to.
//
//go:noinline
func keysOf(g Grant) map[string]string {
	m := map[string]string{}
	for _, member := range g.Members {
		for _, k := range member.Keys {
			m[k.id] = member.ID()
		}
	}
	return m
}
