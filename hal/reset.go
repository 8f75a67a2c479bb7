package hal

import "strings"

// ResetKind is what made the machine start.
type ResetKind string

// The kinds. ResetUnknown is also what contradicts itself.
const (
	ResetUnknown  ResetKind = "unknown"
	ResetPowerOn  ResetKind = "power-on" // the power had gone, or was too low
	ResetWatchdog ResetKind = "watchdog"
	ResetPanic    ResetKind = "panic"    // of the kernel
	ResetSoftware ResetKind = "software" // somebody told it to
)

// ResetCause is why the machine was started, as far as it can tell. The zero value is unknown.
type ResetCause struct {
	Kind   ResetKind
	Source string // who says so and in which words, "" for nobody
	Panics Panics
}

// Panics are the records of kernel panics that the machine holds.
type Panics struct {
	Count  int
	Newest int64 // when the newest was written: nanoseconds since 1970, by whatever clock there was
}

// Is tells the kind; the zero value of a cause is unknown.
func (c ResetCause) Is() ResetKind {
	if c.Kind == "" {
		return ResetUnknown
	}
	return c.Kind
}

// String is the cause for people: "power-on (why)".
func (c ResetCause) String() string {
	if c.Source == "" {
		return string(c.Is())
	}
	return string(c.Is()) + " (" + c.Source + ")"
}

// ParseReset reads the word of a board or of a bootloader: one of the kinds, or one that barebox has in
// global.system.reset. ok is false for any other.
func ParseReset(word string) (kind ResetKind, ok bool) {
	switch k := ResetKind(word); k {
	case ResetUnknown, ResetPowerOn, ResetWatchdog, ResetPanic, ResetSoftware:
		return k, true
	}
	switch strings.ToUpper(word) {
	case "POR", "BROWNOUT":
		return ResetPowerOn, true
	case "WDG":
		return ResetWatchdog, true
	case "RST":
		return ResetSoftware, true
	}
	return ResetUnknown, false
}
