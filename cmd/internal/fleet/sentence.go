package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Sentence says what a record is about.
func Sentence(r evidence.Record) string {
	parts := []string{string(r.Kind)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case r.From != "" && r.To != "":
		add("%s -> %s", r.From, r.To)
	case r.To != "":
		add("%s", r.To)
	case r.From != "":
		add("from %s", r.From)
	}
	if r.Reason != reason.None {
		add("%s", r.Reason)
	}
	if r.Slot != "" {
		add("slot=%s", r.Slot)
	}
	if r.Component != "" {
		add("component=%s", r.Component)
	}
	if r.Sequence > 0 {
		add("sequence=%d", r.Sequence)
	}
	if r.Actor != "" {
		add("by=%s", r.Actor)
	}
	if r.Manifest != "" {
		add("manifest=%.19s", r.Manifest)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Detail)) {
		add("%s=%q", k, r.Detail[k])
	}
	return strings.Join(parts, " ")
}
