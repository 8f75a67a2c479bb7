package ratchet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// What the tests of the documents read in the source.

// source parses one file of the tree.
func source(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func unquote(t *testing.T, l *ast.BasicLit) string {
	t.Helper()
	s, err := strconv.Unquote(l.Value)
	if err != nil {
		t.Fatalf("%s: %v", l.Value, err)
	}
	return s
}

// constant is one constant with a literal value: a text, or a number as it is written.
type constant struct{ name, text string }

func consts(t *testing.T, path string) []constant {
	t.Helper()
	var out []constant
	for _, d := range source(t, path).Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i >= len(v.Values) {
					continue
				}
				switch l, ok := v.Values[i].(*ast.BasicLit); {
				case !ok:
				case l.Kind == token.STRING:
					out = append(out, constant{name.Name, unquote(t, l)})
				case l.Kind == token.INT && strings.HasPrefix(name.Name, "Exit"):
					out = append(out, constant{name.Name, l.Value})
				}
			}
		}
	}
	return out
}

// structs are the struct types of one file.
func structs(t *testing.T, path string) map[string]*ast.StructType {
	t.Helper()
	out := map[string]*ast.StructType{}
	for _, d := range source(t, path).Decls {
		if g, ok := d.(*ast.GenDecl); ok {
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok {
					if st, ok := ts.Type.(*ast.StructType); ok {
						out[ts.Name.Name] = st
					}
				}
			}
		}
	}
	return out
}

func tagOf(f *ast.Field, key string) string {
	if f.Tag == nil {
		return ""
	}
	s, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return ""
	}
	return reflect.StructTag(s).Get(key)
}

// tomlKeys are the dotted names of all keys that the type root of a file reads. The key of a map of
// tables is written as name; of one within another, as NAME.
func tomlKeys(t *testing.T, path, root, name string) map[string]bool {
	t.Helper()
	types, out := structs(t, path), map[string]bool{}
	var walk func(prefix string, e ast.Expr, name string)
	walk = func(prefix string, e ast.Expr, name string) {
		switch x := e.(type) {
		case *ast.StarExpr:
			walk(prefix, x.X, name)
			return
		case *ast.ArrayType:
			if id, ok := x.Elt.(*ast.Ident); ok && types[id.Name] != nil {
				out[prefix] = true // an array of tables is a key with a meaning of its own
			}
			walk(prefix, x.Elt, name)
			return
		case *ast.MapType:
			if id, ok := x.Value.(*ast.Ident); ok && types[id.Name] != nil {
				walk(prefix+"."+name, x.Value, "NAME")
				return
			}
		case *ast.Ident:
			if st := types[x.Name]; st != nil {
				walk(prefix, st, name)
				return
			}
		case *ast.StructType:
			for _, f := range x.Fields.List {
				if tag := tagOf(f, "toml"); tag != "" {
					walk(strings.TrimPrefix(prefix+"."+tag, "."), f.Type, name)
				} else {
					t.Errorf("%s: a field of %s has no key", path, prefix)
				}
			}
			return
		}
		out[prefix] = true
	}
	walk("", types[root], name)
	if len(out) < 10 {
		t.Fatalf("found only %d keys in %s: the test does not read the source as it is written", len(out), path)
	}
	return out
}

// table reads a table of package manifest: rows whose reason for a refusal is empty, and the others,
// as "number name".
func table(t *testing.T, path, name string) (supported, refused map[string]bool) {
	t.Helper()
	number := map[string]string{}
	f := source(t, path)
	ast.Inspect(source(t, "agent/manifest/internal/suit/numbers.go"), func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			if l, ok := v.Values[0].(*ast.BasicLit); ok {
				number[v.Names[0].Name] = l.Value
			}
		}
		return true
	})
	supported, refused = map[string]bool{}, map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || v.Names[0].Name != name {
			return true
		}
		for _, e := range v.Values[0].(*ast.CompositeLit).Elts {
			kv := e.(*ast.KeyValueExpr)
			key := ""
			switch k := kv.Key.(type) {
			case *ast.BasicLit:
				key = k.Value
			case *ast.SelectorExpr:
				key = number[k.Sel.Name]
			}
			elts := kv.Value.(*ast.CompositeLit).Elts
			row := key + " " + unquote(t, elts[0].(*ast.BasicLit))
			if l, ok := elts[len(elts)-1].(*ast.BasicLit); ok && l.Value == `""` {
				supported[row] = true
			} else {
				refused[row] = true
			}
		}
		return false
	})
	return supported, refused
}

// numbers keeps the first word of each.
func numbers(set map[string]bool) map[string]bool {
	out := map[string]bool{}
	for k := range set {
		n, _, _ := strings.Cut(k, " ")
		out[n] = true
	}
	return out
}
