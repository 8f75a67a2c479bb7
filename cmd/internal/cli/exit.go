package cli

import (
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Exit codes: one scheme for all programs (docs/formats/control.md). 4 to 7 are of the daemon alone, in
// agent/control, which has the others under the same names.
const (
	ExitOK         = 0
	ExitFailed     = 1 // something could not be read, written or reached
	ExitUsage      = 2 // the command line is wrong
	ExitRefused    = 3 // what was checked is not acceptable; a line "reason: <word>" says why
	ExitIncomplete = 8 // evidence is genuine, but records are missing
)

// usageError is a wrong command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// Usage is the error of a wrong command line. The program shows the verb's usage line after it.
//
//go:noinline
func Usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// IsUsage reports whether an error is one of a wrong command line.
func IsUsage(err error) bool {
	var bad *usageError
	return errors.As(err, &bad)
}

// Refusal is the error of a document that is not acceptable. The program prints its reason and, where the
// error holds a manifest.Error, SUIT's code and place.
type Refusal struct {
	What   string // the document; "": Err says it all
	Reason reason.Reason
	Err    error
	Advice string // what to do; "": what the reason says, with its advice
}

// Error implements error.
func (e *Refusal) Error() string {
	if e.What == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s is refused: %v", e.What, e.Err)
}

// Unwrap gives what is wrong with the document.
func (e *Refusal) Unwrap() error { return e.Err }

// Exit is the error of a verb that has said everything itself: its exit code.
type Exit int

// Error implements error.
func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ErrIncomplete is the error of evidence that is genuine and has gaps.
var ErrIncomplete = errors.New("evidence is incomplete")

// where names the command that an error is about.
func where(m *manifest.Error) string {
	switch name := manifest.SectionName(m.Section); {
	case m.Section == 0:
		return "offset: none"
	case m.Offset < 0:
		return fmt.Sprintf("section: %d (%s)\noffset: none", m.Section, name)
	default:
		return fmt.Sprintf("section: %d (%s)\noffset: %d", m.Section, name, m.Offset)
	}
}
