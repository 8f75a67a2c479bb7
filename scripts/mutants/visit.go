//go:build linux

package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strconv"
	"strings"
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

// statements leaves each one out in turn.
func (v *visitor) statements(list []ast.Stmt) {
	v.stack = append(v.stack, &ast.BlockStmt{})
	defer func() { v.stack = v.stack[:len(v.stack)-1] }()
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			c, ok := s.X.(*ast.CallExpr)
			if !ok || v.isPanic(c) || v.isLog(c) {
				continue
			}
		case *ast.DeferStmt:
			if sel, ok := s.Call.Fun.(*ast.SelectorExpr); ok &&
				(sel.Sel.Name == "Unlock" || sel.Sel.Name == "RUnlock") {
				continue // waiting for ever is seen for certain, and takes long
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
			if len(s.Lhs) == 1 && len(s.Rhs) == 1 {
				if l, ok := s.Lhs[0].(*ast.Ident); ok && l.Name == "_" {
					if _, ok := s.Rhs[0].(*ast.CallExpr); !ok {
						continue
					}
				}
			}
		case *ast.IncDecStmt:
		default:
			continue
		}
		id := v.add(s, "`%s` is left out", v.snippet(s))
		v.wrapOuter(s, id, fmt.Sprintf("if !zz(%d) { ", id), " }")
	}
}

func (v *visitor) isPanic(c *ast.CallExpr) bool {
	f, ok := c.Fun.(*ast.Ident)
	return ok && f.Name == "panic"
}

// isInternal: the block only says that the program is wrong.
func (v *visitor) isInternal(b *ast.BlockStmt) bool {
	return len(b.List) == 1 && strings.Contains(string(v.src[v.at(b.Pos()):v.at(b.End())]), `"internal error`)
}

// isLog: what is logged is no behaviour.
func (v *visitor) isLog(c *ast.CallExpr) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	t := v.info.TypeOf(s.X)
	return t != nil && t.String() == "*log/slog.Logger"
}

// isText: the call words something for people.
func (v *visitor) isText(c *ast.CallExpr) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	f, ok := v.info.Uses[s.Sel].(*types.Func)
	if !ok || f.Pkg() == nil {
		return v.isLog(c)
	}
	switch f.Pkg().Path() {
	case "fmt", "log/slog":
		return true
	case "errors":
		return f.Name() == "New"
	}
	return false
}

// clause is never taken.
func (v *visitor) clause(c *ast.CaseClause) {
	if len(v.stack) < 2 {
		return
	}
	sw, ok := v.stack[len(v.stack)-2].(*ast.SwitchStmt)
	if !ok {
		return
	}
	v.stack = append(v.stack, c)
	defer func() { v.stack = v.stack[:len(v.stack)-1] }()
	for _, x := range c.List {
		if sw.Tag == nil {
			v.condition(x, false)
			continue
		}
		b, ok := v.info.TypeOf(x).Underlying().(*types.Basic)
		if !ok {
			continue
		}
		name := ""
		switch {
		case b.Info()&types.IsString != 0:
			name = "zzOtherText"
		case b.Info()&types.IsInteger != 0:
			name = "zzOtherNumber"
		default:
			continue
		}
		t, ok := v.typeText(v.info.TypeOf(x))
		if !ok {
			continue
		}
		id := v.add(x, "`case %s` is never taken", v.snippet(x))
		v.wrapOuter(x, id, fmt.Sprintf("%s[%s](%d, ", name, t, id), ")")
	}
}

// typeText is a type as it is written in this file.
func (v *visitor) typeText(t types.Type) (string, bool) {
	switch t := t.(type) {
	case *types.Basic:
		if t.Info()&types.IsUntyped != 0 || t.Kind() == types.Invalid {
			return "", false
		}
		return t.Name(), true
	case *types.Alias:
		return v.typeText(types.Unalias(t))
	case *types.Named:
		o := t.Obj()
		if t.TypeArgs().Len() > 0 || o.Parent() != nil && o.Parent() != types.Universe && o.Pkg() != nil &&
			o.Parent() != o.Pkg().Scope() {
			return "", false
		}
		if o.Pkg() == nil || o.Pkg() == v.pkg {
			return o.Name(), true
		}
		name, ok := v.imports[o.Pkg().Path()]
		if !ok || name == "_" || name == "." || !o.Exported() {
			return "", false
		}
		if name == "" {
			name = o.Pkg().Name()
		}
		return name + "." + o.Name(), true
	}
	return "", false
}

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

var errorType = types.Universe.Lookup("error").Type()

// call is left out where all that it gives is an error.
func (v *visitor) call(c *ast.CallExpr) {
	if t := v.info.TypeOf(c); t == nil || !types.Identical(t, errorType) {
		return
	}
	switch v.parent().(type) {
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt:
		return
	}
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			switch x.Name + "." + s.Sel.Name {
			case "fmt.Errorf", "errors.New", "errors.Join", "errors.Unwrap":
				return
			}
		}
	}
	if v.info.Types[c.Fun].IsType() {
		return
	}
	id := v.add(c, "`%s` is left out, and gives no error", v.snippet(c))
	v.wrap(c, id, fmt.Sprintf("zzError(%d, func() error { return ", id), " })")
}

// field of a value that is made here is empty.
func (v *visitor) field(kv *ast.KeyValueExpr) bool {
	lit, ok := v.parent().(*ast.CompositeLit)
	if !ok {
		return true
	}
	if _, isStruct := v.info.TypeOf(lit).Underlying().(*types.Struct); !isStruct {
		if p, ok := v.info.TypeOf(lit).Underlying().(*types.Pointer); ok {
			_, isStruct = p.Elem().Underlying().(*types.Struct)
		}
		if !isStruct { // keys of arrays are constants
			v.stack = append(v.stack, kv)
			v.walk(kv.Value)
			v.stack = v.stack[:len(v.stack)-1]
			return false
		}
	}
	defer func() {
		v.stack = append(v.stack, kv)
		v.walk(kv.Value)
		v.stack = v.stack[:len(v.stack)-1]
	}()
	t := v.info.TypeOf(kv.Value)
	switch x := kv.Value.(type) {
	case *ast.BasicLit:
		return false
	case *ast.Ident:
		if x.Name == "nil" || x.Name == "true" || x.Name == "false" {
			return false
		}
	}
	if b, ok := t.(*types.Basic); ok && b.Info()&types.IsString != 0 || t == nil {
		return false // words for people
	}
	text, ok := v.typeText(t)
	if v.isConst(kv.Value) && !ok {
		return false
	}
	id := v.add(kv, "`%s` is empty", v.snippet(kv))
	open := fmt.Sprintf("zzEmpty(%d, ", id)
	if ok {
		open = fmt.Sprintf("zzEmpty[%s](%d, ", text, id)
	}
	v.wrapOuter(kv.Value, id, open, ")")
	return false
}
