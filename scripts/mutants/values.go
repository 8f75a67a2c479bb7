package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

// mayChange: a constant at this place need not be one.
func (v *visitor) mayChange() bool {
	switch p := v.parent().(type) {
	case *ast.CaseClause, *ast.ArrayType, *ast.ValueSpec, *ast.BranchStmt, *ast.LabeledStmt:
		return false
	case *ast.BinaryExpr:
		return p.Op != token.ADD && p.Op != token.SUB && p.Op != token.SHL && p.Op != token.SHR
	}
	return true
}

// literal is one more.
func (v *visitor) literal(x *ast.BasicLit) {
	if x.Kind != token.INT || !v.mayChange() || v.besideError() {
		return
	}
	t := v.info.TypeOf(x)
	text, ok := v.typeText(t)
	if b, basic := t.Underlying().(*types.Basic); !ok || !basic || b.Info()&types.IsInteger == 0 {
		return
	}
	id := v.add(x, "%s is one more in `%s`", x.Value, v.around())
	v.wrap(x, id, fmt.Sprintf("zzMoreBy[%s](%d, 0, ", text, id), ")")
}

// besideError: a value that is returned with an error, at which nobody looks.
func (v *visitor) besideError() bool {
	r, ok := v.parent().(*ast.ReturnStmt)
	if !ok || len(r.Results) < 2 {
		return false
	}
	last := r.Results[len(r.Results)-1]
	t := v.info.TypeOf(last)
	return t != nil && types.Identical(t, errorType)
}

// around is the expression or statement that a literal stands in.
func (v *visitor) around() string {
	for i := len(v.stack) - 1; i >= 0; i-- {
		switch n := v.stack[i].(type) {
		case *ast.BinaryExpr, *ast.CallExpr, *ast.AssignStmt, *ast.ReturnStmt, *ast.KeyValueExpr,
			*ast.SliceExpr, *ast.IndexExpr:
			return v.snippet(n)
		}
	}
	return ""
}

// ident changes true, false, and the numbers that the package has names for.
func (v *visitor) ident(x *ast.Ident) {
	c, ok := v.info.Uses[x].(*types.Const)
	if !ok || !v.mayName() || v.besideError() {
		return
	}
	if c.Parent() == types.Universe && (x.Name == "true" || x.Name == "false") {
		if _, ok := v.parent().(*ast.BinaryExpr); ok {
			return
		}
		id := v.add(x, "%s is the opposite in `%s`", x.Name, v.around())
		v.wrap(x, id, fmt.Sprintf("(zz(%d) != (", id), "))")
		return
	}
	if c.Pkg() != v.pkg || c.Val().Kind() != constant.Int {
		return
	}
	t := v.info.TypeOf(x)
	text, ok := v.typeText(t)
	if !ok {
		return
	}
	if n, named := t.(*types.Named); named {
		if n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "time" {
			id := v.add(x, "%s is twice as long in `%s`", x.Name, v.around())
			v.wrap(x, id, fmt.Sprintf("zzTwice[%s](%d, ", text, id), ")")
		}
		return // the members of an enumeration have no order
	}
	more, less := v.add(x, "%s is one more in `%s`", x.Name, v.around()),
		v.add(x, "%s is one less in `%s`", x.Name, v.around())
	v.wrap(x, more, fmt.Sprintf("zzMoreBy[%s](%d, %d, ", text, more, less), ")")
}

func (v *visitor) mayName() bool {
	switch v.parent().(type) {
	case *ast.CaseClause, *ast.ArrayType, *ast.ValueSpec, *ast.BranchStmt, *ast.LabeledStmt:
		return false
	}
	return true
}
