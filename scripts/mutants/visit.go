//go:build linux

package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
)

// visitor finds the changes of one file.
type visitor struct {
	plan    *plan
	pkg     *types.Package
	info    *types.Info
	fset    *token.FileSet
	path    string // on the disk
	file    string // for people
	src     []byte
	imports map[string]string // path -> name in this file
	in      string
	stack   []ast.Node
}

func (v *visitor) visit(f *ast.File) {
	for _, i := range f.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		name := ""
		if i.Name != nil {
			name = i.Name.Name
		}
		v.imports[path] = name
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body == nil || d.Name.Name == "init" {
				continue
			}
			v.in = d.Name.Name
			if d.Recv != nil && len(d.Recv.List) == 1 {
				v.in = typeName(d.Recv.List[0].Type) + "." + v.in
			}
			v.walk(d.Body)
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				continue
			}
			for _, s := range d.Specs {
				vs := s.(*ast.ValueSpec)
				v.in = vs.Names[0].Name
				for _, x := range vs.Values {
					ast.Inspect(x, func(n ast.Node) bool {
						if l, ok := n.(*ast.FuncLit); ok {
							v.walk(l.Body)
							return false
						}
						return true
					})
				}
			}
		}
	}
}

func typeName(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return typeName(x.X)
	case *ast.IndexExpr:
		return typeName(x.X)
	case *ast.Ident:
		return x.Name
	}
	return "?"
}

func (v *visitor) walk(body ast.Node) {
	ast.Inspect(body, func(n ast.Node) bool {
		if n == nil {
			v.stack = v.stack[:len(v.stack)-1]
			return true
		}
		if !v.node(n) {
			return false
		}
		v.stack = append(v.stack, n)
		return true
	})
}

func (v *visitor) parent() ast.Node {
	if len(v.stack) == 0 {
		return nil
	}
	return v.stack[len(v.stack)-1]
}

// add makes a change.
func (v *visitor) add(n ast.Node, format string, args ...any) int {
	m := &mutant{id: len(v.plan.mutants) + 1, file: v.file, line: v.fset.Position(n.Pos()).Line, in: v.in,
		what: fmt.Sprintf(format, args...)}
	v.plan.mutants = append(v.plan.mutants, m)
	return m.id
}

func (v *visitor) edit(e edit) { v.plan.files[v.path] = append(v.plan.files[v.path], e) }

// wrap puts text around an expression or a statement.
func (v *visitor) wrap(n ast.Node, id int, before, after string) {
	depth := 2 * len(v.stack)
	v.edit(edit{at: v.at(n.Pos()), text: before, depth: depth, id: id})
	v.edit(edit{at: v.at(n.End()), text: after, after: true, depth: depth, id: id})
}

// wrapOuter goes around what wrap puts around the same node.
func (v *visitor) wrapOuter(n ast.Node, id int, before, after string) {
	depth := 2*len(v.stack) - 1
	v.edit(edit{at: v.at(n.Pos()), text: before, depth: depth, id: id})
	v.edit(edit{at: v.at(n.End()), text: after, after: true, depth: depth, id: id})
}

// node makes the changes of one node. It returns false where nothing below it may change.
func (v *visitor) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.ArrayType, *ast.StructType, *ast.InterfaceType, *ast.FuncType, *ast.TypeSpec:
		return false
	case *ast.IfStmt:
		if v.isInternal(n.Body) {
			return false // what cannot happen is not made to happen
		}
		v.condition(n.Cond, true)
	case *ast.ForStmt:
		if n.Cond != nil {
			v.condition(n.Cond, false)
		}
	case *ast.RangeStmt:
		id := v.add(n, "the loop `for range %s` does nothing", v.snippet(n.X))
		v.edit(edit{at: v.at(n.Body.Lbrace) + 1, text: fmt.Sprintf(" if zz(%d) { break }; ", id), id: id})
	case *ast.BlockStmt:
		v.statements(n.List)
	case *ast.CaseClause:
		v.clause(n)
		v.statements(n.Body)
	case *ast.CommClause:
		v.statements(n.Body)
	case *ast.BinaryExpr:
		v.binary(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT && v.standsAlone() {
			v.negate(n)
		}
	case *ast.BasicLit:
		v.literal(n)
	case *ast.Ident:
		v.ident(n)
	case *ast.SelectorExpr:
		// The name behind the dot is not an expression of its own.
		v.stack = append(v.stack, n)
		v.walk(n.X)
		v.stack = v.stack[:len(v.stack)-1]
		return false
	case *ast.CallExpr:
		if v.isText(n) {
			return false
		}
		v.call(n)
	case *ast.KeyValueExpr:
		return v.field(n)
	}
	return true
}

// isConst: it has a value at compile time, and may have to.
func (v *visitor) isConst(x ast.Expr) bool { return v.info.Types[x].Value != nil }
