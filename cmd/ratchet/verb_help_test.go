package main

import (
	"bytes"

	"strings"
	"testing"
	"unicode/utf8"
)

func TestVerbHelpFits(t *testing.T) {
	for _, v := range verbs() {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(strings.Fields(v.Name), "-h"), nil, &out, &errs); code != 0 ||
			errs.Len() > 0 {
			t.Errorf("%s -h: exit %d, %s", v.Name, code, errs.String())
		}
		text := out.String()
		parts := []string{"Usage: ratchet " + v.Name, "Examples:", "Exit codes:"}
		if strings.Contains(v.Short, "the daemon starts it") {
			parts[1] = "It is not for people" // and has no example
		}
		flat := strings.Join(strings.Fields(text), " ")
		for _, part := range parts {
			if !strings.Contains(flat, part) {
				t.Errorf("help of %s lacks %q", v.Name, part)
			}
		}
		if strings.Contains(text, "\n        \n") {
			t.Errorf("%s has a flag without a text:\n%s", v.Name, text)
		}
		for _, e := range v.Examples {
			if !strings.Contains(e, "ratchet "+v.Name) {
				t.Errorf("%s: the example %q is of another verb", v.Name, e)
			}
		}
		for line := range strings.Lines(text) {
			if utf8.RuneCountInString(line) > 101 {
				t.Errorf("help of %s: line too long: %q", v.Name, line)
			}
		}
	}
}
