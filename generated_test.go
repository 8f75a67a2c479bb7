package ratchet_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// These parts of the documents are written from the code: go test -run Generated -update .

var update = flag.Bool("update", false, "rewrite what the documents have generated from the code")

// TestGeneratedReasons: the list of reasons is what agent/reason says of each.
func TestGeneratedReasons(t *testing.T) {
	var b strings.Builder
	b.WriteString("| reason | final | image | meaning | what to do |\n|---|---|---|---|---|\n")
	yes := map[bool]string{true: "yes"}
	n := 0
	for _, c := range consts(t, "agent/reason/reason.go") {
		r := reason.Reason(c.text)
		if r == reason.None {
			continue
		}
		n++
		i := r.Info()
		advice := i.Advice
		if advice == "Nothing to do." {
			advice = ""
		}
		says := i.Says
		if i.Reserved {
			says = "(reserved) " + says
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r, yes[i.Final],
			yes[i.Blame != reason.NotImage], says, advice)
	}
	if n < 60 {
		t.Fatalf("found only %d reasons: the test does not read the source as it is written", n)
	}
	generated(t, "docs/formats/reasons.md", "reasons", b.String())
}

// TestGeneratedConfiguration: the list of configuration keys is the configuration's types and the comments
// above their fields.
func TestGeneratedConfiguration(t *testing.T) {
	keys := configurationKeys(t, "cmd/ratchet/config/keys.go", "Config")
	if len(keys) < 80 {
		t.Fatalf("found only %d keys: the test does not read the source as it is written", len(keys))
	}
	text := "| key | type | default | meaning |\n|---|---|---|---|\n" + strings.Join(keys, "")
	generated(t, "docs/formats/configuration.md", "keys", text)
}

// generated holds what stands between two marks of a file against text, or puts it there with -update.
func generated(t *testing.T, file, name, text string) {
	t.Helper()
	doc := document(t, file)
	begin := "<!-- generated: " + name + " (go test -run Generated -update .) -->\n"
	before, rest, ok := strings.Cut(doc, begin)
	have, after, ok2 := strings.Cut(rest, "<!-- end -->")
	switch {
	case !ok || !ok2:
		t.Errorf("%s has lost the marks around its %s", file, name)
	case have == text:
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+text+"<!-- end -->"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: the %s are not those of the code: go test -run Generated -update .", file, name)
	}
}

// fieldComment is what stands above a key: its type, perhaps a default, and its meaning.
var fieldComment = regexp.MustCompile(`^([^:(]+?)(?: \(default (.+?)\))?: (.+)$`)

// configurationKeys are the rows of the table of keys, in the order of the file's types.
func configurationKeys(t *testing.T, path, root string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]*ast.StructType{}
	ast.Inspect(f, func(n ast.Node) bool {
		if ts, ok := n.(*ast.TypeSpec); ok {
			if st, ok := ts.Type.(*ast.StructType); ok {
				types[ts.Name.Name] = st
			}
		}
		return true
	})
	var out []string
	var walk func(prefix string, st *ast.StructType)
	walk = func(prefix string, st *ast.StructType) {
		for _, field := range st.Fields.List {
			if len(field.Names) == 1 && !field.Names[0].IsExported() {
				continue // not a key
			}
			key := strings.TrimPrefix(prefix+"."+tagOf(field, "toml"), ".")
			inner, many, named := elementOf(field.Type)
			below := types[inner]
			if below == nil || many {
				said := fieldComment.FindStringSubmatch(strings.Join(strings.Fields(field.Doc.Text()), " "))
				if said == nil {
					t.Errorf("%s: say of %s: TYPE (default X): Meaning.", path, key)
					continue
				}
				out = append(out, fmt.Sprintf("| `%s` | %s | %s | %s |\n", key, said[1], said[2], said[3]))
			}
			if named {
				key += ".NAME"
			}
			if below != nil {
				walk(key, below)
			}
		}
	}
	walk("", types[root])
	return out
}

// elementOf is the name of the type below pointers, arrays and maps; many: it was an array; named: a map.
func elementOf(e ast.Expr) (name string, many, named bool) {
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.ArrayType:
			e, many = x.Elt, true
		case *ast.MapType:
			id, _ := x.Value.(*ast.Ident)
			if id == nil || id.Name == "string" {
				return "", false, false
			}
			e, named = x.Value, true
		case *ast.Ident:
			return x.Name, many, named
		default:
			return "", false, false
		}
	}
}
