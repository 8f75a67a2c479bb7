package manifest

import (
	"errors"
	"fmt"
)

// Code is a SUIT report reason code (draft-ietf-suit-report, "SUIT_Report_Reasons").
type Code int

// Reason codes of SUIT reports.
const (
	CodeOK                    Code = 0
	CodeParse                 Code = 1 // cbor-parse
	CodeCOSE                  Code = 2 // cose-unsupported
	CodeAlgorithm             Code = 3 // alg-unsupported
	CodeUnauthorised          Code = 4
	CodeCommand               Code = 5 // command-unsupported
	CodeComponent             Code = 6 // component-unsupported
	CodeComponentUnauthorised Code = 7
	CodeParameter             Code = 8 // parameter-unsupported
	CodeSevering              Code = 9 // severing-unsupported, also a severed element that is needed
	CodeCondition             Code = 10
	CodeOperation             Code = 11
	CodeInvokePending         Code = 12
)

// String returns the registry's name of the code.
func (c Code) String() string {
	names := [...]string{"ok", "cbor-parse", "cose-unsupported", "alg-unsupported", "unauthorised",
		"command-unsupported", "component-unsupported", "component-unauthorised",
		"parameter-unsupported", "severing-unsupported", "condition-failed", "operation-failed",
		"invoke-pending"}
	if c < 0 || int(c) >= len(names) {
		return fmt.Sprintf("reason-%d", int(c))
	}
	return names[c]
}

// Error is why an envelope or manifest is refused.
type Error struct {
	Code      Code
	Section   int    // manifest key of the sequence (3 = shared sequence, 7, 16, 20), 0 when outside of sequences
	Offset    int    // byte offset of the command in its section's sequence, -1 when none
	Component int    // index of the component that the command was executed for, 0 when it was not executed
	What      string // what is wrong, without "cannot"
	Err       error  // cause, or nil
}

// Error tells what is wrong and where.
func (e *Error) Error() string {
	s := "manifest refused (" + e.Code.String() + "): " + e.What
	if e.Section != 0 && e.Offset >= 0 {
		s += fmt.Sprintf(" (section %d, offset %d)", e.Section, e.Offset)
	} else if e.Section != 0 {
		s += fmt.Sprintf(" (section %d)", e.Section)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refused makes an *Error of any error; one that is an *Error already stays as it is.
func refused(err error, code Code, what string) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: code, Offset: -1, What: what, Err: err}
}
