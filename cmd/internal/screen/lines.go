package screen

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// Lines makes an error text of unknown origin safe to print. Line breaks of our own lists stay.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = manifest.Printable(l)
	}
	return strings.Join(lines, "\n  ")
}

// Plural is a number and what is counted, in a word that takes an s.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Cut shortens a text to at most n runes.
func Cut(s string, n int) string {
	i := 0
	for at := range s {
		if i == n {
			return s[:at] + "…"
		}
		i++
	}
	return s
}
