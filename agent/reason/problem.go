package reason

// Problem is something that a device lacks, or cannot use as it is: shown, looked for again, and in no one's way.
type Problem struct {
	Reason Reason
	Text   string // in words, on one line
}

// Lacks is the problem that something is missing, or cannot be used.
func Lacks(text string) Problem { return Problem{PartMissing, text} }
