package ratchet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"testing"
)

// anchor is a place in the code as the documents name it: a file and a name that it declares.
var anchor = regexp.MustCompile("`([a-z0-9_/.-]+\\.go):([A-Za-z_][A-Za-z0-9_]*)`")

// declared are the lines of all functions, methods, types, variables and constants of a file.
func declared(t *testing.T, path string) map[string]int {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Error(err)
		return nil
	}
	out := map[string]int{}
	put := func(id *ast.Ident) { out[id.Name] = set.Position(id.Pos()).Line }
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			put(d.Name)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					put(s.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						put(id)
					}
				}
			}
		}
	}
	return out
}

// TestTour: every place that a document names is in the code. With -v it prints them with their lines.
func TestTour(t *testing.T) {
	files, stops := map[string]map[string]int{}, 0
	for _, doc := range markdown(t) {
		for _, m := range anchor.FindAllStringSubmatch(document(t, doc), -1) {
			if files[m[1]] == nil {
				files[m[1]] = declared(t, m[1])
			}
			line := files[m[1]][m[2]]
			if line == 0 {
				t.Errorf("%s: %s does not declare %s", doc, m[1], m[2])
				continue
			}
			if doc == "docs/tour.md" {
				stops++
				t.Logf("%s:%d %s", m[1], line, m[2])
			}
		}
	}
	if stops < 40 {
		t.Errorf("the tour has only %d stops", stops)
	}
}
