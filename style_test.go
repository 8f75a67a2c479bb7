package ratchet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxColumns = 120 // of a line; a tab counts as four
	maxLines   = 60  // of a function outside the tests
)

// long lists the functions that may have more lines, each with the reason why it is clearer whole.
var long = map[string]string{
	"agent/internal/store/write.go Store.apply":                "a switch: one case an operation",
	"agent/manifest/conditions.go processor.test":              "a switch: one case a condition",
	"cmd/ratchet-lab/demo/demo.go Demo.configure":              "a text: the device's configuration",
	"cmd/ratchet-lab/explorer/defects.go explored":             "a table: planted defects",
	"cmd/ratchet-lab/explorer/defects_tested.go tested":        "a table: planted defects",
	"cmd/ratchet-lab/explorer/scenarios.go badScenarios":       "a table: scenarios",
	"cmd/ratchet-lab/explorer/scenarios.go troubleScenarios":   "a table: scenarios",
	"cmd/ratchet-lab/explorer/scenarios_boot.go bootScenarios": "a table: scenarios",
	"cmd/ratchet-release/root/init.go rootTOML":                "a text: the first root.toml",
	"bootctl/boottest/faults.go Faults":                        "a suite: a table, and what holds for each row",
	"cmd/ratchet/verbs.go verbs":                               "a table: verbs",
	"hal/linux/tpm/tpmtest/key.go Model.doKey":                 "a switch: one case a command",
	"hal/linux/tpm/tpmtest/model.go Model.do":                  "a switch: one case a command",
	"transport/transporttest/link.go Link":                     "a suite: one subtest after another",
	"transport/transporttest/source.go Source":                 "a suite: one subtest after another",
}

// TestLines: what docs/style.md says of the length of lines and functions holds for every Go file.
func TestLines(t *testing.T) {
	met := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		path = filepath.ToSlash(path)
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(src), "\n") {
			if n := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); n > maxColumns {
				t.Errorf("%s:%d has %d columns, more than %d", path, i+1, n, maxColumns)
			}
		}
		if !strings.HasSuffix(path, "_test.go") {
			checkFunctions(t, path, src, met)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range long {
		if !met[name] {
			t.Errorf("%s has %d lines at most: take it off the list", name, maxLines)
		}
	}
}

// checkFunctions notes in met which of the long functions a file has.
func checkFunctions(t *testing.T, path string, src []byte, met map[string]bool) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
		if n <= maxLines {
			continue
		}
		name := path + " " + receiver(fn) + fn.Name.Name
		if met[name] = true; long[name] == "" {
			t.Errorf("%s has %d lines, more than %d: split it, or say here why it is clearer whole", name, n, maxLines)
		}
	}
}

// receiver is the type of a method and a dot, "" of a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	x := fn.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if id, ok := x.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}
