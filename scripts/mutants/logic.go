package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
)

// condition is never true, or always.
func (v *visitor) condition(x ast.Expr, always bool) {
	if v.isConst(x) {
		return
	}
	id := v.add(x, "`%s` is never true", v.snippet(x))
	v.wrapOuter(x, id, fmt.Sprintf("(!zz(%d) && (", id), "))")
	if always {
		id := v.add(x, "`%s` is always true", v.snippet(x))
		v.wrapOuter(x, id, fmt.Sprintf("(zz(%d) || (", id), "))")
	}
}

// standsAlone: the expression is no condition and no operand of one, which are changed as such.
func (v *visitor) standsAlone() bool {
	switch p := v.parent().(type) {
	case *ast.ReturnStmt, *ast.AssignStmt, *ast.CallExpr, *ast.KeyValueExpr, *ast.ValueSpec:
		return true
	case *ast.ParenExpr:
		_ = p
	}
	return false
}

func (v *visitor) negate(x ast.Expr) {
	if v.isConst(x) {
		return
	}
	id := v.add(x, "`%s` is the opposite", v.snippet(x))
	v.wrapOuter(x, id, fmt.Sprintf("(zz(%d) != (", id), "))")
}

func (v *visitor) binary(x *ast.BinaryExpr) {
	if v.isConst(x) {
		return
	}
	switch x.Op {
	case token.LAND, token.LOR:
		for _, side := range []ast.Expr{x.X, x.Y} {
			id := v.add(side, "`%s` does not count in `%s`", v.snippet(side), v.snippet(x))
			before := fmt.Sprintf("(zz(%d) || (", id)
			if x.Op == token.LOR {
				before = fmt.Sprintf("(!zz(%d) && (", id)
			}
			depth := 2*len(v.stack) + 1 // around the operand, within what is put around x
			v.edit(edit{at: v.at(side.Pos()), text: before, depth: depth, id: id})
			v.edit(edit{at: v.at(side.End()), text: "))", after: true, depth: depth, id: id})
		}
	case token.EQL, token.NEQ:
		if v.standsAlone() {
			v.negate(x)
		}
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		names := map[token.Token][2]string{token.LSS: {"zzLess", "<="}, token.LEQ: {"zzAtMost", "<"},
			token.GTR: {"zzMore", ">="}, token.GEQ: {"zzAtLeast", ">"}}
		v.replace(x, names[x.Op][0], "`%s` has "+names[x.Op][1])
		if v.standsAlone() {
			v.negate(x)
		}
	case token.ADD, token.SUB:
		b, ok := v.info.TypeOf(x).Underlying().(*types.Basic)
		if !ok || b.Info()&types.IsNumeric == 0 {
			return
		}
		name, what := "zzPlus", "`%s` has -"
		if x.Op == token.SUB {
			name, what = "zzMinus", "`%s` has +"
		}
		v.replace(x, name, what)
	}
}

// replace makes an operator a call of two operands.
func (v *visitor) replace(x *ast.BinaryExpr, name, what string) {
	id := v.add(x, what, v.snippet(x))
	v.wrap(x, id, fmt.Sprintf("%s(%d, ", name, id), ")")
	v.edit(edit{at: v.at(x.OpPos), end: v.at(x.OpPos) + len(x.Op.String()), text: ",", id: id})
}
