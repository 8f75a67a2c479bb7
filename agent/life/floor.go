package life

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Floor is the highest sequence number that was confirmed for one component, and the manifest that
// was confirmed under it. Numbers belong to components: who may release only one of them uses up the
// numbers of that one.
type Floor struct {
	Component string `cbor:"1,keyasint"`
	Sequence  uint64 `cbor:"2,keyasint"`
	Digest    string `cbor:"3,keyasint,omitempty"` // "": not known
}

// Floors are the floors of a device, by component, at most one for each.
type Floors []Floor

// Of is the floor of a component; the zero value's sequence where nothing was confirmed for it.
func (f Floors) Of(component string) Floor {
	if i, ok := f.find(component); ok {
		return f[i]
	}
	return Floor{Component: component}
}

func (f Floors) find(component string) (int, bool) {
	return slices.BinarySearchFunc(f, component, func(x Floor, c string) int { return cmp.Compare(x.Component, c) })
}

// Raised is a copy in which a component has at least this floor. A floor never falls: not by what an
// operator goes back to, and not by what a permit allowed.
func (f Floors) Raised(to Floor) Floors {
	i, ok := f.find(to.Component)
	switch {
	case !ok:
		return slices.Insert(slices.Clone(f), i, to)
	case f[i].Sequence > to.Sequence:
		return f
	}
	out := slices.Clone(f)
	out[i] = to
	return out
}

// Highest is the highest floor of all; of several the first.
func (f Floors) Highest() (top Floor) {
	for i, x := range f {
		if i == 0 || x.Sequence > top.Sequence {
			top = x
		}
	}
	return top
}

// Same tells whether all components have the same floor.
func (f Floors) Same() bool {
	return !slices.ContainsFunc(f, func(x Floor) bool { return x.Sequence != f[0].Sequence })
}

// String names each component with its floor: "app 14, rootfs 5".
func (f Floors) String() string {
	var all []string
	for _, x := range f {
		all = append(all, x.Component+" "+strconv.FormatUint(x.Sequence, 10))
	}
	return strings.Join(all, ", ")
}
