//go:build linux

package linux

import "os"

// WithSync is a file of this package whose flush is sync.
func WithSync(f *os.File, sync func() error) interface{ Sync() error } {
	return &file{File: f, sync: sync}
}

// UpperOf finds the upper folder of an overlay in what mountinfo says.
var UpperOf = upperOf

// Synchronised tells whether the clock is, by an adjtimex(2) and systemd-timesyncd's stamp.
var Synchronised = synchronised
