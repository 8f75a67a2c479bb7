package ratchet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	listed = regexp.MustCompile(`(?m)^//\t(I[0-9]+) `)
	cited  = regexp.MustCompile(`\bI(?:10|[1-9])\b`)
)

// TestInvariantsAreHeld: each invariant of agent/doc.go is cited by the tests that hold it, in the comment
// of the test or in what it says when it fails.
func TestInvariantsAreHeld(t *testing.T) {
	want := map[string]bool{}
	for _, m := range listed.FindAllStringSubmatch(document(t, "agent/doc.go"), -1) {
		want[m[1]] = true
	}
	if len(want) != 10 {
		t.Errorf("agent/doc.go lists %d invariants", len(want))
	}
	held := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || path == "invariants_test.go" {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			var says []string
			if strings.HasPrefix(fn.Name.Name, "Test") {
				says = append(says, fn.Doc.Text())
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
					says = append(says, l.Value)
				}
				return true
			})
			for _, i := range cited.FindAllString(strings.Join(says, "\n"), -1) {
				held[i] = append(held[i], path+" "+fn.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if len(held[i]) == 0 {
			t.Errorf("no test cites %s", i)
		}
	}
	for i, where := range held {
		if !want[i] {
			t.Errorf("%s is cited by %v, and agent/doc.go does not list it", i, where)
		}
	}
}
