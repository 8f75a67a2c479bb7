package manifest

import (
	"maps"
	"slices"
)

// Refusal is something that SUIT knows and the device profile refuses.
type Refusal struct {
	Kind string // "element" of the manifest, "command" or "parameter"
	Key  int64
	Name string
	Code Code   // with which a manifest that uses it is refused
	Why  string // for people
}

// Refusals lists the device profile, for tests: an envelope is made for each, and it must end there.
func Refusals() []Refusal {
	var list []Refusal
	for _, k := range slices.Sorted(maps.Keys(refusedElements)) {
		list = append(list, Refusal{"element", k, elements[k], elementCode(k), refusedElements[k]})
	}
	for _, k := range slices.Sorted(maps.Keys(commands)) {
		if c := commands[k]; c.refused != "" {
			list = append(list, Refusal{"command", k, c.name, CodeCommand, c.refused})
		}
	}
	for _, k := range slices.Sorted(maps.Keys(parameters)) {
		if p := parameters[k]; p.refused != "" {
			list = append(list, Refusal{"parameter", k, p.name, CodeParameter, p.refused})
		}
	}
	return list
}
