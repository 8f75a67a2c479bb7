package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVerbHelpFits(t *testing.T) {
	for _, name := range []string{"status", "slots", "history", "install", "confirm", "revert", "approve", "evidence"} {
		text := verbHelp(name)
		for _, part := range []string{"Usage: ratchet " + name, "Examples:", "Exit codes:", "--socket"} {
			if !strings.Contains(text, part) {
				t.Errorf("help of %s lacks %q", name, part)
			}
		}
		for line := range strings.Lines(text) {
			if utf8.RuneCountInString(line) > 101 {
				t.Errorf("help of %s: line too long: %q", name, line)
			}
		}
	}
}
