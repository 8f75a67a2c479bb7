package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

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
