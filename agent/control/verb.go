package control

import (
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Verb is what a client asks for.
type Verb string

// The verbs, with their arguments, descriptors and result types.
const (
	// VerbStatus: no arguments. Result Status.
	VerbStatus Verb = "status"
	// VerbSlots: no arguments. Result Slots.
	VerbSlots Verb = "slots"
	// VerbHistory: "n" entries, 1..MaxHistory, default 20. Result History, oldest first.
	VerbHistory Verb = "history"
	// VerbInstall: "step" is StepCheck or StepInstall, "envelope" the envelope's file name. File 0 is
	// the envelope; with StepInstall files 1.. are payloads, and "names" is a JSON array with one
	// name of InstallCheck.Need for each. Result InstallCheck, or Done after Progress.
	VerbInstall Verb = "install"
	// VerbConfirm: "note" of the operator, for the evidence. Result Done.
	VerbConfirm Verb = "confirm"
	// VerbRevert: "note". Result Done.
	VerbRevert Verb = "revert"
	// VerbApprove: "manifest" is the digest of the update that is approved ("sha256:..."), "note". Result Done.
	VerbApprove Verb = "approve"
	// VerbRetry: "manifest" is the digest of the update that is tried again at once, absent: the one that waits,
	// or was quarantined last; "sure" is "yes" where it may be one that is quarantined or was given up; "note".
	// Result Done.
	VerbRetry Verb = "retry"
	// VerbRecover: "step" is StepChallenge (Result Challenge) or StepPermit; then file 0 is the permit. Result Done.
	VerbRecover Verb = "recover"
	// VerbEvidence: "from" is the first sequence number, default the oldest. File 0 receives the
	// export. Result EvidenceExport.
	VerbEvidence Verb = "evidence"
)

// Steps of VerbInstall.
const (
	StepCheck   = "check"   // verify and decide, nothing is written
	StepInstall = "install" // verify and decide again, then install
)

// Steps of VerbRecover.
const (
	StepChallenge = "challenge" // open a new challenge; the one before is void
	StepPermit    = "permit"    // take the permit that answers it
)

// MaxNote is the longest "note" in bytes.
const MaxNote = 200

// Right is what a peer must have for a verb.
type Right int

const (
	// None lets nobody in but root.
	None Right = iota
	// Read is for verbs that change nothing.
	Read
	// Write is for verbs that change the device.
	Write
)

// rule is a row of the verb table.
type rule struct {
	right    Right
	args     []string // allowed names
	min, max int      // descriptors
	output   bool     // they are written (files or pipes); otherwise they are read, and regular files
	within   time.Duration
}

// verbs is the verb table: what is not in it is refused. within 0 leaves the time to the handler.
var verbs = map[Verb]rule{
	VerbStatus:   {right: Read, within: 10 * time.Second},
	VerbSlots:    {right: Read, within: 10 * time.Second},
	VerbHistory:  {right: Read, args: []string{"n"}, within: 20 * time.Second},
	VerbEvidence: {right: Read, args: []string{"from"}, min: 1, max: 1, output: true, within: 10 * time.Minute},
	VerbInstall:  {right: Write, args: []string{"step", "envelope", "names"}, min: 1, max: MaxFiles},
	VerbConfirm:  {right: Write, args: []string{"note"}, within: time.Minute},
	VerbRevert:   {right: Write, args: []string{"note"}, within: time.Minute},
	VerbRecover:  {right: Write, args: []string{"step"}, max: 1, within: time.Minute},
	VerbRetry:    {right: Write, args: []string{"manifest", "sure", "note"}, within: time.Minute},
	VerbApprove:  {right: Write, args: []string{"manifest", "note"}, within: time.Minute},
}

// check holds a request against the verb table.
func (r Request) check() (rule, error) {
	row, ok := verbs[r.Verb]
	if !ok {
		return rule{}, errorf("unknown verb %q", clip(string(r.Verb)))
	}
	for name, value := range r.Args {
		if !slices.Contains(row.args, name) {
			return rule{}, errorf("verb %s has no argument %q", r.Verb, clip(name))
		}
		if strings.ContainsRune(value, 0) {
			return rule{}, errorf("argument %q has a zero byte", name)
		}
		if name == "note" && len(value) > MaxNote {
			return rule{}, errorf("note is longer than %d bytes", MaxNote)
		}
	}
	if n := len(r.Files); n < row.min || n > row.max {
		return rule{}, errorf("verb %s takes %d to %d descriptors, got %d", r.Verb, row.min, row.max, n)
	}
	switch step := r.Args["step"]; {
	case r.Verb == VerbInstall:
		return row, r.checkInstall()
	case r.Verb == VerbRecover &&
		!(step == StepChallenge && len(r.Files) == 0 || step == StepPermit && len(r.Files) == 1):
		return rule{}, errorf("recover step %q with %d descriptors does not fit", clip(step), len(r.Files))
	}
	return row, nil
}

// checkFiles holds the kinds and the access modes of descriptors against the row: what a client could
// not read itself, the daemon does not read for it. Files to be read are rewound, because a descriptor
// brings along the offset at which the client, or an earlier request, left it.
func (row rule) checkFiles(files []*os.File) error {
	for i, f := range files {
		st, err := f.Stat()
		if err != nil {
			return errorf("descriptor %d is not accepted: %w", i, err)
		}
		raw, err := f.SyscallConn()
		if err != nil {
			return errorf("descriptor %d is not accepted: %w", i, err)
		}
		var flags int
		if e := raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }); e != nil {
			err = e
		}
		access := flags & unix.O_ACCMODE
		switch {
		case err != nil:
			return errorf("descriptor %d is not accepted: %w", i, err)
		case flags&unix.O_PATH != 0:
			return errorf("descriptor %d is not open for reading or writing", i)
		case row.output && access == unix.O_RDONLY:
			return errorf("descriptor %d is not open for writing", i)
		case !row.output && access == unix.O_WRONLY:
			return errorf("descriptor %d is not open for reading", i)
		case !row.output && !st.Mode().IsRegular():
			return errorf("descriptor %d is not a regular file", i)
		}
		if !row.output {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return errorf("descriptor %d is not accepted: %w", i, err)
			}
		}
	}
	return nil
}

