package ratchet_test

import (
	"go/ast"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// selected counts how often the product's code names pkg.Name, for each Name. The package itself and the
// lab, which expects words of devices, are left out.
func selected(t *testing.T, dir, pkg string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, top := range []string{"agent", "bootctl", "cmd", "hal", "slots", "transport"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			slash := filepath.ToSlash(path)
			if d.IsDir() && (slash == dir || slash == "cmd/ratchet-lab") {
				return fs.SkipDir
			}
			if !strings.HasSuffix(slash, ".go") || strings.HasSuffix(slash, "_test.go") {
				return nil
			}
			ast.Inspect(source(t, path), func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
						out[s.Sel.Name]++
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestReasonsAreGiven: what the table of reasons calls reserved is given nowhere, and every other word is
// given somewhere.
func TestReasonsAreGiven(t *testing.T) {
	given := selected(t, "agent/reason", "reason")
	for _, c := range consts(t, "agent/reason/reason.go") {
		reserved := reason.Reason(c.text).Info().Reserved
		switch {
		case reserved && given[c.name] > 0:
			t.Errorf("%s is reserved, and given", c.text)
		case !reserved && given[c.name] == 0:
			t.Errorf("%s is given nowhere: give it, or reserve it", c.text)
		}
	}
}

// TestKindsAreRecorded: the same of the kinds of evidence.
func TestKindsAreRecorded(t *testing.T) {
	given := selected(t, "agent/evidence", "evidence")
	reserved := map[string]bool{string(evidence.KindJournal): true, string(evidence.KindClock): true}
	kinds := 0
	for _, c := range consts(t, "agent/evidence/event.go") {
		if !strings.HasPrefix(c.name, "Kind") {
			continue
		}
		kinds++
		if reserved[c.text] != (given[c.name] == 0) {
			t.Errorf("kind %s: recorded in %d places, reserved: %t", c.text, given[c.name], reserved[c.text])
		}
	}
	if kinds < 14 {
		t.Errorf("found only %d kinds", kinds)
	}
}
