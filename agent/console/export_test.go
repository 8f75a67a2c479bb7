package console

// For the tests: one record as a sentence, and what is to be done about the boot metadata.
var (
	Text       = text
	BootAdvice = bootAdvice
)
