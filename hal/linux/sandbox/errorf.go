package sandbox

import "fmt"

// errorf is fmt.Errorf, which the compiler would repeat wherever it is called: this package does so often.
//
//go:noinline
func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }
