package engine

import (
	"context"

	"github.com/ratchet-ota/ratchet/hal"
)

// Locks takes locks as an engine does, again and again.
func Locks(paths []string, optional bool) func(context.Context, hal.FS) (func(), []string, error) {
	return (&locks{paths: paths, optional: optional}).take
}

// DecodeShadow and EncodeShadow are for tests of what a backend sees the effects of only.
var (
	DecodeShadow = decodeShadow
	EncodeShadow = encodeShadow
)