// checkInstall holds the two steps of install against their forms.
func (r Request) checkInstall() error {
	names, err := r.Names()
	if err != nil {
		return err
	}
	switch step := r.Args["step"]; {
	case step == StepCheck && len(r.Files) == 1 && len(names) == 0:
	case step == StepInstall && len(names) == len(r.Files)-1:
	case step == StepCheck || step == StepInstall:
		return errorf("install step %s: %d descriptors with %d names do not fit", step, len(r.Files), len(names))
	default:
		return errorf("install has no step %q", clip(step))
	}
	return nil
}

// Names are the payload names of an install request: Names()[i] is the name of Files[i+1]. They are
// distinct file names without a path.
func (r Request) Names() ([]string, error) {
	raw, ok := r.Args["names"]
	if !ok {
		return nil, nil
	}
	var names []string
	if err := json.Unmarshal([]byte(raw), &names); err != nil {
		return nil, errorf("names is not a JSON array of strings")
	}
	if len(names) >= MaxFiles {
		return nil, errorf("%d payloads are more than %d", len(names), MaxFiles-1)
	}
	for i, n := range names {
		if !FileName(n) {
			return nil, errorf("payload name %q is not a plain file name", clip(n))
		}
		if slices.Contains(names[:i], n) {
			return nil, errorf("payload name %q is there twice", clip(n))
		}
	}
	return names, nil
}

// FileName tells whether s can name a payload beside its envelope: one path element of at most 255
// bytes without control characters, and none of "", ".", "..".
func FileName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > 255 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c == '/' || c < ' ' || c == 0x7f || c == '\uFFFD' })
}

// clip shortens what a stranger sent before it is quoted back.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
