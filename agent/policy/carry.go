package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// complete finds out what becomes of the parts of the slot that the manifest leaves out. A slot boots as a
// whole: what an earlier update has left of the other parts, or half of it, is never booted beside what
// this manifest writes. Such a part is carried over from the running slot, or the offer waits.
func (q *question) complete() {
	if len(q.update.Installs) == 0 {
		return // it does not resolve, and that is told
	}
	for _, c := range slices.Sorted(maps.Keys(q.facts.Device.Components)) {
		if slices.ContainsFunc(q.update.Installs, func(i manifest.Install) bool { return i.Component == c }) {
			continue
		}
		if why := q.carry(c); why != "" {
			q.missing = append(q.missing, found(reason.SlotIncomplete, "%s: %s", c, why))
			continue
		}
		q.carries = append(q.carries, Carry{Component: c, Part: q.facts.Running[c]})
	}
}

// carry says why what the running slot holds of a component cannot be carried over; "" when it can. Whether
// it still holds that is found out before anything is written.
func (q *question) carry(component string) string {
	f := q.facts
	part, ok := f.Running[component]
	if !ok || part.Image.IsZero() || part.Size <= 0 {
		return "it is not on record what the running slot holds"
	}
	if !part.Anywhere {
		return "it is not on record that what the running slot holds fits the other slot too"
	}
	if floor := f.Floors[component]; part.Sequence < floor.Sequence {
		return fmt.Sprintf("the running slot holds sequence %d, and %d was confirmed", part.Sequence, floor.Sequence)
	}
	if f.Quarantined != nil {
		for _, d := range []manifest.Digest{part.Image, part.Manifest} {
			if cause, ok := f.Quarantined(d); ok && !d.IsZero() {
				return fmt.Sprintf("what the running slot holds is quarantined, because of %s", cause)
			}
		}
	}
	if size, ok := f.SlotSize[component]; ok && part.Size > size {
		return fmt.Sprintf("it has %d bytes, its slot has %d", part.Size, size)
	}
	return ""
}

// carriable: what the root has against the parts that would be carried.
func carriable(r trust.Root, carries []Carry) (findings []Finding) {
	for _, c := range carries {
		if !c.Manifest.IsZero() && r.Revoked(c.Manifest.String()) {
			findings = append(findings, found(reason.SlotIncomplete, "%s: what the running slot holds is revoked by "+
				"root %d", c.Component, r.Version()))
		}
		if lo, hi := r.SequenceRange(c.Component); c.Sequence < lo || c.Sequence > hi {
			findings = append(findings, found(reason.SlotIncomplete,
				"%s: the running slot holds sequence %d, the root allows %d to %d", c.Component, c.Sequence, lo, hi))
		}
	}
	return findings
}
