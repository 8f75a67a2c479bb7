package pbes2

import "strings"

// Cheap tells whether opening it costs next to nothing, for fuzzing.
func (b Sealed) Cheap() bool {
	return b.weak && (strings.HasPrefix(b.cost, "PBKDF2") && len(b.cost) <= len("PBKDF2 with 9999 iterations") ||
		strings.HasPrefix(b.cost, "scrypt with N 2,") && len(b.cost) <= len("scrypt with N 2, r 99, p 99"))
}
