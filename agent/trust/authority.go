package trust

import (
	"fmt"
	"slices"
	"strings"
)

// Authority says which signers of the role release signed an envelope, and for which components that
// suffices. It implements manifest.Authority.
//
// An envelope is checked in two steps, because its components stand in the manifest, which is not
// parsed before its signatures hold: Authenticate demands that at least one grant for this device is
// met; Covers then asks, for each component, the grant that covers it. Whoever skips the second step
// takes a boot loader that only the application team has signed.
type Authority struct {
	keys   Keys
	grants []Grant // of the role release that may cover this device
	device Scope
}

// Release returns the authority over manifests for a device: its vendors and classes, and a
// component where only that one may come ("" = any).
func (r Root) Release(scope Scope) Authority {
	a := Authority{device: Scope{slices.Clone(scope.Vendors), slices.Clone(scope.Classes), scope.Component}}
	a.keys.algs = append([]int64{}, r.is().spec.Algorithms...) // never nil: nil would admit the default
	for _, g := range r.is().spec.Roles[RoleRelease].Grants {
		if g.Scope.device(scope) && (scope.Component == "" || g.Scope.component(scope.Component)) {
			a.grants = append(a.grants, g)
		}
	}
	if scope.Component != "" && len(a.grants) > 1 {
		a.grants = a.grants[:1] // the first decides
	}
	for _, g := range a.grants {
		for _, m := range g.Members {
			for _, k := range m.Keys {
				if !contains(a.keys.IDs(), k.id) {
					a.keys.keys = append(a.keys.keys, k)
				}
			}
		}
	}
	return a
}

// Authenticate returns the signers, each by the id of its first key, whose every key has signed
// payload in the detached blocks (as Keys.Authenticate takes them), when they meet at least one grant
// for this device.
func (a Authority) Authenticate(payload []byte, blocks [][]byte) ([]string, error) {
	if len(a.grants) == 0 {
		return nil,
			errorf("the root gives nobody the role release for this device: %w", ErrNoSigner)
	}
	found, worst, err := a.keys.authenticate(payload, blocks)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, worst
	}
	ids := map[string]bool{}
	for _, id := range found {
		ids[id] = true
	}
	var signers, short []string
	met := false
	for _, g := range a.grants {
		who, err := g.meet(ids)
		if err == nil {
			met = true
		} else if len(who) > 0 || len(a.grants) == 1 {
			short = append(short, fmt.Sprintf("%d of the %d needed%s", len(who), g.Threshold, a.forWhat(g)))
		}
		for _, id := range who {
			if !contains(signers, id) {
				signers = append(signers, id)
			}
		}
	}
	if !met {
		if len(short) == 0 {
			short = []string{"no signer with all keys"}
		}
		return nil, errorf("signed by %s: %w", strings.Join(short, ", by "), ErrThreshold)
	}
	return signers, nil
}

// forWhat names the components that a grant is for, where that tells it from another one.
func (a Authority) forWhat(g Grant) string {
	switch {
	case g.Scope.Component != "":
		return " for " + g.Scope.Component
	case len(a.grants) > 1:
		return " for other components"
	}
	return ""
}

// Covers tells whether the signers that Authenticate returned suffice for a component. The error is
// ErrThreshold, or ErrNoSigner where nobody may release the component for this device.
func (a Authority) Covers(signers []string, component string) error {
	asked := a.device
	asked.Component = component
	g, ok := first(a.grants, asked)
	if !ok || a.device.Component != "" && a.device.Component != component {
		return errorf("nobody may release %s for this device: %w", component, ErrNoSigner)
	}
	n := 0
	for _, m := range g.Members {
		if contains(signers, m.ID()) {
			n++
		}
	}
	if n < g.Threshold {
		return errorf("%s is signed by %d of the %d needed for it: %w", component, n, g.Threshold, ErrThreshold)
	}
	return nil
}
